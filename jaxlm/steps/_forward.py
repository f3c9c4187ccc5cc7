"""What a device computes for a batch: the body once for each row, then logits and step functions by tiles.

Letters: `B` rows, `L` positions of a row, `S` positions of an encoder's row, `M` positions at which the model
predicts, `E` passes under dropout, `D` width, `V` vocabulary.
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
from jaxlm.steps._layout import RowArrays, StepBatch
from jaxlm.steps._table import StepFunction
from jaxlm.typing import Array, Float, Key, UInt32


class StepProgram(NamedTuple):
    """What a compiled program depends on, besides the shapes of its arrays.

    Attributes:
      model: the model whose predictions are looked at.
      functions: step functions.
      noisy_model: the model that is also run under dropout; None: none is.
      num_noisy: E, how often it is run.
      layout: of the devices, each of which gets a batch of its own.
    """

    model: models.Model
    functions: tuple[StepFunction, ...]
    noisy_model: models.Model | None
    num_noisy: int
    layout: Layout

    @property
    def models(self) -> list[models.Model]:
        """All models that read the rows."""
        return [self.model] if self.noisy_model is None else [self.model, self.noisy_model]


@functools.lru_cache(maxsize=32)
def compile_step(program: StepProgram) -> Callable[..., tuple[Array, ...]]:
    """Returns the program over all devices; it takes both models' parameters, a key, and stacked batches.

    Args:
      program: what it computes.
    """
    step = make_step(program, is_cpu=program.layout.target.platform == "cpu")
    return program.layout.parallel(step, (False, False, False, True))


def make_step(program: StepProgram, *, is_cpu: bool) -> Callable[..., tuple[Array, ...]]:
    """Returns the function of one device, whose result is `Float32[M]` for each step function.

    Args:
      program: what it computes.
      is_cpu: whether it will run on a CPU, which decides how many logits are in memory at once.
    """

    def step(
        params: Any, noisy_params: Any, rng: Key[Array, ""] | None, batch: StepBatch
    ) -> tuple[Array, ...]:
        flat = _flat(_hidden(program.model, params, batch.rows))
        to_logits = functools.partial(models.apply_head, program.model, params)
        to_noisy_logits: Callable[[Array], Array] | None = None
        noisy = None
        if program.noisy_model is not None:
            noisy = _noisy_hidden(program.noisy_model, noisy_params, rng, batch, program.num_noisy)
            to_noisy_logits = functools.partial(models.apply_head, program.noisy_model, noisy_params)

        def one_tile(asked: _TileQueries) -> tuple[Array, ...]:
            inputs = StepInputs(logits=to_logits(flat[asked.positions]), targets=asked.targets)
            if asked.contrast_positions is not None:
                inputs = inputs._replace(
                    contrast_logits=to_logits(flat[asked.contrast_positions]),
                    contrast_targets=asked.contrast_targets,
                )
            if noisy is not None and to_noisy_logits is not None:
                inputs = inputs._replace(noisy_logits=to_noisy_logits(noisy[:, asked.positions]))
            return tuple(_values(row, inputs, rng, asked.names) for row in program.functions)

        num_positions = batch.positions.shape[0]
        rows_of_logits = (1 if batch.contrast_positions is None else 2) + program.num_noisy
        vocab_size = program.model.config.vocab_size
        tile = tile_size(vocab_size, rows_of_logits, num_positions, is_cpu=is_cpu)
        fields = [getattr(batch, name) for name in _TileQueries._fields]
        asked, tree = jax.tree.flatten(_TileQueries(*jax.tree.map(jnp.asarray, fields)))
        return ops.map_counted_tiles(
            lambda *arrays: one_tile(jax.tree.unflatten(tree, arrays)),
            asked,
            jnp.asarray(batch.count),
            [tile],
        )

    return step


class _TileQueries(NamedTuple):
    """The fields of `StepBatch` that have an entry for each position, or for each of a tile."""

    positions: Array
    targets: Array
    contrast_positions: Array | None
    contrast_targets: Array | None
    names: Array


def tile_size(vocab_size: int, rows_of_logits: int, num_positions: int, *, is_cpu: bool) -> int:
    """Returns for how many positions logits are computed at once, which is called a tile.

    On a CPU the logits of a tile fit into a core's cache, where reductions over them cost next to nothing,
    but a tile has at least 128 rows of logits for each time that the output's kernel is read. On other
    devices the logits of a tile take 512 MiB.

    Args:
      vocab_size: V, the number of ids.
      rows_of_logits: how many rows of V logits a position needs: one for its own prediction, one for the
        contrast's, and one for each pass under dropout.
      num_positions: how many positions there are in all.
      is_cpu: whether the program runs on a CPU.

    Example:
      >>> from jaxlm.steps import tile_size
      >>> tile_size(8000, 1, 2048, is_cpu=True), tile_size(50_257, 2, 2048, is_cpu=True)
      (128, 64)
    """
    rows = max((1 << 20) // vocab_size, 128) if is_cpu else (1 << 27) // vocab_size
    return min(max(rows // rows_of_logits // 16 * 16, 16), num_positions)


def _hidden(
    model: models.Model, params: Any, rows: RowArrays, dropout_rng: Array | None = None
) -> Float[Array, "B L D"]:
    """The hidden vectors of rows; with a key under dropout."""
    inputs = models.Inputs(tokens=jnp.asarray(rows.tokens), segments=jnp.asarray(rows.segments))
    if rows.sources is not None and rows.source_segments is not None:
        sources, segments = jnp.asarray(rows.sources), jnp.asarray(rows.source_segments)
        inputs = inputs._replace(encoder=models.Inputs(tokens=sources, segments=segments))
    rngs = None if dropout_rng is None else {"dropout": dropout_rng}
    output = models.apply_model(model, params, inputs, deterministic=dropout_rng is None, rngs=rngs)
    return output.hidden


def _noisy_hidden(
    model: models.Model, params: Any, rng: Array | None, batch: StepBatch, num_passes: int
) -> Float[Array, "E M D"]:
    """Hidden vectors of the texts, without contrasts, under dropout; each row has a key of its own."""
    if batch.noisy is None or rng is None:
        raise AssertionError("passes under dropout need rows and a key: got None")
    missing = batch.tokens.shape[1] - batch.noisy.tokens.shape[1]
    key_of_batch = rng

    def one_row(draw: Array, row: tuple[RowArrays, Array]) -> Array:
        arrays, name = row
        key = jax.random.fold_in(jax.random.fold_in(key_of_batch, name), draw)
        return _hidden(model, params, jax.tree.map(lambda array: array[None], arrays), key)[0]

    rows = (batch.noisy, jnp.asarray(batch.row_names))

    def one_pass(draw: Array) -> Array:
        hidden = jax.vmap(functools.partial(one_row, draw))(rows)
        return _flat(jnp.pad(hidden, ((0, 0), (0, missing), (0, 0))))

    return jax.lax.map(one_pass, jnp.arange(num_passes, dtype=jnp.uint32))


def _values(
    row: StepFunction, inputs: StepInputs, rng: Array | None, names: UInt32[Array, "tile 2"]
) -> Float[Array, " tile"]:
    """A step function's numbers for a tile; a function that draws gets a key for each position."""
    if "rng" in row.needs:
        if rng is None:
            raise AssertionError(f"{row.name} draws and needs a key: got None")
        inputs = inputs._replace(rng=prediction_keys(row, rng, names))
    return step_values(row, inputs)


def prediction_keys(
    function: StepFunction, rng: Key[Array, ""], names: UInt32[Array, "M 2"]
) -> Key[Array, " M"]:
    """Returns a PRNG key for each of M predictions, for a step function that draws.

    Args:
      function: the step function; two functions draw different numbers.
      rng: the key of the request.
      names: `UInt32[M 2]`, what tells the predictions apart: a digest of the ids that the model reads, and
        the index of the predicted token in the text.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import prediction_keys, step_function
      >>> names = jnp.array([[7, 0], [7, 1]], jnp.uint32)
      >>> prediction_keys(step_function("entropy"), jax.random.key(0), names).shape
      (2,)
    """
    own = jax.random.fold_in(rng, zlib.crc32(function.name.encode()))
    return jax.vmap(lambda name: jax.random.fold_in(jax.random.fold_in(own, name[0]), name[1]))(names)


def step_values(function: StepFunction, inputs: StepInputs) -> Float[Array, "*batch"]:
    """Returns a step function's numbers in float32, after a check that there is one for each prediction.

    Args:
      function: the step function.
      inputs: predictions, with the fields that the function needs.

    Raises:
      UsageError: if the function returns anything else than one number for each prediction.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs, step_function, step_values
      >>> inputs = StepInputs(logits=jnp.zeros((2, 4)), targets=jnp.array([0, 3]))
      >>> step_values(step_function("probability"), inputs).tolist()
      [0.25, 0.25]
    """
    values, expected = function(inputs), inputs.read("targets").shape
    if getattr(values, "shape", None) != expected:
        got = getattr(values, "shape", type(values).__name__)
        raise UsageError(
            f"{function.name} gives a number an example: expected an array {expected}, got {got}"
        )
    return values.astype(jnp.float32)


def _flat(hidden: Float[Array, "B L D"]) -> Float[Array, "M D"]:
    return hidden.reshape(-1, hidden.shape[-1])


def stack_step_batches(batches: Sequence[StepBatch]) -> StepBatch:
    """Returns batches of one shape with a leading axis of devices."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)
