"""Occlusion and leave-one-out: what a prediction loses where a token is replaced or taken out.

Letters: `B` rows, `L` positions, `S` positions of an encoder's row, `M` explained predictions of a row, `C`
changed copies of the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.attribution._chunks import map_chunks
from jaxlm.attribution._explained import Explained
from jaxlm.attribution._gradients import start_of
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._predictions import InputScores
from jaxlm.attribution._saliency import with_settings
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int

# From the index of a position to the hidden vectors of the rows with that position changed, and where their
# predictions are made.
Changed = Callable[[Array], tuple[Float[Array, "R B L D"], Int[Array, "B M"]]]


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """The settings of `occlusion`, which has none.

    Example:
      >>> from jaxlm.attribution import Occlusion
      >>> Occlusion()
      Occlusion()
    """


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """The settings of `leave_one_out`, which has none.

    Example:
      >>> from jaxlm.attribution import LeaveOneOut
      >>> LeaveOneOut()
      LeaveOneOut()
    """


@ops.derivatives("any")
def occlusion(task: MethodTask) -> InputScores:
    """Returns what every prediction loses where a token is replaced by the baseline.

    `score[t, i] = f_i(e) - f_i(e with e_t = b_t)`, with signs: above 0 the token raised the step function
    `f_i`. A changed copy of a row takes one forward pass, which serves all predictions of the row: a causal
    prediction does not see that a later token is changed. inseq returns the magnitudes of these scores.

    Args:
      task: what is explained; its settings are an `Occlusion`. `rng` is not read.

    Returns:
      `InputScores` in units of the step function.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, Sides, MethodTask, occlusion
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.build(config, "causal_lm"), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1, 2]]), targets=jnp.array([[3, 5]]))
      >>> same = Sides(inputs.tokens)  # a baseline that changes nothing
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, baseline=same)
      >>> scores = jax.jit(occlusion)(task).target
      >>> scores.shape, bool(jnp.abs(scores).max() < 1e-6)
      ((1, 3, 2), True)

    References:
      Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013,
        https://arxiv.org/abs/1311.2901.
    """
    task = with_settings(task, Occlusion)
    reading, explained = start_of(task)
    vectors, baseline = reading.vectors(), reading.baseline(task.baseline)
    positions = task.predictions.positions

    def with_source(index: Array) -> tuple[Array, Array]:
        changed = _replaced(vectors.source, baseline.source, index)
        return reading.hidden(vectors._replace(source=changed)), positions

    source = None
    if vectors.source is not None and task.inputs.encoder is not None:
        source = _losses(task, explained, reading.hidden(vectors), with_source, "source")
        source = _seen(source, task.inputs.encoder, None)
    # The copies that differ in the decoder's tokens share what the encoder returns.
    reading, vectors = reading.with_memory(vectors)

    def with_target(index: Array) -> tuple[Array, Array]:
        changed = _replaced(vectors.target, baseline.target, index)
        return reading.hidden(vectors._replace(target=changed)), positions

    hidden = reading.hidden(vectors)
    target = _losses(task, explained, hidden, with_target, "target")
    target = _seen(target, task.inputs, _causal_positions(task))
    return InputScores(target, source, _values(task, explained, hidden))


@ops.derivatives("any")
def leave_one_out(task: MethodTask) -> InputScores:
    """Returns what every prediction loses where a token is taken out of the text.

    `score[t, i] = f_i(x) - f_i(x without x_t)`, with signs. The tokens after it move forward by one position.
    A causal prediction is then made after what is left of the tokens before it.

    Args:
      task: what is explained; its settings are a `LeaveOneOut`, and its rows are tokens with one segment
        each, without positions, masks or token types of their own. `baseline` and `rng` are not read.

    Returns:
      `InputScores` in units of the step function. NaN where nothing is left to predict from: the only token
      before a causal prediction, or a mask whose token is predicted.

    Raises:
      UsageError: if the rows are not tokens, or have other fields than segments.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, leave_one_out
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.build(config, "causal_lm"), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[0, 2]]), targets=jnp.array([[2, 5]]))
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, step="entropy")
      >>> jnp.isnan(jax.jit(leave_one_out)(task).target)[0, :, 0].tolist()
      [True, False, False]

    References:
      Li et al., "Understanding Neural Networks through Representation Erasure", 2016,
        https://arxiv.org/abs/1612.08220.
    """
    task = with_settings(task, LeaveOneOut)
    task = replace(task, inputs=_with_segments(task.inputs))
    inputs, positions = task.inputs, task.predictions.positions
    reading, explained = start_of(task)

    def run(changed: models.Inputs, where: Array) -> tuple[Array, Array]:
        own = reading._replace(inputs=changed)
        return own.hidden(own.vectors()), where

    def without_target(index: Array) -> tuple[Array, Array]:
        # A causal prediction whose last token is gone is made after the token before that one.
        is_after = positions >= index if is_causal(task.model) else positions > index
        return run(_without(inputs, index), jnp.where(is_after, positions - 1, positions))

    hidden = reading.hidden(reading.vectors())
    target = _losses(task, explained, hidden, without_target, "target")
    at_own = jnp.arange(inputs.length, dtype=positions.dtype)[None, :, None] == positions[:, None, :]
    is_undefined = at_own & (positions == 0)[:, None] if is_causal(task.model) else at_own
    if task.is_span:
        is_undefined = is_undefined.any(-1, keepdims=True)
    source = None
    if inputs.encoder is not None:
        encoder = inputs.encoder

        def without_source(index: Array) -> tuple[Array, Array]:
            return run(inputs._replace(encoder=_without(encoder, index)), positions)

        source = _seen(_losses(task, explained, hidden, without_source, "source"), encoder, None)
    target = _seen(target, inputs, _causal_positions(task))
    return InputScores(jnp.where(is_undefined, jnp.nan, target), source, _values(task, explained, hidden))


def is_causal(model: models.Model) -> bool:
    """Returns whether a prediction sees only the tokens up to its position, as in a decoder.

    Args:
      model: a language model; of an encoder-decoder the decoder counts.
    """
    return model.config.causal or model.config.decoder is not None


def _losses(
    task: MethodTask, explained: Explained, hidden: Float[Array, "R B L D"], changed: Changed, side: str
) -> Float[Array, "B positions M"]:
    """The step function less that of each changed copy, one copy for each position of a side."""
    values = explained.values(hidden[None])
    rows = task.inputs.encoder if side == "source" else task.inputs
    if rows is None:
        raise AssertionError("the source is an encoder's: got none")
    count = None if task.counts is None else getattr(task.counts, side)

    def of_group(indices: Array) -> Array:
        copies, where = jax.vmap(changed)(indices)
        losses = values - explained.values(copies, where)
        return losses.sum(-1, keepdims=True) if task.is_span else losses

    return jnp.moveaxis(map_chunks(of_group, rows.length, task.chunk, count), 0, 1)


def _values(task: MethodTask, explained: Explained, hidden: Float[Array, "R B L D"]) -> Float[Array, "B M"]:
    values = explained.values(hidden[None])[0]
    return values.sum(1, keepdims=True) if task.is_span else values


def _replaced(
    vectors: Float[Array, "B L D"], baseline: Float[Array, "B L D"], index: Array
) -> Float[Array, "B L D"]:
    is_there = jnp.arange(vectors.shape[1], dtype=index.dtype) == index
    return jnp.where(is_there[None, :, None], baseline, vectors)


def _seen(
    losses: Float[Array, "B L M"], side: models.Inputs, positions: Int[Array, "B M"] | None
) -> Float[Array, "B L M"]:
    """The losses, exactly 0 where a prediction does not see the token: there they are rounding alone."""
    columns = jnp.arange(side.length, dtype=jnp.int32)[None, :, None]
    is_seen = jnp.ones(losses.shape, bool) if positions is None else columns <= positions[:, None, :]
    if side.segments is not None:
        is_seen = is_seen & (side.segments > 0)[..., None]
    return jnp.where(is_seen, losses, 0.0)


def _causal_positions(task: MethodTask) -> Int[Array, "B M"] | None:
    """The last token that each prediction sees; None where predictions see all tokens."""
    positions = task.predictions.positions
    if not is_causal(task.model):
        return None
    return positions.max(1, keepdims=True) if task.is_span else positions


def _with_segments(inputs: models.Inputs) -> models.Inputs:
    """The rows with segments on both sides, after a check that they have nothing else beside tokens."""
    allowed = {"tokens", "segments", "encoder"}
    other = [name for name in inputs._fields if name not in allowed and getattr(inputs, name) is not None]
    if inputs.tokens is None or other:
        told = f"inputs.{other[0]}" if other else "no tokens"
        raise UsageError(f"leave_one_out reads rows of tokens with segments alone: got {told}")
    if inputs.segments is None:
        inputs = inputs._replace(segments=jnp.ones(inputs.tokens.shape, jnp.int32))
    encoder = inputs.encoder
    return inputs if encoder is None else inputs._replace(encoder=_with_segments(encoder))


def _without(side: models.Inputs, index: Array) -> models.Inputs:
    """The rows of one side without the tokens at a position; the last position becomes padding."""
    columns = jnp.arange(side.length, dtype=jnp.int32)
    kept = jnp.minimum(columns + (columns >= index).astype(jnp.int32), side.length - 1)
    segments = jnp.asarray(side.segments)[:, kept]
    is_last = columns == side.length - 1
    return side._replace(
        tokens=side.required_tokens()[:, kept], segments=jnp.where(is_last[None], 0, segments)
    )


_STEP = frozenset({"step"})
OCCLUSION = Method("occlusion", occlusion, Occlusion, _STEP | {"baseline"}, chunked="copies")
LEAVE_ONE_OUT = Method("leave_one_out", leave_one_out, LeaveOneOut, _STEP, chunked="copies")
