"""What is asked of `attribute`: the method, the step function and the contrast, each checked once."""

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxlm import models, pretrained, steps
from jaxlm.attribution._method import Method
from jaxlm.attribution._table import METHODS
from jaxlm.errors import UsageError

_REDUCTIONS = (None, "sum")
# The step function of who names none.
DEFAULT_STEP = "probability"


class AttributionRequest(NamedTuple):
    """What is computed, after all checks that need no text.

    Attributes:
      method: the method.
      settings: its settings.
      step: the explained step function; None: the method explains none.
      score_functions: the step functions whose numbers are put beside.
      contrast: what comparing functions compare with; None: nothing is compared.
      baseline: what replaces the input; None: the method needs no baseline.
      is_span: whether the predictions of a text are explained as one.
      is_granular: whether there is a score for each dimension.
    """

    method: Method
    settings: Any
    step: steps.StepFunction | None
    score_functions: tuple[steps.StepFunction, ...]
    contrast: steps.Contrast | None
    baseline: Any
    is_span: bool
    is_granular: bool

    @property
    def draws(self) -> bool:
        """Whether anything needs a key."""
        own = "rng" in self.method.needs or (self.step is not None and _step_draws(self.step))
        return own or any(_step_draws(function) for function in self.score_functions)

    @property
    def forces_inputs(self) -> bool:
        """Whether the explained function reads a run on the contrast's own tokens."""
        if self.step is None or self.contrast is None or not self.step.needs_contrast:
            return False
        if self.contrast.force_inputs is not None:
            return bool(self.contrast.force_inputs)
        return "contrast_targets" not in self.step.needs


def find_method(name: Any) -> Method:
    """Returns a method by its name in `METHODS`, or a `Method` as it is.

    Args:
      name: the name, or a method of your own.

    Raises:
      UsageError: if the name is unknown; the message has the nearest one.

    Example:
      >>> from jaxlm.attribution._request import find_method
      >>> find_method("salience")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: no method 'salience'; did you mean 'saliency'? There are saliency, ...
    """
    if isinstance(name, Method):
        return name
    if not isinstance(name, str) or name not in METHODS:
        near = difflib.get_close_matches(str(name), METHODS, n=1)
        hint = f"; did you mean {near[0]!r}? There are" if near else "; there are"
        raise UsageError(f"no method {name!r}{hint} {', '.join(METHODS)}")
    return METHODS[name]


def attribution_request(
    kind: str,
    *,
    method: Any,
    settings: Any,
    step: Any,
    step_scores: Any,
    contrast: Any,
    has_targets: bool,
    baseline: Any,
    reduce: str | None,
    granular: bool,
) -> AttributionRequest:
    """Returns the request, checked against the kind of the model.

    Args:
      kind: "causal", "masked" or "seq2seq".
      method: as for `attribute`, like all that follow.
      settings: of the method.
      step: the explained step function.
      step_scores: step functions beside.
      contrast: what they compare with.
      has_targets: whether targets are given.
      baseline: what replaces the input.
      reduce: None or "sum".
      granular: whether there is a score for each dimension.

    Raises:
      UsageError: if a name is unknown, something is missing or not used, or the method cannot explain it.
    """
    row = find_method(method)
    _check_method(row, kind, settings, reduce, baseline, granular=granular)
    explained = _read_step(row, step)
    if explained is not None and "gradient" in row.needs and not explained.is_differentiable:
        raise UsageError(
            f"{row.name} takes the gradient of a step function, and {explained.name} is constant almost "
            "everywhere; take another one, or method='occlusion'"
        )
    several = (step_scores,) if isinstance(step_scores, str) or callable(step_scores) else step_scores
    functions = tuple(steps.step_function(function) for function in _listed(several))
    compared = _read_contrast(row, explained, functions, contrast, has_targets=has_targets)
    return AttributionRequest(
        row,
        row.settings() if settings is None else settings,
        explained,
        functions,
        compared,
        ("zero" if baseline is None else baseline) if "baseline" in row.needs else None,
        reduce == "sum",
        granular,
    )


def _check_method(
    row: Method, kind: str, settings: Any, reduce: Any, baseline: Any, *, granular: bool
) -> None:
    """Checks what is asked of a method, apart from step functions."""
    if kind not in row.kinds:
        raise UsageError(f"{row.name} explains {' and '.join(row.kinds)} models: got a {kind} one")
    if settings is not None and type(settings) is not row.settings:
        raise UsageError(
            f"the settings of {row.name} are a {row.settings.__name__}: got {type(settings).__name__}"
        )
    if reduce not in _REDUCTIONS:
        raise UsageError(f"reduce is None or 'sum': got {reduce!r}")
    if granular and not row.is_granular:
        able = ", ".join(name for name, other in METHODS.items() if other.is_granular)
        raise UsageError(f"{row.name} has no scores for dimensions; leave granular out, or take {able}")
    if baseline is not None and "baseline" not in row.needs:
        raise UsageError(f"{row.name} has no baseline; leave it out")


def check_key(request: AttributionRequest, rng: Any) -> None:
    """Checks that a key is given where something draws, and only there.

    Args:
      request: what is computed.
      rng: a key, or None.

    Raises:
      UsageError: if the key is missing, or not used.
    """
    drawing = [request.method.name] if "rng" in request.method.needs else []
    functions = (*(() if request.step is None else (request.step,)), *request.score_functions)
    drawing += [function.name for function in functions if _step_draws(function)]
    if drawing and rng is None:
        raise UsageError(f"{drawing[0]} draws: give rng=jax.random.key(seed)")
    if rng is not None and not drawing:
        raise UsageError(f"a key is given, and {request.method.name} does not draw; leave rng out")


def check_dropout(loaded: pretrained.Loaded, step: steps.StepFunction | None) -> None:
    """Checks that the model has dropout, if the explained step function needs it.

    Args:
      loaded: the model.
      step: the explained step function, or None.

    Raises:
      UsageError: if the function runs the model under dropout and the model has none.
    """
    if step is None or "noisy_logits" not in step.needs:
        return
    if not any(getattr(loaded.config, rate) for rate in models.DROPOUTS):
        raise UsageError(
            f"{step.name} runs a model under dropout, and the model has none: all of "
            f"{', '.join(models.DROPOUTS)} are 0"
        )


def _read_step(method: Method, step: Any) -> steps.StepFunction | None:
    function = steps.step_function(step)
    if "step" in method.needs:
        return function
    if function.name != DEFAULT_STEP:
        raise UsageError(
            f"{method.name} explains no step function: got {function.name}; leave step out, or put it beside "
            "the scores with step_scores"
        )
    return None


def _read_contrast(
    method: Method,
    step: steps.StepFunction | None,
    functions: tuple[steps.StepFunction, ...],
    contrast: Any,
    *,
    has_targets: bool,
) -> steps.Contrast | None:
    named = (*(() if step is None else (step,)), *functions)
    comparing = [function for function in named if function.needs_contrast]
    if contrast is None:
        if comparing:
            raise UsageError(
                f"{comparing[0].name} compares two runs: give contrast=..., other texts or targets"
            )
        return None
    if not comparing:
        who = ", ".join(function.name for function in named) or method.name
        raise UsageError(f"a contrast is given, and none of {who} compares; leave it out")
    record = steps.as_contrast(contrast, has_targets=has_targets)
    if record.force_inputs is None and has_targets and record.targets is None:
        # Its targets are those of the text, which only other inputs tell apart.
        record = record._replace(force_inputs=True)
    if record.force_inputs is not None and not record.force_inputs:
        both = next((one for one in comparing if "contrast_targets" not in one.needs), None)
        if both is not None:
            raise UsageError(f"{both.name} compares two runs, and force_inputs=False makes one; leave it out")
    return record


def _listed(functions: Any) -> list[Any]:
    if not isinstance(functions, Iterable):
        raise UsageError(f"step_scores are names of step functions, or functions: got {functions!r:.60}")
    return list(functions)


def _step_draws(function: steps.StepFunction) -> bool:
    return bool(function.needs & {"rng", "noisy_logits"})
