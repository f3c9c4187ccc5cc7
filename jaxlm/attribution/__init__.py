"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution.results import (
    Attribution,
    aggregate,
    attribution_as_json,
    difference,
    html_page,
    merge_spans,
    merge_words,
    normalize_scores,
    open_attributions,
    over_width,
    rescale_scores,
    save_attributions,
    select,
    token_words,
)

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
