"""The attribution of one text as a record, from its scores.

Letters: `T` tokens of a text's row, `S` tokens that an encoder reads, `N` explained predictions, `D` width.
"""

import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxlm import models, pretrained, steps
from jaxlm.attribution._baselines import Baseline
from jaxlm.attribution._batches import ExplainedText
from jaxlm.attribution._completeness import completeness_error
from jaxlm.attribution._predictions import InputScores
from jaxlm.attribution._request import AttributionRequest
from jaxlm.attribution.results import Attribution

# The parameters whose fingerprint was computed last, and the fingerprint: a large model takes seconds.
_last: dict[str, Any] = {}


def make_attribution(
    reader: steps.TextReader,
    request: AttributionRequest,
    item: ExplainedText,
    scores: InputScores,
    beside: Mapping[str, np.ndarray],
    num_steps: int | None,
    fingerprint: str,
) -> Attribution:
    """Returns the record of one text.

    Args:
      reader: of the model, which knows the tokens' strings.
      request: what was computed.
      item: the text.
      scores: its scores, without padding.
      beside: numbers of further step functions by name.
      num_steps: how many points a path had; None: there is no path.
      fingerprint: of the model.
    """
    text = item.pair.text
    ids, positions = _row(reader.kind, text)
    is_seen = _seen(reader.kind, text)
    missing = _missing(item)
    if request.is_span:
        is_seen, missing = is_seen.any(1, keepdims=True), missing[:1] & False
        positions = positions[:1]
    targets = text.targets[: len(positions)]
    strings = tuple(reader.strings(text.targets))
    others = _contrast_strings(reader, item)
    source_scores = scores.source
    if source_scores is not None:
        source_scores = np.where(_last_axes(missing[None], source_scores.ndim), np.nan, source_scores)
    own = np.where(_last_axes(is_seen & ~missing, scores.target.ndim), scores.target, np.nan)
    row = np.full((len(ids), *own.shape[1:]), np.nan, np.float32)
    row[: len(own)] = own
    step = request.step
    settings = _settings(request, num_steps)
    if request.is_span:
        settings["span"] = [int(position) for position in _row(reader.kind, text)[1]]
        settings["span_targets"] = list(strings)
    return Attribution(
        tokens=tuple(reader.strings(ids)),
        token_ids=ids,
        positions=positions.astype(np.int32),
        targets=targets.astype(np.int32),
        target_tokens=("".join(strings),) if request.is_span else strings,
        scores=row,
        source_tokens=None if text.source is None else tuple(reader.strings(text.source, is_source=True)),
        source_ids=text.source,
        source_scores=None if source_scores is None else source_scores.astype(np.float32),
        step_scores=_beside(request, beside),
        values=_without_partners(scores.values, missing),
        baseline_values=_without_partners(scores.baseline_values, missing),
        completeness_error=_without_partners(
            completeness_error(scores) if request.method.is_complete else None, missing
        ),
        contrast_tokens=("".join(others),) if others and request.is_span else others,
        method=request.method.name,
        settings=settings,
        step_function="" if step is None else step.name,
        unit="" if step is None else step.unit,
        is_signed=bool(request.method.is_signed(request.settings)),
        fingerprint=fingerprint,
    )


def weights_name(params: Any) -> str:
    """Returns the fingerprint of parameters, `pretrained.weights_fingerprint`, and remembers the last one.

    Args:
      params: of a model.
    """
    leaves = jax.tree.leaves(params)
    known = _last.get("leaves", [])
    if len(known) != len(leaves) or any(one() is not leaf for one, leaf in zip(known, leaves, strict=True)):
        fingerprint = pretrained.weights_fingerprint(params)
        try:
            _last.update(leaves=[weakref.ref(leaf) for leaf in leaves], fingerprint=fingerprint)
        except TypeError:  # some kinds of arrays can't be referred to weakly
            return fingerprint
    return _last["fingerprint"]


def _row(kind: str, text: steps.EncodedText) -> tuple[np.ndarray, np.ndarray]:
    """The ids of the row, with the last predicted token where it is not read, and where the targets are."""
    if kind == "masked":
        return text.tokens, text.positions
    return np.concatenate([text.tokens, text.targets[-1:]]).astype(np.int32), text.positions + 1


def _seen(kind: str, text: steps.EncodedText) -> np.ndarray:
    """Which tokens each prediction sees, `Bool[L N]`."""
    columns = np.arange(len(text.tokens))[:, None]
    if kind == "masked":
        return np.ones((len(text.tokens), len(text.positions)), bool)
    return columns <= text.positions[None]


def _missing(item: ExplainedText) -> np.ndarray:
    """Which predictions have no partner in the contrast, `Bool[N]`."""
    partners = item.pair.partners
    if partners is None:
        return np.zeros(len(item.pair.text.positions), bool)
    return partners < 0


def _last_axes(mask: np.ndarray, ndim: int) -> np.ndarray:
    return mask.reshape(*mask.shape, *(1,) * (ndim - mask.ndim))


def _without_partners(values: Any, missing: np.ndarray) -> np.ndarray | None:
    return None if values is None else np.where(missing, np.nan, values).astype(np.float32)


def _contrast_strings(reader: steps.TextReader, item: ExplainedText) -> tuple[str, ...] | None:
    pair = item.pair
    if pair.contrast is None or pair.partners is None:
        return None
    ids = pair.contrast.targets[np.maximum(pair.partners, 0)]
    strings = reader.strings(ids)
    return tuple(
        string if partner >= 0 else "" for string, partner in zip(strings, pair.partners, strict=True)
    )


def _beside(request: AttributionRequest, beside: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The numbers of further step functions; for a span one number each."""
    if not request.is_span:
        return dict(beside)
    spans = {function.name: function.span for function in request.score_functions}
    return {
        name: np.array([steps.over_span(values, spans[name])], np.float32) for name, values in beside.items()
    }


def _settings(request: AttributionRequest, num_steps: int | None) -> dict[str, Any]:
    """The settings of the method as JSON values."""
    settings = {
        field.name: getattr(request.settings, field.name) for field in dataclasses.fields(request.settings)
    }
    if settings.get("layer", 0) is None:
        settings.pop("site", None)
    settings = {
        name: value.value if isinstance(value, models.Site) else value for name, value in settings.items()
    }
    if num_steps is not None:
        settings["steps"] = num_steps
    if request.baseline is not None:
        named = request.baseline
        settings["baseline"] = named if isinstance(named, str) else _shown(named)
    if request.contrast is not None:
        settings["force_inputs"] = request.forces_inputs
    settings["scores_unit"] = _unit(request)
    return settings


def _shown(baseline: Any) -> Any:
    """A baseline as a JSON value: texts as they are, arrays as nested lists."""
    if isinstance(baseline, Baseline):
        return {name: _shown(value) for name, value in baseline._asdict().items()}
    if hasattr(baseline, "shape"):
        return np.asarray(baseline).tolist()
    return [_shown(one) for one in baseline] if isinstance(baseline, (list, tuple)) else baseline


def _unit(request: AttributionRequest) -> str:
    step = "" if request.step is None else (request.step.unit or request.step.name)
    return request.method.unit.replace("{step}", step)
