"""The objective of encoder-decoders: spans of each text are taken out, and the decoder writes them."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import corruption, data, models, ops, tokenizers
from jaxlm.errors import ConfigError
from jaxlm.training.losses import LossFunction, LossInputs, Setting, Split, token_loss_function
from jaxlm.typing import Array, Int, Key


class SpanPlan(NamedTuple):
    """What is taken out of texts, and what the decoder is to make of it.

    Attributes:
      rate: share of a text's tokens.
      mean_span: mean length of the spans.
      sentinel_ids: that stand where spans were, in order.
      forbidden: `Bool[V]`, True for ids that are never taken out.
      start_id: what the decoder reads first.
      end_id: what closes its text; None: nothing.
      target_length: L, tokens of a row of the decoder; what finds no room is left clean and counted.
    """

    rate: float
    mean_span: float
    sentinel_ids: tuple[int, ...]
    forbidden: np.ndarray
    start_id: int
    end_id: int | None
    target_length: int


def prepare_spans(
    rng: Key[Array, ""], batch: data.Batch, step: Int[Array, ""] | int, plan: SpanPlan
) -> LossInputs:
    """Returns what an encoder and a decoder read of a batch, and what the decoder is to write.

    The encoder reads each text with a sentinel for every span; the decoder writes every sentinel with the
    tokens that it stands for, and an end. Both sides are packed, and a text of the decoder reads its own of
    the encoder. The spans belong to (rng, epoch, example), as `corruption.corrupt_spans` draws them;
    `overflow` counts spans and ends that found no sentinel or no room.

    References:
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, https://arxiv.org/abs/1910.10683 (section 3.1.4).
    """
    del step
    corrupted = corrupt_span_batch(rng, batch, plan)
    written = shift_right(corrupted.targets, corrupted.target_segments, plan.start_id)
    return LossInputs(
        tokens=corrupted.tokens,
        targets=corrupted.targets.reshape(-1),
        weights=(corrupted.target_segments > 0).reshape(-1).astype(jnp.float32),
        overflow=corrupted.overflow,
        read=models.Inputs(
            tokens=written,
            segments=corrupted.target_segments,
            encoder=models.Inputs(tokens=corrupted.tokens, segments=corrupted.segments),
        ),
    )


def span_corruption_loss(spans: SpanPlan, **options: Any) -> LossFunction:
    """Returns the loss of an encoder-decoder that restores spans: cross-entropy of what it writes, nats.

    Args:
      spans: what is taken out.
      options: of `token_loss_function`.
    """
    return token_loss_function(partial(prepare_spans, plan=spans), **options)


def plan_spans(setting: Setting) -> SpanPlan:
    """Returns what `prepare_spans` knows of model and data."""
    return make_span_plan(setting.spans, setting.config, setting.tokenizer, setting.splits)


def check_spans(experiment: Any) -> None:
    """Refuses noise beside the spans, and a tokenizer that has nothing to stand for them.

    Raises:
      ConfigError: with the reason.
    """
    noisy = [noise for noise in (experiment.input_noise, experiment.target_noise) if noise.rate]
    if noisy or experiment.loss.label_smoothing == "fraction":
        raise ConfigError(
            f"objective={experiment.resolved_objective.name!r} takes spans out of texts and corrupts nothing "
            "else: got input_noise, target_noise or loss.label_smoothing='fraction'; spans.rate says how much"
        )
    if experiment.tokenizer.path is None and not experiment.tokenizer.sentinels:
        raise ConfigError(
            "spans give way to sentinels: got tokenizer.sentinels=0; set as many as a text may have spans"
        )


def corrupt_span_batch(rng: Key[Array, ""], batch: data.Batch, spans: SpanPlan) -> corruption.SpanCorrupted:
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


def shift_right(targets: Int[Array, "B L"], segments: Int[Array, "B L"], start_id: int) -> Int[Array, "B L"]:
    """Returns what a decoder reads to write the targets: of every segment its start, then all but its last.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.training import shift_right
      >>> shift_right(jnp.array([[5, 6, 7, 8, 0]]), jnp.array([[1, 1, 2, 2, 0]]), start_id=9).tolist()
      [[9, 5, 9, 7, 9]]
    """
    begins = ops.positions_from_segments(segments) == 0
    before = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(begins, jnp.asarray(start_id, targets.dtype), before)


def target_capacity(plan: data.PackingPlan, rate: float, mean_span: float) -> int:
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


def make_span_plan(
    config: corruption.SpanConfig,
    model: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    splits: Sequence[Split],
) -> SpanPlan:
    """Returns what spans take out of the rows of splits.

    Args:
      config: how much.
      model: whose decoder begins with its `decoder.start_id`.
      tokenizer: its sentinels, and what closes a text.
      splits: the decoder's rows have room for what is taken out of any of theirs.

    Raises:
      ConfigError: if the tokenizer has no sentinels, or no token begins the decoder's texts.
    """
    sentinels = tokenizers.sentinel_ids(tokenizer)
    if not sentinels:
        raise ConfigError(
            "spans give way to sentinels, <extra_id_0> and so on, and this tokenizer has none: take T5's, or "
            "train one with tokenizer.sentinels"
        )
    if model.decoder is None or model.decoder.start_id is None:
        raise ConfigError(
            "a decoder begins with a token of its own: the tokenizer has no padding; set "
            "model.decoder.start_id"
        )
    ends = tokenizer.specials.ends
    eos = tokenizer.specials.eos
    return SpanPlan(
        rate=config.rate,
        mean_span=config.mean_span,
        sentinel_ids=sentinels,
        forbidden=tokenizers.special_mask(tokenizer, model.vocab_size),
        start_id=model.decoder.start_id,
        end_id=ends[1] if eos is None and ends else eos,
        target_length=max(target_capacity(split.plan, config.rate, config.mean_span) for split in splits),
    )
