"""Step functions from one line of text: `entropy`, `top_p_size=0.9`, `kl_divergence(top_k=20)`."""

import ast
from typing import Any

from jaxlm.errors import UsageError
from jaxlm.steps._table import REQUIRED, StepFunction, option_defaults, step_function


def parse_step_function(text: str) -> StepFunction:
    """Returns the step function that a line names, with its options set.

    Args:
      text: one of three forms: a name; `name=value`, where the value belongs to the function's only option,
        or to the only option without a default; or a name with its options in brackets, as in
        `StepFunction.name`.

    Raises:
      UsageError: if the line has another form, the name is unknown, the function does not take an option, or
        an option without a default is missing.

    Example:
      >>> from jaxlm.steps import parse_step_function
      >>> parse_step_function("top_p_size=0.9").name
      'top_p_size(top_p=0.9)'
      >>> parse_step_function("kl_divergence(top_k=20, top_p=0.5)").options
      (('top_k', 20), ('top_p', 0.5))
    """
    name, bracket, rest = text.strip().partition("(")
    if not bracket:
        name, equals, value = name.partition("=")
        if not equals:
            return step_function(name)
        options = {_only_option(name): _value(value)}
        _check_types(name, options)
        return step_function(name, **options)
    if not rest.endswith(")"):
        raise _misspelled(text)
    pairs = [pair.partition("=") for pair in rest[:-1].split(",") if pair.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise _misspelled(text)
    options = {option.strip(): _value(value) for option, _, value in pairs}
    _check_types(name, options)
    return step_function(name, **options)


def _only_option(name: str) -> str:
    """The option that a single value sets: the only one without a default, or the only one."""
    defaults = option_defaults(name)
    names = [option for option, default in defaults.items() if default is REQUIRED] or list(defaults)
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{name} takes no option: got a value; write {name}")
    raise UsageError(
        f"{name} takes {', '.join(names)}: got one value without its option; write {name}(option=value)"
    )


def _value(text: str) -> Any:
    """A number, True or False, or a word."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()
    return value if isinstance(value, (bool, int, float, str)) else text.strip()


def _check_types(name: str, options: dict[str, Any]) -> None:
    """Checks that values have the type of the option's default, such as True or False."""
    defaults = option_defaults(name)
    for option, value in options.items():
        default = defaults.get(option, REQUIRED)
        if default is REQUIRED:
            continue
        kinds = type(default) if isinstance(default, (bool, str)) else (int, float)
        if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise UsageError(f"{name}: {option} is such as {default!r}: got {value!r}")


def _misspelled(text: str) -> UsageError:
    return UsageError(
        f"a step function is a name, name=value, or name(option=value, ...): got {text!r}; see "
        f"steps.list_step_functions()"
    )
