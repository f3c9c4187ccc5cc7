"""How far the scores of a text are from adding up to the difference that they explain.

Letters: `L` positions, `M` explained predictions.
"""

import numpy as np

from jaxlm.attribution._predictions import InputScores


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
