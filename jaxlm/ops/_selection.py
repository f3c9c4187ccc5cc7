"""The k smallest keys of each segment, without sorting.

A search finds a threshold for each segment: guess it, count the keys up to the guess in all segments at once,
and narrow the bracket, until every segment's threshold is known. About seven passes of a gather, a comparison
and a scatter-add replace a sort.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.ops._segments import segment_slots
from jaxlm.typing import Array, Bool, Int, UInt32

_HIGHEST = np.uint32(0xFFFFFFFF)


class _Bracket(NamedTuple):
    """The bounds of each slot's threshold, and the number of keys below and up to them."""

    low: Array
    high: Array
    num_below: Array
    num_upto: Array


def smallest_in_segments(
    keys: UInt32[Array, "B L"],
    ties: Int[Array, "B L"],
    members: Bool[Array, "B L"],
    segments: Int[Array, "B L"],
    counts: Int[Array, "B G"],
) -> Bool[Array, "B L"]:
    """Returns `Bool[B L]`, True at the `counts[row, g - 1]` members of each segment g with the smallest keys.

    Equal keys are ordered by `ties`. The result is exactly that of sorting each segment's members by (key,
    tie). Shapes are static; the number of passes over the keys depends on the keys.

    Args:
      keys: `UInt32[B L]`; the positions with the smallest keys are chosen.
      ties: `Int[B L]`, not negative and distinct within a segment: of equal keys the one with the smaller tie
        comes first.
      members: `Bool[B L]`, True = may be chosen; padding is never chosen.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1 to G; 0 = padding.
        Positions with other numbers are not chosen.
      counts: `Int[B G]`, how many members are chosen in segment g, which is column g - 1. If the segment has
        fewer members, all of them are chosen.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import smallest_in_segments
      >>> keys = jnp.array([[30, 10, 20, 5, 7]], jnp.uint32)
      >>> segments = jnp.array([[1, 1, 1, 2, 2]])
      >>> chosen = smallest_in_segments(keys, jnp.arange(5)[None], keys > 0, segments, jnp.array([[2, 1]]))
      >>> chosen.tolist()
      [[False, True, True, True, False]]
    """
    slots = segment_slots(segments, counts.shape[1]).reshape(-1)
    wanted = jnp.pad(counts, ((0, 0), (1, 0))).reshape(-1)
    keys, ties = keys.reshape(-1), ties.reshape(-1).astype(jnp.uint32)
    members = members.reshape(-1) & (wanted[slots] > 0)
    wanted = jnp.minimum(wanted, _count(members, slots, wanted))

    top = _threshold(keys, members, slots, wanted)[slots]
    chosen = members & (keys <= top)

    def break_ties() -> Array:
        tied = chosen & (keys == top)
        under = chosen & ~tied
        last = _threshold(ties, tied, slots, wanted - _count(under, slots, wanted))[slots]
        return under | (tied & (ties <= last))

    too_many = jnp.any(_count(chosen, slots, wanted) > wanted)
    return jax.lax.cond(too_many, break_ties, lambda: chosen).reshape(segments.shape)


def segment_maxima(
    values: UInt32[Array, "B L"], segments: Int[Array, "B L"], num_segments: int
) -> UInt32[Array, "B {num_segments}"]:
    """Returns the largest of each segment's values, `UInt32[B G]`; 0 where a row has no such segment.

    Args:
      values: `UInt32[B L]`.
      segments: `Int[B L]`, the number of each position's segment in its row, from 1; 0 = padding.
      num_segments: G, the highest segment id that is looked at; static. Positions of higher ids do not count.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import segment_maxima
      >>> values = jnp.array([[3, 9, 4, 7]], jnp.uint32)
      >>> segment_maxima(values, jnp.array([[1, 1, 3, 0]]), num_segments=3).tolist()
      [[9, 0, 4]]
    """
    slots = segment_slots(segments, num_segments).reshape(-1)
    table = jnp.zeros(segments.shape[0] * (num_segments + 1), jnp.uint32)
    return table.at[slots].max(values.reshape(-1)).reshape(-1, num_segments + 1)[:, 1:]


def _count(mask: Array, slots: Array, like: Array) -> Array:
    return jnp.zeros_like(like).at[slots].add(mask.astype(like.dtype), mode="promise_in_bounds")


def _threshold(keys: Array, members: Array, slots: Array, wanted: Array) -> Array:
    """Returns a value that `wanted` members of a slot do not exceed; with ties, the wanted-th smallest."""
    start = _Bracket(
        low=jnp.zeros_like(wanted, jnp.uint32),
        high=jnp.full_like(wanted, _HIGHEST, jnp.uint32),
        num_below=jnp.zeros_like(wanted),
        num_upto=_count(members, slots, wanted),
    )

    def is_open(bracket: _Bracket) -> Array:
        is_known = (bracket.num_upto == wanted) | (bracket.num_below == wanted - 1)
        return ~is_known & (bracket.low < bracket.high)

    def narrow(carry: tuple[Array, _Bracket]) -> tuple[Array, _Bracket]:
        turn, bracket = carry
        guess = bracket.low + _step(turn, bracket, wanted)
        num = _count(members & (keys <= guess[slots]), slots, wanted)
        return turn + 1, _narrowed(bracket, guess, num, is_open(bracket), wanted)

    turn = jnp.zeros((), jnp.int32)
    _, bracket = jax.lax.while_loop(lambda carry: jnp.any(is_open(carry[1])), narrow, (turn, start))
    within = members & (keys >= bracket.low[slots])
    # Where one key is missing below the bracket, the smallest key in it is the threshold.
    following = jnp.full_like(bracket.low, _HIGHEST).at[slots].min(jnp.where(within, keys, _HIGHEST))
    return jnp.where(bracket.num_upto == wanted, bracket.high, following)


def _step(turn: Array, bracket: _Bracket, wanted: Array) -> Array:
    """Returns how far above `low` to guess: by linear interpolation, but halfway in every fourth pass.

    Halving bounds the number of passes for any keys. A fraction below 1 keeps the guess below `high`.
    """
    width = bracket.high - bracket.low
    rank = (wanted - bracket.num_below).astype(jnp.float32) + 0.25
    spacing = (bracket.num_upto - bracket.num_below + 1).astype(jnp.float32)
    even = width.astype(jnp.float32) * jnp.minimum(rank / spacing, 0.999)
    return jnp.where(turn % 4 == 3, width >> 1, even.astype(jnp.uint32))


def _narrowed(bracket: _Bracket, guess: Array, num: Array, is_open: Array, wanted: Array) -> _Bracket:
    above, upto = is_open & (num < wanted), is_open & (num >= wanted)
    return _Bracket(
        low=jnp.where(above, guess + 1, bracket.low),
        high=jnp.where(upto, guess, bracket.high),
        num_below=jnp.where(above, num, bracket.num_below),
        num_upto=jnp.where(upto, num, bracket.num_upto),
    )
