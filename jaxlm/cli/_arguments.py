"""The arguments of a command, read once: its options by their full names, and what belongs to none."""

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tyro

from jaxlm.cli._failures import UsageError, nearest_name
from jaxlm.cli._record_options import flat_options
from jaxlm.cli._values import as_flag, checked_value, takes_many

# "-5" is a number and "- a tale" a text: an option's name begins with a letter.
OPTION = re.compile(r"--?[A-Za-z]")
END_OF_OPTIONS, HELP = "--", ("-h", "--help")


class Option(NamedTuple):
    """One spelling of an option.

    Attributes:
      name: the option's full name, "--run.loud" for "--run.no-loud" too.
      hint: its type.
      sets: what this spelling of a flag sets it to; None: it is no flag.
      opposite: the argument that sets a flag to False; None: to leave it out does.
    """

    name: str
    hint: Any
    sets: bool | None = None
    opposite: str | None = None


class Arguments(NamedTuple):
    """What a command was given.

    Attributes:
      positionals: what belongs to no option, in order.
      given: the values of each option by its full name, "True" or "False" of a flag.
      known: from `known_options`.
    """

    positionals: tuple[str, ...]
    given: dict[str, tuple[str, ...]]
    known: Mapping[str, Option]

    def value(self, name: str) -> str | None:
        """Returns the one value of an option; None where it was not given, or given as None."""
        found = self.given.get(name, ("None",))
        return None if found == ("None",) else found[0]

    def flag(self, name: str) -> bool:
        """Returns whether a flag was given and is on."""
        return self.given.get(name) == ("True",)

    def without(self, *names: str) -> "Arguments":
        """Returns these without some options, and without what belongs to none."""
        kept = {name: values for name, values in self.given.items() if name not in names}
        return self._replace(positionals=(), given=kept)

    def as_list(self) -> list[str]:
        """Returns them as a parser takes them: every option in full, then what belongs to none."""
        options = [part for name, values in self.given.items() for part in self._spelled(name, values)]
        return [*options, *((END_OF_OPTIONS, *self.positionals) if self.positionals else ())]

    def _spelled(self, name: str, values: tuple[str, ...]) -> list[str]:
        option = self.known[name]
        if option.sets is not None:
            return [name] if values == ("True",) else [option.opposite] if option.opposite else []
        return [f"{name}={values[0]}"] if len(values) == 1 else [name, *values]


def known_options(kind: type, prefix: str = "") -> dict[str, Option]:
    """Returns every option of a dataclass of dataclasses by each of its spellings.

    Example:
      >>> @dataclasses.dataclass
      ... class Run:
      ...     max_steps: int = 1
      ...     verbose: bool = False
      >>> list(known_options(Run, "run."))
      ['--run.max-steps', '--run.verbose', '--run.no-verbose']
    """
    known: dict[str, Option] = {}
    kind = flat_options(kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        marks = getattr(hint, "__metadata__", ())
        plain = hint.__origin__ if marks else hint
        label = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), field.name)
        if any(mark is tyro.conf.Positional for mark in marks):
            continue
        if dataclasses.is_dataclass(plain):
            known |= known_options(plain, f"{prefix}{label}." if label else prefix)
            continue
        aliases = [alias for mark in marks for alias in getattr(mark, "aliases", None) or ()]
        has_pair = not any(mark is tyro.conf.FlagCreatePairsOff for mark in marks)
        known |= _spellings(prefix, label, plain, aliases, has_pair=has_pair)
    return known


def read_arguments(arguments: Sequence[str], known: Mapping[str, Option], *, program: str) -> Arguments:
    """Returns what a command was given, every option in full and every value checked against its type.

    An option may be given without its prefix where no other ends like it, and takes its value behind a space
    or "=". A flag takes none, or a word for true or false behind "=". An option of several values takes all
    up to the next option; what follows "--" belongs to no option.

    Args:
      arguments: what follows the command.
      known: from `known_options`.
      program: what the refusals call the command, "jaxlm fill".

    Raises:
      UsageError: for an unknown option (naming the nearest known one), one that stands for several or is
        given twice, and a value that is missing, ill-typed or given to a flag.

    Example:
      >>> known = {"--run.steps": Option("--run.steps", int), "--data": Option("--data", tuple[str, ...])}
      >>> found = read_arguments(["a.py", "--steps", "5", "--data", "x", "y"], known, program="p")
      >>> found.positionals, found.given
      (('a.py',), {'--run.steps': ('5',), '--data': ('x', 'y')})
    """
    positionals: list[str] = []
    given: dict[str, tuple[str, ...]] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == END_OF_OPTIONS:
            positionals += rest
            break
        if not OPTION.match(argument):
            positionals.append(argument)
            continue
        spelling, value = _divided(argument, known)
        option = _find(spelling, known, program)
        if option.name in given:
            raise UsageError(f"{option.name} is given twice: give it once; see {program} --help")
        values = _flag(spelling, option, value, rest) if option.sets is not None else None
        given[option.name] = values or _values(option, value, rest, program)
    return Arguments(tuple(positionals), given, known)


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Returns whether `-h` or `--help` stands among the options.

    Example:
      >>> asks_for_help(["a", "-h"]), asks_for_help(["a", "--", "-h"])
      (True, False)
    """
    options = arguments[: arguments.index(END_OF_OPTIONS)] if END_OF_OPTIONS in arguments else arguments
    return any(one in HELP for one in options)


def without_help(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments without `-h` and `--help`, for what is looked at before the help is shown.

    Example:
      >>> without_help(["a.py", "--help"])
      ['a.py']
    """
    return [one for one in arguments if one not in HELP]


def nearest_option(name: str, names: Sequence[str]) -> str:
    """Returns "; did you mean --run.steps?" for the option nearest to `name` in full or by its last word.

    Example:
      >>> nearest_option("--stepz", ["--run.steps", "--data.paths"])
      '; did you mean --run.steps?'
    """
    by_word = {"--" + known.removeprefix("--").rpartition(".")[2]: known for known in names}
    words = {**by_word, **{known: known for known in names}}
    found = nearest_name(name, words)
    return f"; did you mean {words[found]}?" if found else ""


def _spellings(
    prefix: str, label: str, hint: Any, aliases: Sequence[str], *, has_pair: bool
) -> dict[str, Option]:
    name, negated = (f"--{prefix}{word}".replace("_", "-") for word in (label, f"no_{label}"))
    if hint is not bool:
        return dict.fromkeys([name, *aliases], Option(name, hint))
    opposite = negated if has_pair else None
    on, off = (Option(name, bool, sets, opposite) for sets in (True, False))
    return {name: on, **dict.fromkeys(aliases, on), negated: off}


def _divided(argument: str, known: Mapping[str, Option]) -> tuple[str, str | None]:
    """An option as it is spelled, and the value that is joined to it: by "=", or of "-n5" by nothing."""
    if not argument.startswith("--") and argument[:2] in known and argument[2:3] not in ("", "="):
        return argument[:2], argument[2:]
    spelling, equals, value = argument.partition("=")
    return spelling.replace("_", "-"), value if equals else None


def _find(spelling: str, known: Mapping[str, Option], program: str) -> Option:
    if spelling in known:
        return known[spelling]
    found = [one for one in known if one.endswith(f".{spelling[2:]}") and spelling.startswith("--")]
    # An option of a section is meant before one of a record inside a section: --depth is the model's.
    levels = [one.count(".") for one in found]
    found = [one for one, level in zip(found, levels, strict=True) if level == min(levels)]
    if len(found) > 1:
        raise UsageError(f"{spelling} stands for several options: write {' or '.join(found)}")
    if not found:
        near = nearest_option(spelling, list(known))
        text = "; a text that begins so follows --" if " " in spelling else ""
        raise UsageError(f"unknown option {spelling[:60]} (see {program} --help){near}{text}")
    return known[found[0]]


def _flag(spelling: str, option: Option, value: str | None, rest: Sequence[str]) -> tuple[str, ...]:
    """What a flag is set to: its value, if it has one, is a word for true or false."""
    on, off = option.name, option.opposite
    remedy = f"write {on} or {off}" if off else f"write {on} or leave it out"
    if value is None:
        following = rest[0] if rest else ""
        if as_flag(following) is not None or following.lower() == "none":
            raise UsageError(
                f"{spelling} takes no value: got {following!r} behind it; {remedy}, and a text before it or "
                f"behind {END_OF_OPTIONS}"
            )
        return (str(option.sets),)
    word = as_flag(value) if option.sets else None
    if word is None:
        wanted = "is true or false" if option.sets else "takes no value"
        raise UsageError(f"{spelling} {wanted}: got {value[:60]!r}; {remedy}")
    return (str(word),)


def _values(option: Option, value: str | None, rest: list[str], program: str) -> tuple[str, ...]:
    """The values of an option, those that stand behind it taken from the rest."""
    taken = [] if value is None else [value]
    most = len(rest) if takes_many(option.hint) else 1
    while (
        value is None
        and rest
        and len(taken) < most
        and rest[0] != END_OF_OPTIONS
        and not OPTION.match(rest[0])
    ):
        taken.append(rest.pop(0))
    if not taken:
        raise UsageError(f"{option.name} needs a value; see {program} --help")
    try:
        return tuple(checked_value(option.name, option.hint, one) for one in taken)
    except UsageError as error:
        raise UsageError(f"{error}; see {program} --help") from None
