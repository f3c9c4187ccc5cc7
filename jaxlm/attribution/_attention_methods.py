"""Methods that score inputs by what attention moves, whichever step function is asked: rows of `METHODS`."""

from dataclasses import dataclass
from typing import Any

from jaxlm.attribution._attention import attention_rollout, attention_weights
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._predictions import InputScores
from jaxlm.attribution._saliency import with_settings
from jaxlm.attribution._value_zeroing import Distance, check_distance, value_zeroing
from jaxlm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class AttentionWeights:
    """The settings of the method "attention": `attention_weights`.

    Attributes:
      layers: the number of the layer, or of several whose mean is taken; negative ones count from the end.
        None: all.
      heads: likewise the heads.

    Raises:
      UsageError: if a number is no whole one.

    Example:
      >>> from jaxlm.attribution import AttentionWeights
      >>> AttentionWeights(layers=-1)
      AttentionWeights(layers=(-1,), heads=None)
    """

    layers: int | tuple[int, ...] | None = None
    heads: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("layers", "heads"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class AttentionRollout:
    """The settings of the method "attention_rollout", which has none: `attention_rollout`.

    Example:
      >>> from jaxlm.attribution import AttentionRollout
      >>> AttentionRollout()
      AttentionRollout()
    """


@dataclass(frozen=True, kw_only=True)
class ValueZeroing:
    """The settings of the method "value_zeroing": `value_zeroing`.

    Attributes:
      layers: the number of the layer, or of several whose mean is taken; negative ones count from the end.
        None: all.
      distance: "cosine" or "euclidean", between a layer's true and changed outputs.

    Raises:
      UsageError: if a number is no whole one, or the distance is unknown.

    Example:
      >>> from jaxlm.attribution import ValueZeroing
      >>> ValueZeroing(distance="euclidean").layers is None
      True
    """

    layers: int | tuple[int, ...] | None = None
    distance: Distance = "cosine"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _numbers("layers", self.layers))
        check_distance(self.distance)


def _numbers(name: str, given: Any) -> tuple[int, ...] | None:
    """One number or several as a tuple, which a compiled program is remembered by."""
    if given is None:
        return None
    numbers = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in numbers):
        raise UsageError(f"{name} are whole numbers, one or several: got {given!r}")
    return numbers


def _attention(task: MethodTask) -> InputScores:
    settings = with_settings(task, AttentionWeights).settings
    scores = attention_weights(
        task.model,
        task.params,
        task.inputs,
        task.predictions.positions,
        layers=settings.layers,
        heads=settings.heads,
    )
    return _over_span(task, scores)


def _rollout(task: MethodTask) -> InputScores:
    task = with_settings(task, AttentionRollout)
    scores = attention_rollout(task.model, task.params, task.inputs, task.predictions.positions)
    return _over_span(task, scores)


def _value_zeroing(task: MethodTask) -> InputScores:
    settings = with_settings(task, ValueZeroing).settings
    scores = value_zeroing(
        task.model,
        task.params,
        task.inputs,
        task.predictions.positions,
        layers=settings.layers,
        distance=settings.distance,
        chunk=task.chunk,
        counts=task.counts,
    )
    return _over_span(task, scores)


def _over_span(task: MethodTask, scores: InputScores) -> InputScores:
    """The scores; of a span explained as one prediction, their sum over its predictions."""
    if not task.is_span:
        return scores
    source = None if scores.source is None else scores.source.sum(2, keepdims=True)
    return InputScores(scores.target.sum(2, keepdims=True), source)


def _never(settings: object) -> bool:
    del settings
    return False


_NOTHING: frozenset[str] = frozenset()
ATTENTION = Method("attention", _attention, AttentionWeights, _NOTHING, is_signed=_never, unit="")
ATTENTION_ROLLOUT = Method(
    "attention_rollout", _rollout, AttentionRollout, _NOTHING, is_signed=_never, unit=""
)
VALUE_ZEROING = Method(
    "value_zeroing", _value_zeroing, ValueZeroing, _NOTHING, is_signed=_never, chunked="copies", unit=""
)
