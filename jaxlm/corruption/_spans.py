"""Span corruption: sentinels replace runs of tokens, and the targets are what each sentinel hides.

Letters: `B` rows, `L` positions, `U` positions of the targets.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.corruption._span_choice import choose_spans
from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers
from jaxlm.typing import Array, Bool, Int, Key


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpanConfig:
    """How much of a text is hidden in spans (runs of tokens), and how long they are; see `corrupt_spans`.

    Attributes:
      rate: the share of a text's tokens to hide, between 0 and 1.
      mean_span: mean length of the spans in tokens, at least 1.

    Raises:
      ConfigError: if a value is out of range.

    Example:
      >>> from jaxlm.corruption import SpanConfig
      >>> SpanConfig(rate=0.0)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: spans.rate lies between 0 and 1: got 0.0
    """

    rate: float = 0.15
    mean_span: float = 3.0

    def __post_init__(self) -> None:
        check_numbers(self, "spans.")
        if not 0 < self.rate < 1:
            raise ConfigError(f"spans.rate lies between 0 and 1: got {self.rate}")
        if not 1 <= self.mean_span < float("inf"):
            raise ConfigError(f"spans.mean_span is at least 1: got {self.mean_span}")


class SpanCorrupted(NamedTuple):
    """Packed rows with hidden spans for an encoder, and packed rows of the hidden tokens for a decoder.

    Attributes:
      tokens: `Int[B L]`, the tokens that are not hidden, with a sentinel token for each hidden span; 0 =
        padding.
      segments: `Int[B L]`, the segment (text) of each of these tokens, from 1; 0 = padding.
      positions: `Int[B L]`, the index of each of these tokens in its segment, from 0.
      targets: `Int[B U]`, for each segment every sentinel, followed by the tokens that it stands for.
      target_segments: `Int[B U]`, the segment of each target, with the same numbers as `segments`; 0 =
        padding.
      target_positions: `Int[B U]`, the index of each target within its segment, from 0.
      hidden: `Bool[B L]`, over the positions of the clean batch; True = in a hidden span.
      overflow: `Int32[]`, how many spans were left clean because no sentinel was left or they did not fit
        into the targets, plus how many end tokens did not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import SpanCorrupted
      >>> ones, positions = jnp.ones((1, 3), jnp.int32), jnp.arange(3)[None]
      >>> spans = SpanCorrupted(  # of the text [5, 6, 7, 8], of which 6 and 7 are hidden
      ...     tokens=jnp.array([[5, 99, 8]]), segments=ones, positions=positions,
      ...     targets=jnp.array([[99, 6, 7]]), target_segments=ones, target_positions=positions,
      ...     hidden=jnp.array([[False, True, True, False]]), overflow=jnp.array(0))
      >>> int(spans.hidden.sum())
      2
    """

    tokens: Array
    segments: Array
    positions: Array
    targets: Array
    target_segments: Array
    target_positions: Array
    hidden: Array
    overflow: Array


@partial(jax.jit, static_argnames=("rate", "mean_span", "end_id", "target_length"))
def corrupt_spans(
    rng: Key[Array, ""],
    tokens: Int[Array, "B L"],
    allowed: Bool[Array, "B L"],
    *,
    example_ids: Int[Array, "B L"],
    offsets: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    epochs: Int[Array, " B"],
    sentinel_ids: Int[Array, " sentinels"],
    rate: float = 0.15,
    mean_span: float = 3.0,
    end_id: int | None = None,
    target_length: int | None = None,
) -> SpanCorrupted:
    """Returns the batch with spans of each example replaced by sentinels, and the spans as targets.

    A sentinel is a special token that marks the place of a span. An example (a segment) hides h = max(1,
    round-half-up(rate * n)) of its n allowed positions in about h / `mean_span` spans, as in T5. All
    divisions into spans and all placements are equally likely, whereas T5's own code always begins with a
    shown token and ends with a hidden one. The k-th contiguous span is replaced by sentinel k; a position
    that is not allowed divides a span into two. The spans of an example are a function of (rng, epoch,
    example id), the same in any packing.

    Args:
      rng: PRNG key, the same one for the whole run; use it for no draws of your own.
      tokens: `Int[B L]` clean ids, without sentinels.
      allowed: `Bool[B L]`, True = may be hidden. Padding is never hidden.
      example_ids: `Int[B L]`, the id of the example (document or part of one) that each position belongs to.
      offsets: `Int[B L]`, the index of each position in its example.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding. A segment's
        positions are contiguous.
      epochs: `Int[B]`, the epoch of each row.
      sentinel_ids: `Int[...]`, the sentinels in the order of their use. Spans for which none is left stay
        clean and are counted.
      rate: the share of the allowed positions to hide.
      mean_span: mean length of the spans in tokens, at least 1.
      end_id: the id that ends the targets of each segment; None: the targets have no end token.
      target_length: U, the number of target positions of a row; None: L. Spans that do not fit are left clean
        and counted.

    Returns:
      `SpanCorrupted`: the shortened rows, and the rows of targets.

    Raises:
      ValueError: if there are no sentinels, `rate` is not between 0 and 1, or `mean_span` is below 1.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption import corrupt_spans
      >>> tokens = jnp.arange(10, 20)[None]
      >>> where = dict(example_ids=tokens * 0, offsets=tokens - 10, segments=tokens // tokens)
      >>> spans = corrupt_spans(
      ...     jax.random.key(1), tokens, tokens > 0, **where, epochs=jnp.array([0]),
      ...     sentinel_ids=jnp.array([99, 98]), rate=0.3)
      >>> spans.tokens[0].tolist()
      [10, 99, 14, 15, 16, 17, 18, 19, 0, 0]
      >>> spans.targets[0].tolist()
      [99, 11, 12, 13, 0, 0, 0, 0, 0, 0]

    References:
      Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
      2020, https://arxiv.org/abs/1910.10683 (section 3.1.4).
    """
    sentinels = jnp.asarray(sentinel_ids, tokens.dtype)
    if sentinels.size < 1 or not 0 <= rate <= 1 or not mean_span >= 1:
        raise ValueError(
            "spans take at least one sentinel, a rate in [0, 1] and a mean_span of 1 or more: got "
            f"{sentinels.size} sentinels, rate={rate}, mean_span={mean_span}"
        )
    draws = ops.uniform_bits(rng, epochs, example_ids, offsets)[..., 0]
    allowed = allowed & (segments > 0)
    chosen = choose_spans(draws, offsets, allowed, segments, rate=float(rate), mean_span=float(mean_span))
    width = tokens.shape[1] if target_length is None else target_length
    is_last = (segments > 0) & (segments != _shifted(segments, -1))
    closes = is_last if end_id is not None else jnp.zeros_like(is_last)
    hidden, starts, sentinel, dropped = _limit_spans(chosen, segments, closes, sentinels, width)
    shown = (segments > 0) & (~hidden | starts)
    seen = jnp.where(starts, sentinel, tokens)
    out, out_segments = _packed(shown, (seen, segments), tokens.shape[1])
    targets, target_segments, lost = _targets(
        hidden, starts, closes, sentinel, tokens, segments, end_id, width
    )
    return SpanCorrupted(
        out,
        out_segments,
        ops.positions_from_segments(out_segments),
        targets,
        target_segments,
        ops.positions_from_segments(target_segments),
        hidden,
        dropped + lost,
    )


def _limit_spans(
    chosen: Array, segments: Array, closes: Array, sentinels: Array, width: int
) -> tuple[Array, Array, Array, Array]:
    """The spans with a sentinel that fit, their starts, their sentinels, and how many others there are."""
    starts = chosen & ~(_shifted(chosen, 1) & (segments == _shifted(segments, 1)))
    ranks = ops.segment_ranks(starts, segments)
    begun = jax.lax.cummax(jnp.where(starts, jnp.arange(segments.shape[1], dtype=jnp.int32)[None], 0), axis=1)
    rank = jnp.take_along_axis(ranks, begun, axis=1)
    # A span fits if its last position does, after all targets before it.
    stops = jnp.cumsum(_num_targets(chosen, starts, closes), axis=1) - closes.astype(jnp.int32)
    rows = jnp.arange(segments.shape[0])[:, None]
    most = jnp.zeros_like(stops).at[rows, begun].max(jnp.where(chosen, stops, jnp.zeros_like(stops)))
    fits = (rank < sentinels.size) & (jnp.take_along_axis(most, begun, axis=1) <= width)
    dropped = (starts & ~fits).sum(dtype=jnp.int32)
    return chosen & fits, starts & fits, sentinels[rank.clip(0, sentinels.size - 1)], dropped


def _targets(
    hidden: Array,
    starts: Array,
    closes: Array,
    sentinel: Array,
    tokens: Array,
    segments: Array,
    end_id: int | None,
    width: int,
) -> tuple[Array, Array, Array]:
    """The targets, their segments, and how many end tokens did not fit."""
    stop = jnp.cumsum(_num_targets(hidden, starts, closes), axis=1, dtype=jnp.int32)
    own = stop - 1 - closes.astype(jnp.int32)
    ends = jnp.full_like(tokens, 0 if end_id is None else end_id)
    placed = ((starts, own - 1, sentinel), (hidden, own, tokens), (closes, stop - 1, ends))
    rows = jnp.arange(tokens.shape[0])[:, None]
    targets, target_segments = (jnp.zeros((tokens.shape[0], width), tokens.dtype) for _ in range(2))
    for mask, columns, values in placed:
        columns = jnp.where(mask, columns, width)
        targets = targets.at[rows, columns].set(values, mode="drop")
        target_segments = target_segments.at[rows, columns].set(segments.astype(tokens.dtype), mode="drop")
    return targets, target_segments, (closes & (stop > width)).sum(dtype=jnp.int32)


def _num_targets(hidden: Array, starts: Array, closes: Array) -> Array:
    """How many targets a position adds: its sentinel, itself, its segment's end."""
    return hidden.astype(jnp.int32) + starts.astype(jnp.int32) + closes.astype(jnp.int32)


def _packed(mask: Array, values: tuple[Array, ...], width: int) -> tuple[Array, ...]:
    """The values where `mask` is True, moved to the beginning of their rows."""
    columns = jnp.where(mask, jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1, width)
    rows = jnp.arange(mask.shape[0])[:, None]
    return tuple(
        jnp.zeros((mask.shape[0], width), part.dtype).at[rows, columns].set(part, mode="drop")
        for part in values
    )


def _shifted(values: Array, by: int) -> Array:
    """The values moved right (1) or left (-1) along the rows, zeros (False) coming in."""
    before, after = max(by, 0), max(-by, 0)
    return jnp.pad(values, ((0, 0), (before, after)))[:, after : values.shape[1] + after]
