"""The objective of encoder-decoders: spans of each text are taken out, and the decoder writes them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, models, ops
from jaxlm.training._objective import Objective
from jaxlm.training._token_loss import Predictions, count, prediction_sums
from jaxlm.typing import Array, Float, Int, Key


class Spans(NamedTuple):
    """What is taken out of texts, and what the decoder is to make of it.

    Attributes:
      rate: share of a text's tokens.
      mean_span: mean length of the spans.
      sentinel_ids: that stand where spans were, in order.
      forbidden: `Bool[V]`, True for ids that are never taken out.
      start_id: what the decoder reads first.
      end_id: what closes its text; None: nothing.
      target_length: T, tokens of a row of the decoder; what finds no room is left clean and counted.
    """

    rate: float
    mean_span: float
    sentinel_ids: tuple[int, ...]
    forbidden: np.ndarray
    start_id: int
    end_id: int | None
    target_length: int


def span_corruption_objective(
    spans: Spans,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    tile: int = 1024,
    deterministic: bool = False,
) -> Objective:
    """Returns the objective of an encoder-decoder that restores spans: cross-entropy of what it writes, nats.

    The encoder reads each text with a sentinel for every span; the decoder writes every sentinel with the
    tokens that it stands for, and an end. Both sides are packed, and a text of the decoder reads its own of
    the encoder. The spans belong to (rng, epoch, example), as `corruption.corrupt_spans` draws them.

    Args:
      spans: what is taken out.
      label_smoothing: share of a target's probability spread over the vocabulary; training only.
      z_loss: factor of the squared log-partition; training only.
      tile: rows of logits held at once.
      deterministic: for evaluation: no dropout, and the metrics of `token_metrics`.

    Returns:
      `objective(apply_fn, params, batch, rngs) -> (loss_sum, weight, metrics)`, `rngs` as in
      `masked_lm_objective`; the metrics count `correct`, `tokens` (real ones of the batch) and `overflow`
      (spans and ends that found no sentinel or no room).

    References:
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, https://arxiv.org/abs/1910.10683 (section 3.1.4).
    """

    def objective(
        apply_fn: Callable[..., Any], params: Any, batch: data.Batch, rngs: Mapping[str, Key[Array, ""]]
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Array]]:
        corrupted = take_out(rngs["mask"], batch, spans)
        inputs = models.Inputs(
            tokens=shifted(corrupted.targets, corrupted.target_segments, spans.start_id),
            segments=corrupted.target_segments,
            encoder=models.Inputs(tokens=corrupted.tokens, segments=corrupted.segments),
        )
        hidden = apply_fn(
            {"params": params},
            inputs,
            deterministic=deterministic,
            rngs={} if deterministic else {"dropout": rngs["dropout"]},
        ).hidden
        predictions = Predictions(
            hidden.reshape(-1, hidden.shape[-1]),
            corrupted.targets.reshape(-1),
            (corrupted.target_segments > 0).reshape(-1).astype(jnp.float32),
            None,
        )
        sums = prediction_sums(
            apply_fn,
            params,
            predictions,
            deterministic=deterministic,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            tile=tile,
        )
        sums |= {"tokens": count(batch.segments > 0), "overflow": corrupted.overflow}
        return sums.pop("loss_sum"), sums.pop("weight"), sums

    return objective


def take_out(rng: Key[Array, ""], batch: data.Batch, spans: Spans) -> corruption.SpanCorrupted:
    """Returns a batch as an encoder reads it and what a decoder is to write.

    Args:
      rng: key of the run's masks, the same at every step.
      batch: packed rows.
      spans: what is taken out.
    """
    tokens, segments = jnp.asarray(batch.tokens), jnp.asarray(batch.segments)
    return corruption.corrupt_spans(
        rng,
        tokens,
        corruption.corruptible(tokens, segments, spans.forbidden),
        example_ids=jnp.asarray(batch.example_ids),
        offsets=jnp.asarray(batch.offsets),
        segments=segments,
        epochs=jnp.asarray(batch.epochs),
        sentinel_ids=jnp.asarray(spans.sentinel_ids, jnp.int32),
        rate=spans.rate,
        mean_span=spans.mean_span,
        end_id=spans.end_id,
        target_length=spans.target_length,
    )


def shifted(targets: Int[Array, "B T"], segments: Int[Array, "B T"], start_id: int) -> Int[Array, "B T"]:
    """Returns what a decoder reads to write the targets: of every segment its start, then all but its last.

    Example:
      >>> shifted(jnp.array([[5, 6, 7, 8, 0]]), jnp.array([[1, 1, 2, 2, 0]]), start_id=9).tolist()
      [[9, 5, 9, 7, 9]]
    """
    begins = ops.positions_from_segments(segments) == 0
    before = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(begins, jnp.asarray(start_id, targets.dtype), before)


def target_room(plan: data.PackingPlan, rate: float, mean_span: float) -> int:
    """Returns how many tokens the decoder's texts of a row take at most, where no special divides a span.

    A piece of n tokens hides h = max(1, round(rate * n)) in max(1, round(h / mean_span)) spans, each with a
    sentinel, and has an end.

    Args:
      plan: where the records lie in rows.
      rate: share of a text's tokens.
      mean_span: mean length of the spans.
    """
    if not len(plan.length):
        return 1
    hidden = np.maximum(1, np.floor(plan.length * rate + 0.5))
    number = np.maximum(1, np.floor(hidden / mean_span + 0.5))
    sizes = np.add.reduceat(hidden + number + 1, plan.row_starts[:-1])
    return int(min(-(-int(sizes.max()) // 8) * 8, 2 * plan.row_length))
