"""The choice of the positions that spans hide: all layouts of the spans are equally likely.

A segment with n allowed positions hides h of them in s spans and shows the other n - h. Its first h - 1 draws
belong to the gaps between two hidden positions, the other n - h + 1 to the gaps around the shown ones. The
s - 1 smallest of the former divide the hidden positions into spans, and the s smallest of the latter are
where the spans go: all divisions and all placements are equally likely.

Letters: `B` rows, `L` positions, `G` segments of a row.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.corruption._choice import call_with_segment_bound
from jaxlm.typing import Array, Bool, Int, UInt32


@partial(jax.jit, static_argnames=("rate", "mean_span"))
def choose_spans(
    draws: UInt32[Array, "B L"],
    offsets: Int[Array, "B L"],
    allowed: Bool[Array, "B L"],
    segments: Int[Array, "B L"],
    *,
    rate: float,
    mean_span: float,
) -> Bool[Array, "B L"]:
    """Returns True at the positions that spans hide.

    Args:
      draws: `UInt32[B L]`, a uniform word of each position.
      offsets: `Int[B L]`, the order of equal draws.
      allowed: `Bool[B L]`, True = may be hidden. Positions that are not allowed are in no span, but may
        divide one.
      segments: `Int[B L]`, each contiguous; 0 = padding.
      rate: share of a segment's allowed positions to hide: h = max(1, round-half-up(rate * n)).
      mean_span: mean length of spans: s = max(1, round-half-up(h / mean_span)), at most h and n - h + 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption._span_choice import choose_spans
      >>> draws, ones = jnp.array([[8, 3, 5, 1, 9, 2]], jnp.uint32), jnp.ones((1, 6), jnp.int32)
      >>> hidden = choose_spans(draws, ones, ones > 0, ones, rate=0.5, mean_span=3.0)
      >>> hidden.astype(int).tolist()
      [[0, 1, 1, 1, 0, 0]]
    """

    def choose(num_segments: int) -> Array:
        numbers = ops.segment_counts(allowed, segments, num_segments)
        hidden = jnp.asarray(ops.exact_counts(numbers, rate))
        spans = jnp.asarray(ops.exact_counts(hidden, 1 / mean_span)).clip(None, numbers - hidden + 1)
        ranks = ops.segment_ranks(allowed, segments)
        is_gap = allowed & (ranks >= _by_segment(hidden, segments) - 1)
        groups = jnp.where(segments > 0, 2 * segments - 1 + is_gap.astype(segments.dtype), 0)
        counts = jnp.stack([(spans - 1).clip(0), spans], axis=-1).reshape(len(spans), -1)
        picked = ops.smallest_in_segments(draws, offsets, allowed, groups, counts)
        return _place_spans(picked & ~is_gap, picked & is_gap, ranks, allowed, segments, hidden, spans)

    return call_with_segment_bound(segments, choose)


def _place_spans(
    cuts: Array, gaps: Array, ranks: Array, allowed: Array, segments: Array, hidden: Array, spans: Array
) -> Array:
    """Puts the k-th span of a segment, from its k-th cut to the next one, into its k-th gap."""
    hidden, spans = _by_segment(hidden, segments), _by_segment(spans, segments)
    # `columns` numbers the allowed positions of a row; those of a segment begin at `base`.
    columns = jnp.cumsum(allowed, axis=1, dtype=jnp.int32) - 1
    base, length = columns - ranks, segments.shape[1]
    rows = jnp.arange(segments.shape[0])[:, None]
    nothing = jnp.zeros((segments.shape[0], length + 1), jnp.int32)

    after_cut = base + ops.segment_ranks(cuts, segments) + 1
    begins = nothing.at[rows, jnp.where(cuts, after_cut, length + 1)].set(ranks + 1, mode="drop")

    index = ops.segment_ranks(gaps, segments)
    span = jnp.where(gaps, base + index, 0)
    first = jnp.take_along_axis(begins, span, axis=1)
    following = jnp.take_along_axis(begins, span + 1, axis=1)
    stop = jnp.where(index + 1 < spans, following, hidden)
    shift = base + ranks - (hidden - 1)
    edges = nothing.at[rows, jnp.where(gaps, shift + first, length + 1)].add(1, mode="drop")
    edges = edges.at[rows, jnp.where(gaps, shift + stop, length + 1)].add(-1, mode="drop")
    inside = jnp.cumsum(edges, axis=1) > 0
    return allowed & jnp.take_along_axis(inside, columns.clip(0), axis=1)


def _by_segment(table: Int[Array, "B G"], segments: Int[Array, "B L"]) -> Int[Array, "B L"]:
    """For each position the entry of its segment; 0 at padding."""
    return jnp.take_along_axis(jnp.pad(table, ((0, 0), (1, 0))), segments, axis=1)
