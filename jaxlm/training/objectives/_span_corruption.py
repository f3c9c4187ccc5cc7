"""Span corruption, the objective of encoder-decoders: the decoder predicts spans removed from a text."""

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
    """The plan of span corruption: what is removed from a text, and the form of the decoder's text.

    Attributes:
      rate: the share of a text's tokens that is removed.
      mean_span: mean length of the removed spans, in tokens.
      sentinel_ids: ids of the special tokens (sentinels) that stand in the place of removed spans, in the
        order of their use.
      forbidden: `Bool[V]`, True = ids that are never removed.
      start_id: id of the first token that the decoder reads.
      end_id: id of the last token of the decoder's text; None: the text has no end token.
      target_length: number of positions in a row of the decoder. Spans that do not fit stay in the text and
        are counted as overflow.
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
    """Returns an encoder-decoder's inputs for a batch, and the decoder's targets.

    The encoder reads each text with a special token, a sentinel, in the place of every removed span. The
    decoder predicts each sentinel followed by the tokens of its span, and an end token. Texts are packed into
    rows on both sides, and each segment (text) of the decoder attends to the encoder's segment of the same
    number. `corruption.corrupt_spans` draws the spans by (rng, epoch, example); `overflow` counts the spans
    and end tokens for which no sentinel or no position was left.

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      step: number of batches before this one; not used here.
      plan: which share of a text is removed, and the decoder's special tokens.

    References:
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
        2020, https://arxiv.org/abs/1910.10683 (section 3.1.4).
    """
    del step
    corrupted = corrupt_span_batch(rng, batch, plan)
    decoder_tokens = shift_right(corrupted.targets, corrupted.target_segments, plan.start_id)
    return LossInputs(
        tokens=corrupted.tokens,
        targets=corrupted.targets.reshape(-1),
        weights=(corrupted.target_segments > 0).reshape(-1).astype(jnp.float32),
        overflow=corrupted.overflow,
        read=models.Inputs(
            tokens=decoder_tokens,
            segments=corrupted.target_segments,
            encoder=models.Inputs(tokens=corrupted.tokens, segments=corrupted.segments),
        ),
    )


def span_corruption_loss(spans: SpanPlan, **options: Any) -> LossFunction:
    """Returns the loss function of span corruption: cross-entropy in nats of the decoder's targets.

    Args:
      spans: which share of a text is removed, and in how long spans.
      options: further arguments of `token_loss_function`, such as `z_loss`.
    """
    return token_loss_function(partial(prepare_spans, plan=spans), **options)


def plan_spans(setting: Setting) -> SpanPlan:
    """Returns the plan that `prepare_spans` takes: `Objective.plan` of the span objective."""
    return make_span_plan(setting.spans, setting.config, setting.tokenizer, setting.splits)


def check_spans(experiment: Any) -> None:
    """Refuses noise beside span corruption, and a tokenizer that is to be trained without sentinels.

    Raises:
      ConfigError: with the reason.
    """
    noisy = [noise for noise in (experiment.input_noise, experiment.target_noise) if noise.rate]
    if noisy or experiment.loss.label_smoothing == "fraction":
        raise ConfigError(
            f"objective={experiment.resolved_objective.name!r} removes spans from texts and corrupts nothing "
            "else: got input_noise, target_noise or loss.label_smoothing='fraction'; spans.rate says how much"
        )
    if experiment.tokenizer.path is None and not experiment.tokenizer.sentinels:
        raise ConfigError(
            "sentinels replace the spans that are removed: got tokenizer.sentinels=0; set as many as a text "
            "may have spans"
        )


def corrupt_span_batch(rng: Key[Array, ""], batch: data.Batch, spans: SpanPlan) -> corruption.SpanCorrupted:
    """Returns a batch with spans replaced by sentinels, and the decoder's targets.

    Args:
      rng: PRNG key of the run's masks, the same one in every step.
      batch: the batch of packed rows.
      spans: which share of a text is removed, and in how long spans.
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
    """Returns the decoder's inputs: in each segment the start token, then all targets but the last.

    Args:
      targets: `Int[B L]`, the ids that the decoder predicts.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous.
      start_id: id of the start token.

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
    """Returns the most tokens that the decoder's texts of one row need under span corruption.

    Of a piece of text with n tokens, h = max(1, round(rate * n)) are removed in max(1, round(h / mean_span))
    spans. The decoder's text has these h tokens, a sentinel for each span, and an end token. If a special
    token divides a span in two, one more sentinel is needed, which is not counted here.

    Args:
      plan: the plan that packs the records into rows.
      rate: the share of a text's tokens that is removed.
      mean_span: mean length of the removed spans, in tokens.
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
    """Returns the plan of span corruption for the rows of splits.

    Args:
      config: which share of a text is removed, and in how long spans.
      model: the config of the encoder-decoder; its `decoder.start_id` is the decoder's start token.
      tokenizer: the tokenizer, which has the sentinels and the end token.
      splits: the packed splits; the decoder's rows are made long enough for any row of any of them.

    Raises:
      ConfigError: if the tokenizer has no sentinels, or the decoder has no start token.
    """
    sentinels = tokenizers.sentinel_ids(tokenizer)
    if not sentinels:
        raise ConfigError(
            "sentinels (<extra_id_0> and so on) replace the spans that are removed, and this tokenizer has "
            "none: take T5's, or train one with tokenizer.sentinels"
        )
    if model.decoder is None or model.decoder.start_id is None:
        raise ConfigError(
            "a decoder reads a start token first, and the tokenizer has no padding to take for it; set "
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
