"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution.results import (
    Attribution,
    aggregate,
    difference,
    merge_spans,
    merge_words,
    normalize_scores,
    over_width,
    rescale_scores,
    select,
    word_numbers,
)

__all__ = [
    "Attribution",
    "aggregate",
    "difference",
    "merge_spans",
    "merge_words",
    "normalize_scores",
    "over_width",
    "rescale_scores",
    "select",
    "word_numbers",
]
