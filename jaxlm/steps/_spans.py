"""One number for a span of tokens."""

from typing import Any

import numpy as np

from jaxlm.steps._functions import check_choice
from jaxlm.steps._table import SPANS


def over_span(values: Any, span: str) -> float:
    """Returns one number for the values of a span, those that are NaN left out; NaN where all are.

    Args:
      values: `Float[M]`, or a list of floats, a value a token; they are added and multiplied in float64.
      span: "sum", "product" or "absmax", the value of the largest magnitude with its sign.

    Raises:
      UsageError: if the span is none of these.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps import over_span
      >>> over_span(np.array([0.5, 0.25, np.nan]), "product"), over_span(np.array([1.0, -2.0]), "absmax")
      (0.125, -2.0)
    """
    check_choice("span", span, SPANS)
    values = np.asarray(values, np.float64)
    present = values[~np.isnan(values)]
    if present.size == 0:
        return float("nan")
    if span == "absmax":
        return float(present[np.abs(present).argmax()])
    return float(present.sum() if span == "sum" else present.prod())
