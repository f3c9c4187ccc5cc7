"""The choice of the units to corrupt: an exact number or independent draws, of tokens, words or instructions.

Letters: `B` rows, `L` positions, `G` segments of a row.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.corruption._noise_config import CountMode
from jaxlm.corruption._shares import array_module, is_below, share_bound
from jaxlm.typing import Array, Bool, Int, UInt32

# Rows seldom hold more segments than this; tables of this size halve the cost of an exact count.
_FEW_SEGMENTS = 64


def choose_units(
    draws: UInt32[Array, "B L"],
    offsets: Int[Array, "B L"],
    allowed: Bool[Array, "B L"],
    segments: Int[Array, "B L"],
    starts: Bool[Array, "B L"] | None,
    *,
    rate: float | UInt32[Array, "B L"],
    count: CountMode,
) -> Bool[Array, "B L"]:
    """Returns True at the positions of the chosen units.

    Args:
      draws: `UInt32[B L]`, a uniform word for each position; the smallest ones are chosen.
      offsets: `Int[B L]`, the order of equal draws.
      allowed: `Bool[B L]`, True = may be chosen.
      segments: `Int[B L]`, the number of each position's segment (text) in its row, from 1; 0 = padding.
      starts: `Bool[B L]`, True where a unit begins; None: every position is a unit.
      rate: share of the units of a segment: a number, or shares in units of 2^-32.
      count: "exact" or "bernoulli".

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption._choice import choose_units
      >>> draws, ones = jnp.array([[5, 3, 9, 1]], jnp.uint32), jnp.ones((1, 4), jnp.int32)
      >>> options = dict(rate=0.5, count="exact")
      >>> choose_units(draws, ones, ones > 0, ones, None, **options).tolist()
      [[False, True, False, True]]
      >>> starts = jnp.array([[True, False, False, True]])
      >>> choose_units(draws, ones, ones > 0, ones, starts, **options).tolist()
      [[False, False, False, True]]
    """
    constant, shares = (rate, None) if isinstance(rate, float) else (0.0, rate)
    if starts is None:
        return _pick(draws, offsets, allowed, segments, shares, rate=constant, count=count)
    leads, columns = first_allowed_of_units(allowed, starts, segments)
    chosen = _pick(draws, offsets, leads, segments, shares, rate=constant, count=count)
    return allowed & jnp.take_along_axis(chosen, columns, axis=1)


@partial(jax.jit, static_argnames=("rate", "count"))
def _pick(
    draws: Array,
    offsets: Array,
    members: Array,
    segments: Array,
    shares: Array | None,
    *,
    rate: float,
    count: CountMode,
) -> Array:
    """The chosen ones of the members; `rate` is ignored if there are shares."""
    if count == "bernoulli":
        return members & is_below(draws, share_bound(rate) if shares is None else shares)

    def exactly(num_segments: int) -> Array:
        numbers = ops.segment_counts(members, segments, num_segments)
        if shares is None:
            counts = ops.exact_counts(numbers, rate)
        else:
            counts = ops.share_counts(numbers, ops.segment_maxima(shares, segments, num_segments))
        return ops.smallest_in_segments(draws, offsets, members, segments, jnp.asarray(counts))

    return call_with_segment_bound(segments, exactly)


def call_with_segment_bound(segments: Int[Array, "B L"], function: Callable[[int], Any]) -> Any:
    """Returns `function(G)` for a bound G on the number of segments of a row: a small one if that suffices.

    Args:
      segments: `Int[B L]`, ids from 1 to at most L, 0 = padding.
      function: makes tables with G entries for each row; the shape of its result may not depend on G.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.corruption._choice import call_with_segment_bound
      >>> call_with_segment_bound(jnp.ones((2, 5), jnp.int32), lambda num_segments: jnp.array(num_segments))
      Array(5, dtype=int32, weak_type=True)
    """
    length = segments.shape[1]
    if length <= _FEW_SEGMENTS:
        return function(length)
    is_few = jnp.max(segments, initial=0) <= _FEW_SEGMENTS
    return jax.lax.cond(is_few, partial(function, _FEW_SEGMENTS), partial(function, length))


def choose_units_on_host(
    draws: np.ndarray,
    offsets: np.ndarray,
    allowed: np.ndarray,
    segments: np.ndarray,
    starts: np.ndarray | None,
    *,
    rate: float | np.ndarray,
    count: CountMode,
) -> np.ndarray:
    """Returns the same as `choose_units` for NumPy arrays; it sorts the draws.

    Args:
      draws: `UInt32[B L]`.
      offsets: `Int[B L]`.
      allowed: `Bool[B L]`.
      segments: `Int[B L]`.
      starts: `Bool[B L]` or None.
      rate: a number, or shares in units of 2^-32.
      count: "exact" or "bernoulli".

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption._choice import choose_units_on_host
      >>> draws, ones = np.array([[5, 3, 9, 1]], np.uint32), np.ones((1, 4), np.int32)
      >>> choose_units_on_host(draws, ones, ones > 0, ones, None, rate=0.5, count="exact").tolist()
      [[False, True, False, True]]
    """
    members, columns = (
        (allowed, None) if starts is None else first_allowed_of_units(allowed, starts, segments)
    )
    if count == "bernoulli":
        chosen = members & is_below(draws, share_bound(rate) if isinstance(rate, float) else rate)
    else:
        chosen = _sorted_choice(draws, offsets, members, segments, rate)
    return chosen if columns is None else allowed & np.take_along_axis(chosen, columns, axis=1)


def _sorted_choice(
    draws: np.ndarray, offsets: np.ndarray, members: np.ndarray, segments: np.ndarray, rate: Any
) -> np.ndarray:
    rows, length = members.shape
    indices = np.flatnonzero(members)
    groups = (np.arange(rows)[:, None] * (length + 1) + segments).reshape(-1)
    numbers = np.bincount(groups[indices], minlength=rows * (length + 1))
    if isinstance(rate, float):
        counts = ops.exact_counts(numbers, rate)
    else:
        shares = np.zeros(numbers.size, np.uint32)
        shares[groups] = rate.reshape(-1)
        counts = ops.share_counts(numbers, shares)
    groups = groups[indices]
    order = np.lexsort((offsets.reshape(-1)[indices], draws.reshape(-1)[indices], groups))
    ranks = np.arange(indices.size) - (np.cumsum(numbers) - numbers)[groups[order]]
    chosen = np.zeros(members.size, bool)
    chosen[indices[order]] = ranks < np.asarray(counts)[groups[order]]
    return chosen.reshape(members.shape)


def first_allowed_of_units(allowed: Any, starts: Any, segments: Any) -> tuple[Any, Any]:
    """Returns the first allowed position of each unit, and for each position the column of its unit's.

    Args:
      allowed: `Bool[B L]`, True = may be chosen.
      starts: `Bool[B L]`, True where a unit begins; every segment also begins one.
      segments: `Int[B L]`.

    Returns:
      `Bool[B L]`, True = the first allowed position of its unit; and `Int32[B L]`, the column of the last
      such position so far, 0 before the first one. For an allowed position it is the column of its own unit.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption._choice import first_allowed_of_units
      >>> allowed = np.array([[False, True, True, True, True]])
      >>> starts = np.array([[True, False, False, True, False]])
      >>> leads, columns = first_allowed_of_units(allowed, starts, np.ones((1, 5), np.int32))
      >>> leads.astype(int).tolist(), columns.tolist()
      ([[0, 1, 0, 1, 0]], [[0, 1, 1, 3, 3]])
    """
    xp = array_module(allowed)
    columns = xp.arange(allowed.shape[1], dtype=np.int32)[None]
    first = xp.ones_like(allowed[:, :1])
    starts = starts | xp.concatenate([first, segments[:, 1:] != segments[:, :-1]], axis=1)
    begun = _latest(xp.where(starts, columns, 0))
    # If the last allowed column before this one is before the unit's start, this one is the unit's first.
    earlier = _latest(xp.where(allowed, columns, -1))[:, :-1]
    earlier = xp.concatenate([xp.full_like(begun[:, :1], -1), earlier], axis=1)
    leads = allowed & (earlier < begun)
    return leads, _latest(xp.where(leads, columns, 0))


def _latest(columns: Any) -> Any:
    """The running maximum along the rows."""
    if isinstance(columns, jax.Array):
        return jax.lax.cummax(columns, axis=1)
    return np.maximum.accumulate(columns, axis=1)
