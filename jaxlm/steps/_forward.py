"""What a device computes of a batch: the body once a run, then logits and step functions tile by tile.

Letters: `R L` rows, `M` asked places, `T` places of a tile, `K` runs under dropout, `D` width, `V`
vocabulary.
"""

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.devices import Layout
from jaxlm.errors import UsageError
from jaxlm.steps._inputs import StepInputs
from jaxlm.steps._layout import StepBatch
from jaxlm.steps._table import StepFunction
from jaxlm.typing import Array, Float, Int, Key, UInt32


class StepProgram(NamedTuple):
    """What a compiled program depends on, besides the shapes of its arrays.

    Attributes:
      model: whose predictions are looked at.
      functions: step functions.
      noisy_model: what is run under dropout; None: nothing is.
      num_noisy: K.
      layout: of the devices, each of which is given a batch.
    """

    model: models.Model
    functions: tuple[StepFunction, ...]
    noisy_model: models.Model | None
    num_noisy: int
    layout: Layout

    @property
    def models(self) -> list[models.Model]:
        """All that read the rows."""
        return [self.model] if self.noisy_model is None else [self.model, self.noisy_model]


@functools.lru_cache(maxsize=32)
def compile_step(program: StepProgram) -> Callable[..., tuple[Array, ...]]:
    """Returns the program over devices: of parameters, those of the noisy model, a key, and stacked batches.

    Args:
      program: what it does.
    """
    step = make_step(program, is_cpu=program.layout.target.platform == "cpu")
    return program.layout.parallel(step, (False, False, False, True))


def make_step(program: StepProgram, *, is_cpu: bool) -> Callable[..., tuple[Array, ...]]:
    """Returns the function of one device: for each step function `Float32[M]`, the first `count` of meaning.

    Args:
      program: what it does.
      is_cpu: where it will run; how many logits are held at once follows from it.
    """

    def step(
        params: Any, noisy_params: Any, rng: Key[Array, ""] | None, batch: StepBatch
    ) -> tuple[Array, ...]:
        flat = _flat(_hidden(program.model, params, batch))
        to_logits = functools.partial(program.model.apply, {"params": params}, method="logits")
        noisy = to_noisy_logits = None
        if program.noisy_model is not None:
            noisy = _noisy_hidden(program, noisy_params, rng, batch)
            variables = {"params": noisy_params}
            to_noisy_logits = functools.partial(program.noisy_model.apply, variables, method="logits")

        def one_tile(asked: _TileQueries) -> tuple[Array, ...]:
            inputs = StepInputs(logits=to_logits(flat[asked.places]), targets=asked.targets)
            if asked.contrast_places is not None:
                inputs = inputs._replace(
                    contrast_logits=to_logits(flat[asked.contrast_places]),
                    contrast_targets=asked.contrast_targets,
                )
            if noisy is not None:
                inputs = inputs._replace(noisy_logits=to_noisy_logits(noisy[:, asked.places]))
            return tuple(_value(row, inputs, rng, asked.names) for row in program.functions)

        places = batch.places.shape[0]
        held = (1 if batch.contrast_places is None else 2) + program.num_noisy
        tile = tile_size(program.model.config.vocab_size, held, places, is_cpu=is_cpu)
        asked, tree = jax.tree.flatten(_TileQueries(*(getattr(batch, name) for name in _TileQueries._fields)))
        return ops.map_counted_tiles(
            lambda *arrays: one_tile(jax.tree.unflatten(tree, arrays)), asked, batch.count, [tile]
        )

    return step


class _TileQueries(NamedTuple):
    """The fields of a batch that have an entry a place."""

    places: Array
    targets: Array
    contrast_places: Array | None
    contrast_targets: Array | None
    names: Array


def tile_size(vocab_size: int, held: int, places: int, *, is_cpu: bool) -> int:
    """Returns how many places are computed at once.

    On a CPU their logits stay in a core's cache, where reductions over them cost next to nothing, but the
    output's kernel is read for 128 rows at least; elsewhere they take 512 MiB.

    Args:
      vocab_size: V.
      held: rows of logits of a place: its own, its contrast's, and those of the runs under dropout.
      places: how many there are.
      is_cpu: where.

    Example:
      >>> from jaxlm.steps import tile_size
      >>> tile_size(8000, 1, 2048, is_cpu=True), tile_size(50_257, 2, 2048, is_cpu=True)
      (128, 64)
    """
    rows = max((1 << 20) // vocab_size, 128) if is_cpu else (1 << 27) // vocab_size
    return min(max(rows // held // 16 * 16, 16), places)


def _hidden(model: models.Model, params: Any, batch: StepBatch) -> Float[Array, "R L D"]:
    arrays = (batch.tokens, batch.segments, batch.sources, batch.source_segments)
    return _read(model, params, *arrays, deterministic=True)


def _read(
    model: models.Model,
    params: Any,
    tokens: Int[Array, "R L"],
    segments: Int[Array, "R L"],
    sources: Int[Array, "R S"] | None,
    source_segments: Int[Array, "R S"] | None,
    **how: Any,
) -> Float[Array, "R L D"]:
    inputs = models.Inputs(tokens=tokens, segments=segments)
    if sources is not None:
        inputs = inputs._replace(encoder=models.Inputs(tokens=sources, segments=source_segments))
    return model.apply({"params": params}, inputs, **how).hidden


def _noisy_hidden(program: StepProgram, params: Any, rng: Array, batch: StepBatch) -> Float[Array, "K M D"]:
    """Hidden states of the runs themselves under dropout, each row by a key of its own."""
    rows = (*batch.noisy, batch.row_names)
    missing = batch.tokens.shape[1] - batch.noisy[0].shape[1]

    def one_row(draw: Array, row: tuple[Array | None, ...]) -> Array:
        *read, name = row
        key = jax.random.fold_in(jax.random.fold_in(rng, name), draw)
        read = jax.tree.map(lambda array: array[None], read)
        how = {"deterministic": False, "rngs": {"dropout": key}}
        return _read(program.noisy_model, params, *read, **how)[0]

    draws = jnp.arange(program.num_noisy, dtype=jnp.uint32)

    def one_run(draw: Array) -> Array:
        hidden = jax.vmap(functools.partial(one_row, draw))(rows)
        return _flat(jnp.pad(hidden, ((0, 0), (0, missing), (0, 0))))

    return jax.lax.map(one_run, draws)


def _value(
    row: StepFunction, inputs: StepInputs, rng: Array | None, names: UInt32[Array, "T 2"]
) -> Float[Array, " T"]:
    if "rng" in row.needs:
        own = jax.random.fold_in(rng, zlib.crc32(row.name.encode()))
        keys = jax.vmap(lambda name: jax.random.fold_in(jax.random.fold_in(own, name[0]), name[1]))(names)
        inputs = inputs._replace(rng=keys)
    return step_values(row, inputs)


def step_values(function: StepFunction, inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns a step function's numbers in float32, having seen that there is one an example.

    Args:
      function: its row.
      inputs: with the targets of each example.

    Raises:
      UsageError: if it gives something else.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, step_values
      >>> from jaxlm.steps._table import step_function
      >>> inputs = StepInputs(logits=jnp.zeros((2, 4)), targets=jnp.array([0, 3]))
      >>> step_values(step_function("probability"), inputs).tolist()
      [0.25, 0.25]
    """
    values, expected = function(inputs), inputs.targets.shape
    if getattr(values, "shape", None) != expected:
        got = getattr(values, "shape", type(values).__name__)
        raise UsageError(
            f"{function.name} gives a number an example: expected an array {expected}, got {got}"
        )
    return values.astype(jnp.float32)


def _flat(hidden: Float[Array, "R L D"]) -> Float[Array, "M D"]:
    return hidden.reshape(-1, hidden.shape[-1])


def stack_step_batches(batches: Sequence[StepBatch]) -> StepBatch:
    """Returns batches of one shape with a leading axis of devices."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
