"""The arguments of a command: its options by their full names, and the positional arguments."""

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tyro

from jaxlm.cli._failures import UsageError, nearest_name
from jaxlm.cli._record_options import flat_options
from jaxlm.cli._values import as_flag, checked_value, takes_many

# The name of an option begins with a letter: "-5" is a number, and "- a tale" a text.
OPTION = re.compile(r"--?[A-Za-z]")
END_OF_OPTIONS, HELP = "--", ("-h", "--help")
# What other programs call an option, and its name here.
OPTION_SYNONYMS = {
    "batch": "batch-size",
    "batch-size": "rows",
    "beam-size": "num-beams",
    "beams": "num-beams",
    "bs": "batch-size",
    "checkpoint": "init",
    "context-length": "row-length",
    "d-model": "width",
    "dim": "width",
    "epochs": "steps",
    "heads": "num-heads",
    "hidden-size": "width",
    "intermediate-size": "mlp-width",
    "iterations": "steps",
    "layers": "depth",
    "length": "max-new-tokens",
    "lr": "learning-rate",
    "max-length": "max-new-tokens",
    "max-steps": "steps",
    "n-layer": "depth",
    "nucleus": "top-p",
    "num-layers": "depth",
    "output": "out",
    "output-dir": "out",
    "output-folder": "out",
    "out-dir": "out",
    "precision": "dtype",
    "seq-len": "row-length",
    "sequence-length": "row-length",
    "temp": "temperature",
    "wd": "weight-decay",
    "workers": "actors",
}
# Options of other programs for which the environment has the remedy.
DEVICES = ("cpu", "cuda", "device", "devices", "gpu", "gpus", "tpu")
DEVICE_HINT = "; JAX chooses the devices: set JAX_PLATFORMS=cpu, or CUDA_VISIBLE_DEVICES=0"
FEWEST_LETTERS = 2


class Option(NamedTuple):
    """One spelling of an option.

    Attributes:
      name: the option's full name; "--run.loud" for the spelling "--run.no-loud", too.
      hint: the type of its value.
      sets: what this spelling of a flag sets it to; None: the option is no flag.
      opposite: the spelling that sets a flag to False; None: the flag is False when it is left out.
    """

    name: str
    hint: Any
    sets: bool | None = None
    opposite: str | None = None


class Arguments(NamedTuple):
    """The arguments that a command was given.

    Attributes:
      positionals: the arguments that belong to no option, in order.
      given: the values of each option by its full name; "True" or "False" for a flag.
      known: the command's options, from `known_options`.
    """

    positionals: tuple[str, ...]
    given: dict[str, tuple[str, ...]]
    known: Mapping[str, Option]

    def value(self, name: str) -> str | None:
        """Returns the value of an option; None if it was not given, or given as None."""
        values = self.given.get(name, ("None",))
        return None if values == ("None",) else values[0]

    def flag(self, name: str) -> bool:
        """Returns whether a flag was given and is on."""
        return self.given.get(name) == ("True",)

    def without(self, *names: str) -> "Arguments":
        """Returns the arguments without some options and without positional arguments."""
        rest = {name: values for name, values in self.given.items() if name not in names}
        return self._replace(positionals=(), given=rest)

    def as_list(self) -> list[str]:
        """Returns the arguments as a parser takes them: options by their full names, then positionals."""
        options = [part for name, values in self.given.items() for part in self._spelled(name, values)]
        return [*options, *((END_OF_OPTIONS, *self.positionals) if self.positionals else ())]

    def _spelled(self, name: str, values: tuple[str, ...]) -> list[str]:
        option = self.known[name]
        if option.sets is not None:
            return [name] if values == ("True",) else [option.opposite] if option.opposite else []
        return [f"{name}={values[0]}"] if len(values) == 1 else [name, *values]


def known_options(kind: type, prefix: str = "") -> dict[str, Option]:
    """Returns every option of a dataclass of dataclasses, by each of its spellings.

    Args:
      kind: the dataclass.
      prefix: what the names begin with, "run.".

    Example:
      >>> import dataclasses
      >>> from jaxlm.cli._arguments import known_options
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
        if isinstance(plain, type) and dataclasses.is_dataclass(plain):
            known |= known_options(plain, f"{prefix}{label}." if label else prefix)
            continue
        aliases = [alias for mark in marks for alias in getattr(mark, "aliases", None) or ()]
        has_pair = not any(mark is tyro.conf.FlagCreatePairsOff for mark in marks)
        known |= _spellings(prefix, label, plain, aliases, has_pair=has_pair)
    return known


def read_arguments(arguments: Sequence[str], known: Mapping[str, Option], *, program: str) -> Arguments:
    """Returns the arguments of a command, with full names of options and with checked values.

    An option may be given without its prefix if no other option ends like it. Its value follows a space or
    "=". A flag takes no value, or a word for true or false behind "=". An option of several values takes all
    arguments up to the next option. Arguments behind "--" belong to no option.

    Args:
      arguments: what follows the command.
      known: the command's options, from `known_options`.
      program: the command, for messages: "jaxlm fill".

    Raises:
      UsageError: for an option that is unknown (with a similar one), ambiguous or given twice, and for a
        value that is missing, of another type, or given to a flag.

    Example:
      >>> from jaxlm.cli._arguments import Option, read_arguments
      >>> known = {"--run.steps": Option("--run.steps", int), "--data": Option("--data", tuple[str, ...])}
      >>> read = read_arguments(["a.py", "--steps", "5", "--data", "x", "y"], known, program="p")
      >>> read.positionals, read.given
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
    """Returns whether `-h` or `--help` is among the options.

    Example:
      >>> from jaxlm.cli._arguments import asks_for_help
      >>> asks_for_help(["a", "-h"]), asks_for_help(["a", "--", "-h"])
      (True, False)
    """
    options = arguments[: arguments.index(END_OF_OPTIONS)] if END_OF_OPTIONS in arguments else arguments
    return any(option in HELP for option in options)


def without_help(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments without `-h` and `--help`: they decide which help is shown.

    Example:
      >>> from jaxlm.cli._arguments import without_help
      >>> without_help(["a.py", "--help"])
      ['a.py']
    """
    return [argument for argument in arguments if argument not in HELP]


def nearest_option(name: str, names: Sequence[str]) -> str:
    """Returns "; did you mean --run.steps?" for an unknown option; "" if no known option is like it.

    It knows what other programs call an option, beginnings and parts of names, and typing errors.

    Args:
      name: the unknown option.
      names: the known options, by their full names.

    Example:
      >>> from jaxlm.cli._arguments import nearest_option
      >>> nearest_option("--stepz", ["--run.steps", "--data.paths"])
      '; did you mean --run.steps?'
      >>> nearest_option("--lr", ["--tokenizer.rows", "--optimizer.learning-rate"])
      '; did you mean --optimizer.learning-rate?'
    """
    word = name.lstrip("-").lower()
    # Of several options with the same last word, the one with the fewest sections.
    by_word = {_last_word(known): known for known in sorted(names, key=lambda known: -known.count("."))}
    meant = OPTION_SYNONYMS.get(word)
    if meant in by_word:
        return f"; did you mean {by_word[meant]}?"
    if word in DEVICES:
        return DEVICE_HINT
    begins = [known for known in by_word if known.startswith(word)]
    contains = [known for known in by_word if word in known.split("-")]
    if len(word) >= FEWEST_LETTERS and (begins or contains):
        return f"; did you mean {by_word[min(begins or contains, key=len)]}?"
    words = {**{f"--{known}": full for known, full in by_word.items()}, **{known: known for known in names}}
    similar = nearest_name(name, words)
    return f"; did you mean {words[similar]}?" if similar else ""


def _last_word(option: str) -> str:
    return option.lstrip("-").rpartition(".")[2]


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
    """Returns the option as it is spelled, and the value that is joined to it, as in "--n=5" and "-n5"."""
    if not argument.startswith("--") and argument[:2] in known and argument[2:3] not in ("", "="):
        return argument[:2], argument[2:]
    spelling, equals, value = argument.partition("=")
    return spelling.replace("_", "-"), value if equals else None


def _find(spelling: str, known: Mapping[str, Option], program: str) -> Option:
    if spelling in known:
        return known[spelling]
    matches = [name for name in known if name.endswith(f".{spelling[2:]}") and spelling.startswith("--")]
    # An option of a section goes before one of a record inside a section: --depth is the model's.
    levels = [name.count(".") for name in matches]
    matches = [name for name, level in zip(matches, levels, strict=True) if level == min(levels)]
    if len(matches) > 1:
        raise UsageError(f"{spelling} stands for several options: write {' or '.join(matches)}")
    if not matches:
        near = nearest_option(spelling, list(known))
        text = "; write -- before a text that begins with a hyphen" if " " in spelling else ""
        raise UsageError(f"unknown option {spelling[:60]} (see {program} --help){near}{text}")
    return known[matches[0]]


def _flag(spelling: str, option: Option, value: str | None, rest: Sequence[str]) -> tuple[str, ...]:
    """Returns the value of a flag; its argument, if it has one, is a word for true or false."""
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
    """Returns the values of an option, and removes them from the rest of the arguments."""
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
        return tuple(checked_value(option.name, option.hint, text) for text in taken)
    except UsageError as error:
        raise UsageError(f"{error}; see {program} --help") from None
