"""One number for a span of tokens."""

import numpy as np

from jaxlm.steps._table import Span


def over_span(values: np.ndarray, span: Span) -> float:
    """Returns one number for the values of a span, those that are NaN left out; NaN where all are.

    Args:
      values: `Float32[M]`, a value a token.
      span: "sum", "product" or "absmax", the value of the largest magnitude with its sign.

    Example:
      >>> over_span(np.array([0.5, 0.25, np.nan]), "product"), over_span(np.array([1.0, -2.0]), "absmax")
      (0.125, -2.0)
    """
    present = values[~np.isnan(values)].astype(np.float64)
    if present.size == 0:
        return float("nan")
    if span == "absmax":
        return float(present[np.abs(present).argmax()])
    return float(present.sum() if span == "sum" else present.prod())
