"""The step functions by name, with their inputs, their units, and how their numbers are combined."""

import difflib
import functools
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from jaxlm.errors import UsageError
from jaxlm.steps import _contrast_functions as contrasts
from jaxlm.steps import _functions as functions
from jaxlm.steps._inputs import StepInputs
from jaxlm.typing import Array

Need = Literal["targets", "contrast_logits", "contrast_targets", "noisy_logits", "rng"]
Span = Literal["sum", "product", "absmax"]
NEEDS: tuple[Need, ...] = ("targets", "contrast_logits", "contrast_targets", "noisy_logits", "rng")
SPANS: tuple[Span, ...] = ("sum", "product", "absmax")
# In place of a default, for options without one.
REQUIRED = inspect.Parameter.empty
CONTRAST = frozenset({"contrast_logits", "contrast_targets"})


class StepFunction(NamedTuple):
    """A step function, which makes one number from a prediction, with its properties.

    The record can be called like the function itself, with a `StepInputs`.

    Attributes:
      name: the function's name with the options that were set, such as `top_p_size(top_p=0.9)`.
      function: a pure function that takes a `StepInputs`, and options by keyword. It returns `Float32[...]`,
        one number for each prediction.
      needs: the names of the fields of `StepInputs` that the function reads besides `logits`.
      unit: the unit of the numbers: "nats", "bits", "probability", "logit", "tokens", "deviations" (standard
        deviations), "perplexity", or "" if it is unknown.
      span: how the numbers of a span of tokens are combined into one: their "sum", their "product", or the
        number of the largest magnitude with its sign ("absmax"), as in the library inseq.
      is_differentiable: whether the gradient with respect to the logits is useful; False for a function that
        is constant almost everywhere.
      options: pairs of the name and the value of each option that was set, sorted by name.

    Example:
      >>> from jaxlm.steps import step_function
      >>> step_function("entropy").unit, step_function("entropy").span
      ('nats', 'sum')
    """

    name: str
    function: Callable[..., Array]
    needs: frozenset[Need] = frozenset({"targets"})
    unit: str = ""
    span: Span = "absmax"
    is_differentiable: bool = True
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, inputs: StepInputs) -> Array:
        """Returns the function's numbers, `Float32[...]`.

        Args:
          inputs: the predictions.
        """
        return self.function(inputs, **dict(self.options))

    @property
    def needs_contrast(self) -> bool:
        """Whether the function compares a prediction with the prediction for another text or target."""
        return bool(self.needs & CONTRAST)


def _as_needs(needs: Iterable[str]) -> frozenset[Need]:
    given = set(needs)
    unknown = sorted(given.difference(NEEDS))
    if unknown:
        raise UsageError(f"needs are among {', '.join(NEEDS)}: got {unknown[0]!r}")
    return frozenset(need for need in NEEDS if need in given)


def _as_span(span: str) -> Span:
    functions.check_choice("span", span, SPANS)
    return next(known for known in SPANS if known == span)


def _row(function: Callable[..., Array], needs: str, unit: str, span: Span) -> StepFunction:
    return StepFunction(function.__name__, function, _as_needs(needs.split()), unit, span)


_PAIR = "targets contrast_logits contrast_targets"
_ROWS = (
    _row(functions.logit, "targets", "logit", "absmax"),
    _row(functions.probability, "targets", "probability", "product"),
    _row(functions.entropy, "", "nats", "sum"),
    _row(functions.crossentropy, "targets", "nats", "sum"),
    _row(functions.perplexity, "targets", "perplexity", "product"),
    _row(contrasts.contrast_logits, "contrast_logits contrast_targets", "logit", "absmax"),
    _row(contrasts.contrast_prob, "contrast_logits contrast_targets", "probability", "product"),
    _row(contrasts.contrast_logits_diff, _PAIR, "logit", "absmax"),
    _row(contrasts.contrast_prob_diff, _PAIR, "probability", "product"),
    _row(contrasts.pcxmi, _PAIR, "bits", "sum"),
    _row(contrasts.in_context_pvi, _PAIR, "nats", "sum"),
    _row(contrasts.kl_divergence, "contrast_logits", "nats", "sum"),
    _row(functions.mc_dropout_prob_avg, "targets noisy_logits", "probability", "product"),
    _row(functions.top_p_size, "", "tokens", "absmax")._replace(is_differentiable=False),
)
# Options that change the unit or the span: log-probs are added where probabilities are multiplied. Later
# entries override earlier ones.
_CHANGED = {
    ("logprob", True): {"unit": "nats", "span": "sum"},
    ("base", "bits"): {"unit": "bits"},
    ("statistic", "z_score"): {"unit": "deviations", "span": "absmax"},
}
STEP_FUNCTIONS: Mapping[str, StepFunction] = {row.name: row for row in _ROWS}
_registered: dict[str, StepFunction] = {}


def step_function(name: Any, **options: Any) -> StepFunction:
    """Returns a step function by its name, or your own function as a step function, with its options set.

    A step function makes one number from a prediction, such as its entropy. The returned record's name
    consists of the function's name and the options that were set: `kl_divergence(top_k=20)`.

    Args:
      name: a name of `STEP_FUNCTIONS`, a registered name, a `StepFunction`, or a callable that takes a
        `StepInputs`. A function of `jaxlm.steps`, also in a `functools.partial`, has the properties of its
        entry in `STEP_FUNCTIONS`. Your own function is assumed to need the targets only, and to have no unit.
      **options: options of the function, as keyword arguments that it takes.

    Raises:
      UsageError: if the name is unknown (the message has the nearest one), the function does not take an
        option, or an option without a default is missing.

    Example:
      >>> from jaxlm.steps import step_function
      >>> step_function("top_p_size", top_p=0.9).name
      'top_p_size(top_p=0.9)'
      >>> step_function("entropie")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: no step function 'entropie'; did you mean 'entropy'? There are logit, ...
      >>> step_function("entropy", base="bits")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: entropy takes no option: got base
    """
    row = _resolve(name)
    _check_options(row, options)
    if not options:
        return row
    merged = tuple(sorted({**dict(row.options), **options}.items()))
    shown = ", ".join(f"{key}={value}" for key, value in merged)
    plain = row.name.partition("(")[0]
    changed = _unit_and_span(row, STEP_FUNCTIONS.get(plain), merged)
    return row._replace(name=f"{plain}({shown})", options=merged, **changed)


def option_defaults(name: str) -> dict[str, Any]:
    """Returns the options of a step function with their defaults, `REQUIRED` for options without one.

    Args:
      name: a name of `STEP_FUNCTIONS`, or a registered one.

    Raises:
      UsageError: if the name is unknown; the message has the nearest one.

    Example:
      >>> from jaxlm.steps._table import option_defaults
      >>> option_defaults("crossentropy")
      {'base': 'nats'}
    """
    parameters = list(inspect.signature(_resolve(name).function).parameters.values())[1:]
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind in kinds}


def register_step_function(
    function: Any,
    name: str | None = None,
    *,
    needs: Iterable[str] = ("targets",),
    unit: str = "",
    span: str = "absmax",
    is_differentiable: bool = True,
    overwrite: bool = False,
) -> StepFunction:
    """Registers your own step function under a name, for this process, and returns it as a `StepFunction`.

    Args:
      function: a pure function that takes a `StepInputs` with any leading dimensions, and options by keyword,
        and returns `Float32[...]`, one number for each prediction. Or a `StepFunction`, whose properties
        replace the other arguments.
      name: the name to register; None: the function's own name.
      needs: the names of the fields of `StepInputs` that the function reads besides `logits`.
      unit: the unit of the function's numbers, such as "nats"; "" if it is unknown.
      span: how the numbers of several tokens are combined: "sum", "product" or "absmax" (the number of the
        largest magnitude, with its sign).
      is_differentiable: whether the gradient with respect to the logits is useful.
      overwrite: whether the function may replace a registered function of the same name.

    Raises:
      UsageError: if the name is taken and `overwrite` is False, the name is not an identifier, or a need or
        the span is unknown.
      TypeError: if the function is not callable.

    Example:
      >>> import jax
      >>> from jaxlm.steps import register_step_function
      >>> def margin(inputs):
      ...     top = jax.lax.top_k(inputs.logits, 2)[0]
      ...     return top[..., 0] - top[..., 1]
      >>> register_step_function(margin, needs=(), unit="logit", overwrite=True).name
      'margin'
      >>> register_step_function(margin, "entropy")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: a step function 'entropy' is there already; choose another name, ...
    """
    if not isinstance(function, Callable):
        raise TypeError(f"a step function is a callable of a StepInputs: got {function!r}")
    needs = (needs,) if isinstance(needs, str) else needs
    if isinstance(function, StepFunction):
        row = function if name is None else function._replace(name=name)
    else:
        row = StepFunction(name or _name_of(function), function, _as_needs(needs), unit, _as_span(span))
        row = row._replace(is_differentiable=is_differentiable)
    _check_name(row)
    if not overwrite and (row.name in STEP_FUNCTIONS or row.name in _registered):
        raise UsageError(
            f"a step function {row.name!r} is there already; choose another name, or overwrite=True"
        )
    _registered[row.name] = row
    return row


def list_step_functions() -> list[str]:
    """Returns the names of all step functions; functions that were registered are at the end.

    Example:
      >>> from jaxlm.steps import list_step_functions
      >>> list_step_functions()[:3]
      ['logit', 'probability', 'entropy']
    """
    return list({**STEP_FUNCTIONS, **_registered})


def resolve_step_functions(asked: Any) -> tuple[StepFunction, ...]:
    """Returns the step functions that are asked for.

    Args:
      asked: a name, a callable, or several of them.

    Raises:
      UsageError: as `step_function`; if there is no function, or two have the same name.

    Example:
      >>> from jaxlm.steps import step_function
      >>> from jaxlm.steps._table import resolve_step_functions
      >>> [row.name for row in resolve_step_functions(["entropy", step_function("top_p_size", top_p=0.5)])]
      ['entropy', 'top_p_size(top_p=0.5)']
    """
    several = [asked] if isinstance(asked, str) or callable(asked) else asked
    several = list(several) if isinstance(several, Iterable) else [several]
    rows = tuple(_hashable(step_function(function)) for function in several)
    names = [row.name for row in rows]
    if not rows:
        raise UsageError(f"no step function is asked for; there are {', '.join(list_step_functions())}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two step functions are called {twice!r}: give each a name of its own")
    return rows


def _resolve(name: Any) -> StepFunction:
    if isinstance(name, StepFunction):
        return name
    if isinstance(name, Callable):
        return _row_of(name)
    known = {**STEP_FUNCTIONS, **_registered}
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}? There are" if near else "; there are"
        raise UsageError(f"no step function {name!r}{hint} {', '.join(known)}")
    return known[name]


def _row_of(function: Callable[..., Array]) -> StepFunction:
    """A callable as a `StepFunction`: its entry in the table, or your own function with its name."""
    if isinstance(function, functools.partial) and not function.args:
        inner = _row_of(function.func)
        if inner.function is function.func and inner.name in STEP_FUNCTIONS:
            return step_function(inner, **function.keywords)
    own = next((row for row in _ROWS if row.function is function), None)
    if own is not None:
        return own
    return StepFunction(_name_of(function), function)


def _hashable(row: StepFunction) -> StepFunction:
    """The step function with a hashable callable, without which every call would compile it again."""
    try:
        hash(row.function)
    except TypeError:
        return row._replace(function=functools.partial(row.function))
    return row


def _unit_and_span(
    row: StepFunction, known: StepFunction | None, options: Iterable[tuple[str, Any]]
) -> dict[str, str]:
    """The unit and the span that follow from all options, in whichever order they were set."""
    if known is None or known.function is not row.function:
        return {}
    changed = {"unit": known.unit, "span": known.span}
    for pair, changes in _CHANGED.items():
        changed |= changes if pair in options else {}
    return changed


def _check_options(row: StepFunction, options: Mapping[str, Any]) -> None:
    parameters = list(inspect.signature(row.function).parameters.values())[1:]
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        known = [parameter.name for parameter in parameters]
        unknown = [option for option in options if option not in known]
        if unknown:
            expected = f"the options {', '.join(known)}" if known else "no option"
            raise UsageError(f"{row.name} takes {expected}: got {', '.join(unknown)}")
    unhashable = next((name for name, value in options.items() if not isinstance(value, Hashable)), None)
    if unhashable is not None:
        raise UsageError(f"an option is a number or a word: got {unhashable}={options[unhashable]!r}")
    given = {**dict(row.options), **options}
    required = [parameter.name for parameter in parameters if _is_required(parameter)]
    missing = [name for name in required if name not in given]
    if missing:
        raise UsageError(
            f"{row.name} needs {', '.join(missing)}: give it by step_function({row.name!r}, "
            f"{missing[0]}=...), on a command line as '{row.name}({missing[0]}=...)'"
        )


def _is_required(parameter: inspect.Parameter) -> bool:
    is_option = parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return is_option and parameter.default is parameter.empty


def _check_name(row: StepFunction) -> None:
    if not row.name or not row.name.isidentifier():
        raise UsageError(
            f"a step function is registered by a name of letters, digits and _: got {row.name!r}"
        )


def _name_of(function: Callable[..., Array]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
