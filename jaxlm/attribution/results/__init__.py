"""Results of attribution: one record a text, its aggregation, its files and its heat maps."""

from jaxlm.attribution.results._aggregation import aggregate, over_width
from jaxlm.attribution.results._attribution import Attribution
from jaxlm.attribution.results._scaling import difference, normalize_scores, rescale_scores, select
from jaxlm.attribution.results._spans import merge_spans, merge_words
from jaxlm.attribution.results._words import word_numbers

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
