"""Option names of nested dataclasses: their list, their short forms, and what is no option at all."""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any

import tyro

from jaxlm.cli._failures import UsageError


def option_names(kind: type, prefix: str = "") -> dict[str, Any]:
    """Returns every option of a dataclass of dataclasses by its name on the command line, with its type.

    Example:
        >>> @dataclasses.dataclass
        ... class Run:
        ...     max_steps: int = 1
        ...     verbose: bool = False
        >>> list(option_names(Run, "run."))
        ['--run.max-steps', '--run.verbose', '--run.no-verbose']
    """
    names = {}
    for field, hint in typing.get_type_hints(kind, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        plain = hint.__origin__ if marks else hint
        label = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), field)
        if any(mark is tyro.conf.Positional for mark in marks):
            continue
        if dataclasses.is_dataclass(plain):
            names |= option_names(plain, f"{prefix}{label}." if label else prefix)
            continue
        name = f"{prefix}{label}".replace("_", "-")
        names[f"--{name}"] = plain
        if plain is bool:
            names["--" + f"{prefix}no-{label}".replace("_", "-")] = plain
    return names


def expand_short(arguments: Sequence[str], names: dict[str, Any]) -> list[str]:
    """Returns the arguments with `--steps` written out as `--run.steps`, wherever only one option ends so.

    Args:
        arguments: what follows the command.
        names: from `option_names`.

    Returns:
        As many arguments; options that are not known, in full or in short, stay as they are.

    Raises:
        UsageError: if a short form stands for several options.

    Example:
        >>> expand_short(["a.py", "--steps", "5", "--data", "x"], {"--run.steps": int, "--data": tuple})
        ['a.py', '--run.steps', '5', '--data', 'x']
    """
    return [_expanded(argument, names) if argument.startswith("--") else argument for argument in arguments]


def split_positionals(arguments: Sequence[str], names: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Returns the arguments that belong to no option, and the others.

    An option takes what its type asks for: a flag nothing, a tuple everything up to the next option, any
    other one value.

    Args:
        arguments: what follows the command, options in full.
        names: from `option_names`.

    Example:
        >>> split_positionals(["--a", "1", "b.py", "--c", "d", "e"], {"--a": int, "--c": tuple[str, ...]})
        (['b.py'], ['--a', '1', '--c', 'd', 'e'])
    """
    positionals, options, room = [], [], 0
    for argument in arguments:
        if argument.startswith("-") and not _is_number(argument):
            options.append(argument)
            room = 0 if "=" in argument else _num_values(names.get(argument, str))
        elif room > 0:
            options.append(argument)
            room -= 1
        else:
            positionals.append(argument)
    return positionals, options


def _expanded(argument: str, names: dict[str, Any]) -> str:
    name, equals, value = argument.partition("=")
    name = name.replace("_", "-")
    found = [known for known in names if known.endswith(f".{name[2:]}")]
    if name in names or not found:
        return name + equals + value
    if len(found) > 1:
        raise UsageError(f"{name} stands for several options: write {' or '.join(found)}")
    return found[0] + equals + value


def _num_values(hint: Any) -> int | float:
    if hint is bool:
        return 0
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return float("inf") if any(typing.get_origin(option) is tuple for option in options) else 1


def _is_number(argument: str) -> bool:
    try:
        float(argument)
    except ValueError:
        return False
    return True
