"""How far the scores of a text are from adding up to the difference that they explain.

Letters: `L` positions, `M` explained predictions.
"""

import logging
from collections.abc import Mapping

import numpy as np

from jaxlm.attribution._predictions import InputScores

LOG = logging.getLogger(__name__)


def completeness_error(scores: InputScores) -> np.ndarray | None:
    """Returns `|sum of the scores - (values - baseline_values)|` of each prediction of one text.

    Args:
      scores: of one text, `[L M ...]`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import InputScores
      >>> from jaxlm.attribution._completeness import completeness_error
      >>> completeness_error(InputScores(np.ones((3, 1)), None, np.array([4.0]), np.array([0.5]))).tolist()
      [0.5]
    """
    if scores.values is None or scores.baseline_values is None:
        return None
    total = np.zeros(len(scores.values))
    for side in (scores.target, scores.source):
        if side is not None:
            total += np.asarray(side, np.float64).sum(axis=(0, *range(2, side.ndim)))
    difference = np.asarray(scores.values, np.float64) - scores.baseline_values
    return np.abs(total - difference).astype(np.float32)


def largest_error(scores: InputScores) -> float:
    """Returns the largest completeness error of a text's predictions; 0 if nothing has one.

    Args:
      scores: of one text.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import InputScores
      >>> from jaxlm.attribution._completeness import largest_error
      >>> largest_error(InputScores(np.ones((3, 1)), None, np.array([4.0]), np.array([0.5])))
      0.5
    """
    errors = completeness_error(scores)
    return float(errors.max()) if errors is not None and errors.size else 0.0


def warn_of_misses(scores: Mapping[int, InputScores], tolerance: float, steps: int) -> None:
    """Says of the first text that misses a tolerance by how much, and of how many texts that is true.

    Args:
      scores: of each text, by its number.
      tolerance: the largest completeness error that was asked for.
      steps: the most steps of a path.
    """
    missed = {number: largest_error(one) for number, one in scores.items()}
    missed = {number: error for number, error in missed.items() if error > tolerance}
    if missed:
        number, error = next(iter(missed.items()))
        others = "" if len(missed) == 1 else f", and {len(missed) - 1} other texts miss it"
        LOG.warning(
            "text %d: scores add up within %.2g, not the tolerance of %.2g, with %d steps%s; raise max_steps",
            *(number, error, tolerance, steps, others),
        )
