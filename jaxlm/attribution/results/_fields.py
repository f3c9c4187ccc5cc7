"""The fields of an attribution, which aggregation, files and pictures share.

Letters: `T` tokens of the row that the model (of an encoder-decoder: its decoder) reads, `S` tokens that an
encoder reads, `N` explained predictions, `D` width.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class AttributionFields(NamedTuple):
    """The fields of `Attribution`, which documents them."""

    tokens: tuple[str, ...]
    token_ids: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    target_tokens: tuple[str, ...]
    scores: np.ndarray | None
    source_tokens: tuple[str, ...] | None = None
    source_ids: np.ndarray | None = None
    source_scores: np.ndarray | None = None
    step_scores: Mapping[str, np.ndarray] = {}
    values: np.ndarray | None = None
    baseline_values: np.ndarray | None = None
    completeness_error: np.ndarray | None = None
    contrast_tokens: tuple[str, ...] | None = None
    method: str = ""
    settings: Mapping[str, Any] = {}
    step_function: str = ""
    unit: str = ""
    is_signed: bool = True
    fingerprint: str = ""
    model: str = ""
