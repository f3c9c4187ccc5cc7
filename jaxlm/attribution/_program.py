"""The compiled program that explains a batch on each device, within a limit of memory.

Letters: `B` rows, `L` positions of a row, `M` explained predictions of a row, `P` points of a path.
"""

import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import models, steps
from jaxlm.attribution._batches import ExplainedBatch, ReadRows
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._predictions import InputScores, Predictions
from jaxlm.devices import Layout
from jaxlm.typing import Array, Key, UInt32

# How often a text is read under dropout, for a step function that needs it; as often as `step_scores` does.
DROPOUT_PASSES = 10


class ProgramSpec(NamedTuple):
    """What a compiled program depends on, besides the shapes of its arrays.

    Attributes:
      model: the model.
      method: what is computed.
      settings: the method's settings.
      step: the explained step function; None: the method explains none.
      chunk: how many predictions or copies are computed at once.
      is_span: whether the predictions of a text are explained as one.
      is_granular: whether there is a score for each dimension.
      layout: of the devices, each of which gets a batch of its own.
    """

    model: models.Model
    method: Method
    settings: Any
    step: steps.StepFunction | None
    chunk: int
    is_span: bool
    is_granular: bool
    layout: Layout


def batch_task(
    spec: ProgramSpec, params: Any, rng: Key[Array, ""] | None, path: Any, batch: ExplainedBatch
) -> MethodTask:
    """Returns the task of one device's batch.

    Args:
      spec: what is computed.
      params: of the model.
      rng: the key of the request; None: nothing is drawn.
      path: points and weights, for a method that adds up points of a path; else None.
      batch: the rows and what is predicted.
    """
    inputs, contrast = _inputs(batch.rows), None
    if batch.contrast is not None:
        contrast = _inputs(batch.contrast)
    predictions = Predictions(
        jnp.asarray(batch.positions),
        jnp.asarray(batch.targets),
        _array(batch.contrast_targets),
        contrast,
        _array(batch.contrast_positions),
    )
    needs = frozenset() if spec.step is None else spec.step.needs
    names = jnp.asarray(batch.row_names)
    row_rng = None
    if rng is not None and spec.step is not None:
        if "rng" in needs:
            keys = steps.prediction_keys(spec.step, rng, jnp.asarray(batch.names).reshape(-1, 2))
            predictions = predictions._replace(rng=keys.reshape(batch.positions.shape))
        if "noisy_logits" in needs:
            predictions = predictions._replace(dropout_rng=_dropout_keys(rng, names))
    if rng is not None and "rng" in spec.method.needs:
        own = jax.random.fold_in(rng, zlib.crc32(spec.method.name.encode()))
        row_rng = jax.vmap(lambda name: jax.random.fold_in(own, name))(names)
    return MethodTask(
        model=spec.model,
        params=params,
        inputs=inputs,
        predictions=predictions,
        step="probability" if spec.step is None else spec.step,
        settings=spec.settings,
        baseline=jax.tree.map(jnp.asarray, batch.baseline),
        rng=row_rng,
        path=path,
        counts=jax.tree.map(jnp.asarray, batch.counts),
        chunk=spec.chunk,
        is_span=spec.is_span,
        is_granular=spec.is_granular,
    )


def _inputs(rows: ReadRows) -> models.Inputs:
    inputs = models.Inputs(tokens=jnp.asarray(rows.tokens), segments=jnp.asarray(rows.segments))
    if rows.sources is None or rows.source_segments is None:
        return inputs
    sources, segments = jnp.asarray(rows.sources), jnp.asarray(rows.source_segments)
    return inputs._replace(encoder=models.Inputs(tokens=sources, segments=segments))


def _array(array: Any) -> Array | None:
    return None if array is None else jnp.asarray(array)


def _dropout_keys(rng: Key[Array, ""], names: UInt32[Array, " B"]) -> Key[Array, "E B"]:
    draws = jnp.arange(DROPOUT_PASSES, dtype=jnp.uint32)

    def of(draw: Array, name: Array) -> Array:
        return jax.random.fold_in(jax.random.fold_in(rng, name), draw)

    return jax.vmap(lambda draw: jax.vmap(lambda name: of(draw, name))(names))(draws)


class Program(NamedTuple):
    """A compiled program, and the bytes that it needs on each device beside its arguments.

    Attributes:
      run: from parameters, a key, a path and stacked batches to stacked `InputScores`.
      num_bytes: for temporary values and results.
    """

    run: Callable[..., InputScores]
    num_bytes: int


def compile_explanation(spec: ProgramSpec, arguments: tuple[Any, ...]) -> Program:
    """Returns the program for arguments of these shapes; one that was compiled before is returned again.

    Args:
      spec: what is computed.
      arguments: parameters, the key, the path and the stacked batches.
    """
    leaves, tree = jax.tree.flatten(arguments)
    return _compile(spec, tuple((jnp.shape(leaf), leaf.dtype) for leaf in leaves), tree)


@functools.lru_cache(maxsize=64)
def _compile(spec: ProgramSpec, shapes: tuple[Any, ...], tree: Any) -> Program:
    def explain(params: Any, rng: Any, path: Any, batch: ExplainedBatch) -> InputScores:
        return spec.method.function(batch_task(spec, params, rng, path, batch))

    arguments = jax.tree.unflatten(tree, [jax.ShapeDtypeStruct(*shape) for shape in shapes])
    compiled = spec.layout.parallel(explain, (False, False, False, True)).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    num_bytes = 0 if memory is None else memory.temp_size_in_bytes + memory.output_size_in_bytes
    return Program(compiled, int(num_bytes))
