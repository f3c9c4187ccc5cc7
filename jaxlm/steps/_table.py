"""The step functions by name: what each needs, its unit, and how it adds up over a span of tokens."""

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
NEEDS = ("targets", "contrast_logits", "contrast_targets", "noisy_logits", "rng")
SPANS = ("sum", "product", "absmax")
# The default of an option that has none.
REQUIRED = inspect.Parameter.empty
CONTRAST = frozenset({"contrast_logits", "contrast_targets"})


class StepFunction(NamedTuple):
    """A step function and what is known of it. It is called like the function itself.

    Attributes:
      name: what its numbers are called.
      function: of a `StepInputs`, and of the options by keyword, to `Float32[...]`.
      needs: the fields of `StepInputs` that it reads besides `logits`.
      unit: "nats", "bits", "probability", "logit", "tokens", "deviations", "perplexity", or "" if unknown.
      span: what its numbers over a span of tokens become: their "sum", their "product", or the one of the
        largest magnitude, with its sign ("absmax"), as in inseq.
      is_differentiable: whether its gradient with respect to the logits says anything.
      options: the values of its options that differ from the function's defaults, sorted by name.

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
        """Returns the function's numbers, `Float32[...]`."""
        return self.function(inputs, **dict(self.options))

    @property
    def needs_contrast(self) -> bool:
        """Whether it compares two runs."""
        return bool(self.needs & CONTRAST)


def _row(function: Callable[..., Array], needs: str, unit: str, span: Span) -> StepFunction:
    return StepFunction(function.__name__, function, frozenset(needs.split()), unit, span)


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
# What an option changes besides the number: logarithms of probabilities add up where these are multiplied. A
# later one counts more.
_CHANGED = {
    ("logprob", True): {"unit": "nats", "span": "sum"},
    ("base", "bits"): {"unit": "bits"},
    ("statistic", "z_score"): {"unit": "deviations", "span": "absmax"},
}
STEP_FUNCTIONS: Mapping[str, StepFunction] = {row.name: row for row in _ROWS}
_registered: dict[str, StepFunction] = {}


def step_function(name: Any, **options: Any) -> StepFunction:
    """Returns a step function by its name, or one's own, with its options set.

    Its numbers are called by the name and the options that were given: `kl_divergence(top_k=20)`.

    Args:
      name: one of `STEP_FUNCTIONS`, one that was registered, a `StepFunction`, or a callable of a
        `StepInputs`. A function of this room, also in a `functools.partial`, is what its name stands for; one
        of one's own is said to need targets alone.
      **options: the function's own.

    Raises:
      UsageError: if the name is unknown (the nearest one is named), the function does not take an option, or
        one that has no default is missing.

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
    told = ", ".join(f"{key}={value}" for key, value in merged)
    plain = row.name.partition("(")[0]
    changed = _unit_and_span(row, STEP_FUNCTIONS.get(plain), merged)
    return row._replace(name=f"{plain}({told})", options=merged, **changed)


def option_defaults(name: str) -> dict[str, Any]:
    """Returns the options of a step function with their defaults, `REQUIRED` where there is none.

    Args:
      name: of `STEP_FUNCTIONS`, or one that was registered.

    Raises:
      UsageError: if the name is unknown; the nearest one is named.

    Example:
      >>> from jaxlm.steps._table import option_defaults
      >>> option_defaults("crossentropy")
      {'base': 'nats'}
    """
    parameters = list(inspect.signature(_resolve(name).function).parameters.values())[1:]
    named = [one for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return {one.name: REQUIRED if _is_required(one) else one.default for one in named}


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
    """Makes one's own step function known by a name, in this process, and returns its row.

    Args:
      function: of a `StepInputs` of any leading dimensions to `Float32[...]`, pure; options are keywords. Or
        a `StepFunction`, which says itself what the arguments behind `name` say.
      name: what it is called; None: the function's own name.
      needs: the fields of `StepInputs` that it reads besides `logits`.
      unit: of its numbers.
      span: "sum", "product" or "absmax"; see `StepFunction`.
      is_differentiable: whether its gradient says anything.
      overwrite: whether it may take the place of another one.

    Raises:
      UsageError: if the name is taken and `overwrite` is False, is no name, or a need or span is unknown.
      TypeError: if the function is no callable.

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
    if not callable(function):
        raise TypeError(f"a step function is a callable of a StepInputs: got {function!r}")
    needs = (needs,) if isinstance(needs, str) else needs
    if isinstance(function, StepFunction):
        row = function if name is None else function._replace(name=name)
    else:
        row = StepFunction(name or _name_of(function), function, frozenset(needs), unit, span)
        row = row._replace(is_differentiable=is_differentiable)
    _check_row(row)
    if not overwrite and (row.name in STEP_FUNCTIONS or row.name in _registered):
        raise UsageError(
            f"a step function {row.name!r} is there already; choose another name, or overwrite=True"
        )
    _registered[row.name] = row
    return row


def list_step_functions() -> list[str]:
    """Returns the names of all step functions, those that were registered last.

    Example:
      >>> from jaxlm.steps import list_step_functions
      >>> list_step_functions()[:3]
      ['logit', 'probability', 'entropy']
    """
    return list({**STEP_FUNCTIONS, **_registered})


def resolve_step_functions(asked: Any) -> tuple[StepFunction, ...]:
    """Returns the step functions that are asked for, with their names apart.

    Args:
      asked: a name, a callable, or several of them.

    Raises:
      UsageError: as `step_function`; if there is none, or two have one name.

    Example:
      >>> from jaxlm.steps import step_function
      >>> from jaxlm.steps._table import resolve_step_functions
      >>> [row.name for row in resolve_step_functions(["entropy", step_function("top_p_size", top_p=0.5)])]
      ['entropy', 'top_p_size(top_p=0.5)']
    """
    is_one = isinstance(asked, str) or callable(asked) or not isinstance(asked, Iterable)
    several = [asked] if is_one else list(asked)
    rows = tuple(_hashable(step_function(one)) for one in several)
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
    if callable(name):
        return _row_of(name)
    known = {**STEP_FUNCTIONS, **_registered}
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {near[0]!r}? There are" if near else "; there are"
        raise UsageError(f"no step function {name!r}{hint} {', '.join(known)}")
    return known[name]


def _row_of(function: Callable[..., Array]) -> StepFunction:
    """What is known of a callable: all of a function of this room, of one's own its name."""
    if isinstance(function, functools.partial) and not function.args:
        inner = _row_of(function.func)
        if inner.function is function.func and inner.name in STEP_FUNCTIONS:
            return step_function(inner, **function.keywords)
    own = next((row for row in _ROWS if row.function is function), None)
    if own is not None:
        return own
    return StepFunction(_name_of(function), function)


def _hashable(row: StepFunction) -> StepFunction:
    """The row, whose function has a hash: programs are remembered by it, others are compiled in each call."""
    try:
        hash(row.function)
    except TypeError:
        return row._replace(function=functools.partial(row.function))
    return row


def _unit_and_span(
    row: StepFunction, known: StepFunction | None, options: Iterable[tuple[str, Any]]
) -> dict[str, str]:
    """The unit and the span with all of its options set, whichever were set before."""
    if known is None or known.function is not row.function:
        return {}
    changed = {"unit": known.unit, "span": known.span}
    for pair, changes in _CHANGED.items():
        changed |= changes if pair in options else {}
    return changed


def _check_options(row: StepFunction, options: Mapping[str, Any]) -> None:
    parameters = list(inspect.signature(row.function).parameters.values())[1:]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        taken = [one.name for one in parameters]
        unknown = [option for option in options if option not in taken]
        if unknown:
            told = f"the options {', '.join(taken)}" if taken else "no option"
            raise UsageError(f"{row.name} takes {told}: got {', '.join(unknown)}")
    unhashable = next((name for name, value in options.items() if not isinstance(value, Hashable)), None)
    if unhashable is not None:
        raise UsageError(f"an option is a number or a word: got {unhashable}={options[unhashable]!r}")
    given = {**dict(row.options), **options}
    missing = [one.name for one in parameters if _is_required(one) and one.name not in given]
    if missing:
        raise UsageError(
            f"{row.name} needs {', '.join(missing)}: give it by step_function({row.name!r}, {missing[0]}=...)"
        )


def _is_required(parameter: inspect.Parameter) -> bool:
    is_one = parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return is_one and parameter.default is parameter.empty


def _check_row(row: StepFunction) -> None:
    if not row.name or not row.name.isidentifier():
        raise UsageError(
            f"a step function is registered by a name of letters, digits and _: got {row.name!r}"
        )
    unknown = [need for need in row.needs if need not in NEEDS]
    if unknown:
        raise UsageError(f"needs are among {', '.join(NEEDS)}: got {unknown[0]!r}")
    functions.check_choice("span", row.span, SPANS)


def _name_of(function: Callable[..., Array]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)
