"""Scores on another scale, the difference of two attributions, and parts of one.

`T` tokens of the decoder's row, `S` of the encoder's, `N` explained predictions.
"""

from typing import Any

import numpy as np

from jaxlm.attribution.results._aggregation import AnyAttribution, is_granular, with_note
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.errors import UsageError


def normalize_scores(result: AnyAttribution) -> AnyAttribution:
    """Returns an attribution whose scores' magnitudes add up to 1 for every prediction.

    Every score is divided by the sum of the magnitudes of all scores of its prediction, those of the source
    and of the target together (the L1 norm over the inputs). Signs and NaNs are kept. A prediction whose
    scores are all 0 keeps them.

    Args:
      result: an attribution with one score for each token.

    Raises:
      UsageError: if the attribution is granular; see `over_width`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, normalize_scores
      >>> ids, scores = np.array([5, 6, 7]), np.array([[0.5], [-1.5], [np.nan]], np.float32)
      >>> result = Attribution(("To", " be", " or"), ids, ids[:1] - 3, ids[2:], (" or",), scores)
      >>> normalize_scores(result).scores[:, 0].tolist()
      [0.25, -0.75, nan]
    """
    _check_plain(result)
    sums = sum(np.nansum(np.abs(own), 0, dtype=np.float64) for own in _sides(result))
    return _divided(result, np.where(sums == 0, 1.0, sums), "normalized: magnitudes add up to 1")


def rescale_scores(result: AnyAttribution) -> AnyAttribution:
    """Returns an attribution whose scores are divided by their largest magnitude, over all predictions.

    Args:
      result: an attribution with one score for each token.

    Raises:
      UsageError: if the attribution is granular; see `over_width`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, rescale_scores
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [-2.0]], np.float32)
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
      >>> rescale_scores(result).scores[:, 0].tolist()
      [0.25, -1.0]
    """
    _check_plain(result)
    largest = max((float(np.nanmax(np.abs(own), initial=0.0)) for own in _sides(result)), default=0.0)
    return _divided(result, np.float64(largest or 1.0), "rescaled: the largest magnitude is 1")


def difference(first: AnyAttribution, second: AttributionFields) -> AnyAttribution:
    """Returns the difference of two attributions, score by score: the first minus the second.

    It answers what two runs do differently, for example a sentence with "he" and the same with "she".
    Tokens that differ are shown as a pair. The step functions' numbers are subtracted, too.

    Args:
      first: an attribution.
      second: an attribution of equally many tokens and predictions.

    Returns:
      A record with the settings of `first`; NaN where one of the two has NaN.

    Raises:
      UsageError: if the numbers of tokens, predictions or dimensions differ.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, difference
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]], np.float32)
      >>> he = Attribution(("He", " is"), ids, ids[:1] - 4, ids[1:], (" is",), scores)
      >>> she = he._replace(tokens=("She", " is"), scores=scores - 0.25)
      >>> difference(he, she).tokens, difference(he, she).scores.tolist()
      (('He → She', ' is'), [[0.25], [nan]])
    """
    _check_alike(first, second)
    shared = [name for name in first.step_scores if name in second.step_scores]
    values, baselines = (
        _subtracted(getattr(first, name), getattr(second, name)) for name in ("values", "baseline_values")
    )
    source: dict[str, Any] = {}
    if first.source_tokens is not None and second.source_tokens is not None:
        source["source_tokens"] = _paired(first.source_tokens, second.source_tokens)
    if first.source_ids is not None and second.source_ids is not None:
        source["source_ids"] = _same_ids(first.source_ids, second.source_ids)
    return with_note(first, f"minus {second.method} of {second.step_function}")._replace(
        **source,
        tokens=_paired(first.tokens, second.tokens),
        token_ids=_same_ids(first.token_ids, second.token_ids),
        targets=_same_ids(first.targets, second.targets),
        target_tokens=_paired(first.target_tokens, second.target_tokens),
        scores=_subtracted(first.scores, second.scores),
        source_scores=_subtracted(first.source_scores, second.source_scores),
        step_scores={name: first.step_scores[name] - second.step_scores[name] for name in shared},
        values=values,
        baseline_values=baselines,
        completeness_error=None,
        contrast_tokens=None,
        is_signed=True,
        fingerprint=first.fingerprint if first.fingerprint == second.fingerprint else "",
        model=first.model if first.model == second.model else f"{first.model} → {second.model}",
    )


def select(
    result: AnyAttribution,
    *,
    inputs: slice = slice(None),
    sources: slice = slice(None),
    predictions: slice = slice(None),
) -> AnyAttribution:
    """Returns the part of an attribution with some of its tokens and predictions.

    Args:
      result: an attribution.
      inputs: which of `tokens` are kept. A kept prediction whose token is left out gets the position -1.
      sources: which of `source_tokens` are kept.
      predictions: which of the explained predictions are kept.

    Raises:
      UsageError: if a slice has a step, which would tear tokens apart.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, select
      >>> ids, scores = np.array([5, 6, 7]), np.arange(6.0).reshape(3, 2)
      >>> result = Attribution(("To", " be", " or"), ids, np.array([1, 2]), ids[1:], (" be", " or"), scores)
      >>> part = select(result, inputs=slice(0, 2), predictions=slice(-1, None))
      >>> part.tokens, part.target_tokens, part.scores.tolist(), part.positions.tolist()
      (('To', ' be'), (' or',), [[1.0], [3.0]], [-1])
    """
    for kept in (inputs, sources, predictions):
        if kept.step not in (None, 1):
            raise UsageError(f"a part is a run of neighbours, a slice without a step: got {kept}")
    start, stop, _ = inputs.indices(len(result.tokens))
    positions = result.positions[predictions]
    is_kept = (positions >= start) & (positions < stop)
    whole = all(kept == slice(None) for kept in (inputs, sources))
    of_predictions = {
        name: None if getattr(result, name) is None else getattr(result, name)[predictions]
        for name in ("targets", "target_tokens", "values", "baseline_values", "contrast_tokens")
    }
    error = result.completeness_error
    return result._replace(
        **of_predictions,
        tokens=result.tokens[inputs],
        token_ids=result.token_ids[inputs],
        positions=np.where(is_kept, positions - start, -1).astype(positions.dtype),
        scores=None if result.scores is None else result.scores[inputs, predictions],
        source_tokens=result.source_tokens and result.source_tokens[sources],
        source_ids=None if result.source_ids is None else result.source_ids[sources],
        source_scores=None if result.source_scores is None else result.source_scores[sources, predictions],
        step_scores={name: own[predictions] for name, own in result.step_scores.items()},
        completeness_error=error[predictions] if error is not None and whole else None,
    )


def _check_plain(result: AttributionFields) -> None:
    if is_granular(result):
        raise UsageError("this attribution has a score for each dimension: call over_width(result) first")


def _sides(result: AttributionFields) -> list[np.ndarray]:
    return [own for own in (result.scores, result.source_scores) if own is not None]


def _divided(result: AnyAttribution, divisor: Any, note: str) -> AnyAttribution:
    scores, source = (
        None if own is None else (own / divisor).astype(own.dtype)
        for own in (result.scores, result.source_scores)
    )
    return with_note(result, note)._replace(scores=scores, source_scores=source, completeness_error=None)


def _check_alike(first: AttributionFields, second: AttributionFields) -> None:
    for name in ("tokens", "target_tokens", "source_tokens", "scores", "source_scores"):
        shapes = [
            np.shape(own) if own is not None else None
            for own in (getattr(first, name), getattr(second, name))
        ]
        if shapes[0] != shapes[1]:
            raise UsageError(
                f"a difference is of two attributions of one shape: got {name} of {shapes[0]} and {shapes[1]}"
            )


def _paired(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    pairs = zip(first, second, strict=True)
    return tuple(left if left == right else f"{left} → {right}" for left, right in pairs)


def _same_ids(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.where(first == second, first, -1).astype(first.dtype)


def _subtracted(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    return None if first is None or second is None else first - second
