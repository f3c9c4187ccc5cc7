"""Functions that make one score of several, and of the width of granular scores.

`T` tokens, `N` explained predictions, `D` width. NaN means that a prediction does not see a token: NaNs are
left out, and NaN is the result only where all scores are NaN.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.errors import UsageError

AnyAttribution = TypeVar("AnyAttribution", bound=AttributionFields)
Aggregation = Callable[[np.ndarray, int], np.ndarray]


def _mean(scores: np.ndarray, axis: int) -> np.ndarray:
    return np.nansum(scores, axis) / np.maximum((~np.isnan(scores)).sum(axis), 1)


def _max(scores: np.ndarray, axis: int) -> np.ndarray:
    return np.where(np.isnan(scores), -np.inf, scores).max(axis)


def _min(scores: np.ndarray, axis: int) -> np.ndarray:
    return np.where(np.isnan(scores), np.inf, scores).min(axis)


def _absmax(scores: np.ndarray, axis: int) -> np.ndarray:
    largest = np.expand_dims(np.abs(np.nan_to_num(scores)).argmax(axis), axis)
    return np.take_along_axis(np.nan_to_num(scores), largest, axis).squeeze(axis)


def _vnorm(scores: np.ndarray, axis: int) -> np.ndarray:
    return np.sqrt(np.nansum(np.square(scores), axis))


AGGREGATIONS: Mapping[str, Aggregation] = {
    "mean": _mean,
    "max": _max,
    "min": _min,
    "sum": lambda scores, axis: np.nansum(scores, axis),
    "prod": lambda scores, axis: np.nanprod(scores, axis),
    "absmax": _absmax,
    "vnorm": _vnorm,
}
# The results of these are never below 0.
UNSIGNED_AGGREGATIONS = ("vnorm",)


def aggregate(scores: np.ndarray, function: str, axis: int) -> np.ndarray:
    """Returns scores with one axis made into one number by a named function.

    Args:
      scores: `Float[...]`. They are combined in float64; NaNs are left out.
      function: "mean", "max", "min", "sum", "prod" (the product), "absmax" (the score of the largest
        magnitude, with its sign) or "vnorm" (the square root of the sum of squares).
      axis: the axis, of at least one score.

    Returns:
      `Float[...]` of the dtype of `scores`, without the axis; NaN where all scores are NaN.

    Raises:
      UsageError: if no function has the name.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import aggregate
      >>> scores = np.array([[0.25, np.nan], [-0.75, 0.5]])
      >>> aggregate(scores, "absmax", 0).tolist(), aggregate(scores, "mean", 0).tolist()
      ([-0.75, 0.5], [-0.25, 0.5])
    """
    if function not in AGGREGATIONS:
        raise UsageError(f"scores are aggregated by one of {', '.join(AGGREGATIONS)}: got {function!r}")
    wide = np.asarray(scores, np.float64)
    combined = np.where(np.isnan(wide).all(axis), np.nan, AGGREGATIONS[function](wide, axis))
    return combined.astype(scores.dtype)


def over_width(result: AnyAttribution, function: str = "vnorm") -> AnyAttribution:
    """Returns an attribution with one score for each token, from one with a score for each dimension.

    Args:
      result: an attribution. One that has one score for each token already is returned as it is.
      function: the name of a function of `aggregate`. The sum keeps the completeness: only after it do the
        scores still add up to the difference of the step function.

    Raises:
      UsageError: if no function has the name.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, over_width
      >>> ids, granular = np.array([5, 6]), np.array([[[3.0, -4.0]], [[np.nan, np.nan]]])
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), granular)
      >>> over_width(result).scores.tolist(), over_width(result, "sum").scores.tolist()
      ([[5.0], [nan]], [[-1.0], [nan]])
    """
    if not is_granular(result):
        return result
    scores, source = (
        None if array is None else aggregate(array, function, -1)
        for array in (result.scores, result.source_scores)
    )
    changed = with_note(result, f"width by {function}")._replace(scores=scores, source_scores=source)
    if function != "sum":
        changed = changed._replace(completeness_error=None)
    return changed._replace(is_signed=False) if function in UNSIGNED_AGGREGATIONS else changed


def is_granular(result: AttributionFields) -> bool:
    """Returns whether an attribution has one score for each dimension of the embeddings.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution
      >>> from jaxlm.attribution.results._aggregation import is_granular
      >>> ids = np.array([5])
      >>> is_granular(Attribution(("a",), ids, ids, ids, ("a",), np.ones((1, 1, 4))))
      True
    """
    return any(array is not None and array.ndim > 2 for array in (result.scores, result.source_scores))


def with_note(result: AnyAttribution, note: str) -> AnyAttribution:
    """Returns an attribution whose settings say one more step of aggregation, in "aggregation".

    Args:
      result: an attribution.
      note: the step in words.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution
      >>> from jaxlm.attribution.results._aggregation import with_note
      >>> ids = np.array([5])
      >>> result = Attribution(("a",), ids, ids, ids, ("a",), np.ones((1, 1)))
      >>> with_note(with_note(result, "width by vnorm"), "normalized").settings
      {'aggregation': ['width by vnorm', 'normalized']}
    """
    notes = [*result.settings.get("aggregation", ()), note]
    return result._replace(settings={**result.settings, "aggregation": notes})
