"""Results of attribution: one record a text, its aggregation, its files and its heat maps."""

from jaxlm.attribution.results._aggregation import aggregate, over_width
from jaxlm.attribution.results._attribution import Attribution
from jaxlm.attribution.results._html import html_page
from jaxlm.attribution.results._json import attribution_as_json, save_attributions
from jaxlm.attribution.results._open import open_attributions
from jaxlm.attribution.results._scaling import difference, normalize_scores, rescale_scores, select
from jaxlm.attribution.results._spans import merge_spans, merge_words
from jaxlm.attribution.results._words import token_words

__all__ = [
    "Attribution",
    "aggregate",
    "attribution_as_json",
    "difference",
    "html_page",
    "merge_spans",
    "merge_words",
    "normalize_scores",
    "open_attributions",
    "over_width",
    "rescale_scores",
    "save_attributions",
    "select",
    "token_words",
]
