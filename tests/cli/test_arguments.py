"""Every option of every command, given in every way: it is understood, or refused in one line."""

import dataclasses
import itertools
import types
import typing

import pytest

from jaxlm import scoring
from jaxlm.cli import _convert, _evaluate, _fill, _generate, _info, _next, _score_options, _train_request
from jaxlm.cli._arguments import known_options, nearest_option, read_arguments
from jaxlm.cli._failures import UsageError
from jaxlm.cli._options import parse
from jaxlm.cli._values import value_types

KINDS = {
    "train": _train_request.Train,
    "generate": _generate.Generate,
    "fill": _fill.Fill,
    "next": _next.Next,
    "evaluate": _evaluate.Evaluate,
    "info": _info.Info,
    "convert": _convert.Convert,
    **{f"score {name}": _score_options.options_of(name) for name in scoring.MEASURES},
}
KNOWN = {command: known_options(kind) for command, kind in KINDS.items()}
SPELLINGS = [(command, name) for command, known in KNOWN.items() for name in known]
# What a flag may be told by "=", and what it then is; the rest is refused.
WORDS = {
    **dict.fromkeys(("true", "True", "yes", "on", "1"), "True"),
    **dict.fromkeys(("false", "False", "no", "off", "0"), "False"),
    **dict.fromkeys(("", "None", "none", "maybe", "2", "1.0", "--"), None),
}
ENORMOUS = ("9223372036854775808", "99999999999999999999", "-99999999999999999999", "9" * 5000)
NO_WHOLE = ("10.5", "x", "", "1e3", "nan", "inf", "²", "\u0665", "0x10", "1_", *ENORMOUS)
NO_NUMBER = ("nan", "inf", "-inf", "1e999", "x", "", "\u0665", "1,5", "²")


def read(command, *arguments):
    return read_arguments(arguments, KNOWN[command], program="p")


def refused(command, *arguments):
    with pytest.raises(UsageError) as caught:
        read(command, *arguments)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 900
    return line


def of_kind(wanted):
    return [
        (command, name)
        for command, name in SPELLINGS
        if wanted in value_types(KNOWN[command][name].hint) and KNOWN[command][name].sets is None
    ]


@pytest.mark.parametrize("command", KINDS)
def test_flags_are_what_they_are_told(command):
    flags = {name: option for name, option in KNOWN[command].items() if option.sets is not None}
    assert flags
    for name, option in flags.items():
        assert read(command, "m", name).given == {option.name: (str(option.sets),)}
        for word, value in WORDS.items():
            if value is None or not option.sets:
                assert option.name in refused(command, "m", f"{name}={word}")
            else:
                found = read(command, "m", f"{name}={word}")
                assert found.given == {option.name: (value,)} and found.positionals == ("m",)


@pytest.mark.parametrize("command", KINDS)
def test_a_word_for_true_or_false_behind_a_flag_is_no_argument_of_the_command(command):
    for name, option in KNOWN[command].items():
        for word in ("False", "true", "no", "0", "None") if option.sets is not None else ():
            line = refused(command, name, word)
            assert f"{name} takes no value: got {word!r} behind it" in line
            assert read(command, word, name).positionals == (word,)
            assert read(command, name, "--", word).positionals == (word,)


@pytest.mark.parametrize("command", KINDS)
def test_every_option_is_given_once(command):
    for first, second in itertools.product(KNOWN[command], repeat=2):
        ours, theirs = KNOWN[command][first], KNOWN[command][second]
        if ours.name != theirs.name:
            continue
        value = [] if ours.sets is not None else [example(ours.hint)]
        assert f"{ours.name} is given twice" in refused(command, "m", first, *value, second, *value)


def example(hint):
    """A value that an option takes."""
    kind = value_types(hint)[0]
    if typing.get_origin(kind) is typing.Literal:
        return str(typing.get_args(kind)[0])
    return {int: "7", float: "0.5", bool: "yes", str: "a", types.NoneType: "None"}[kind]


def test_an_option_that_may_be_none_takes_none():
    optional = of_kind(types.NoneType)
    assert len(optional) > 80
    for command, name in optional:
        full = KNOWN[command][name].name
        assert read(command, "m", name, "None").given == {full: ("None",)}
        assert read(command, "m", f"{name}=None").value(full) is None


def test_numbers_are_numbers_of_their_type():
    for command, name in of_kind(int):
        floats = float in value_types(KNOWN[command][name].hint)
        for value in NO_WHOLE if not floats else NO_NUMBER:
            assert f"got {value[:50]!r}"[:-1] in refused(command, "m", f"{name}={value}")
        for value in ("7", "-7", "+7", "1_000", "9223372036854775807"):
            found = read(command, "m", name, value).value(KNOWN[command][name].name)
            assert int(found) == int(value)
    for command, name in of_kind(float):
        for value in NO_NUMBER:
            assert f"got {value!r}" in refused(command, "m", f"{name}={value}")
        for value in ("7", "-0.5", "1e-3"):
            assert float(read(command, "m", name, value).value(KNOWN[command][name].name)) == float(value)


def test_words_are_among_those_that_there_are():
    for command, name in SPELLINGS:
        choices = [kind for kind in value_types(KNOWN[command][name].hint) if typing.get_origin(kind)]
        for word in ("", "zzz", "NONE", "1.5.2") if choices else ():
            line = refused(command, "m", f"{name}={word}")
            assert all(repr(str(one)) in line for kind in choices for one in typing.get_args(kind))


def test_a_bool_that_may_be_none_takes_words():
    for command, name in of_kind(bool):
        for word, value in WORDS.items():
            if value is None and word != "None":
                assert "is true or false or None" in refused(command, "m", f"{name}={word}")
            else:
                assert read(command, "m", name, word).given[KNOWN[command][name].name] == (value or "None",)


def test_an_option_without_its_value_takes_nothing_else():
    for command, name in SPELLINGS:
        option = KNOWN[command][name]
        if option.sets is None:
            for rest in ((), ("--help-me",), ("--", "x")):
                assert f"{option.name} needs a value" in refused(command, "m", name, *rest)
        if option.sets is None:
            assert "got ''" in refused(command, "m", f"{name}=")


def test_an_unknown_option_is_refused_with_the_nearest():
    for command, name in SPELLINGS:
        if not name.startswith("--") or len(name) < 8:
            continue
        wrong = name[:-1]
        if wrong not in KNOWN[command] and not any(one.endswith(f".{wrong[2:]}") for one in KNOWN[command]):
            line = refused(command, "m", wrong, "1")
            assert f"unknown option {wrong} (see p --help); did you mean" in line, line


def test_short_forms_are_options_where_one_alone_ends_so():
    known = KNOWN["train"]
    for name, option in known.items():
        short = "--" + name.rpartition(".")[2].removeprefix("--")
        ends = [one for one in known if one.endswith(f".{short[2:]}")]
        # An option of a section is meant before one of a record inside a section.
        ends = [one for one in ends if one.count(".") == min(end.count(".") for end in ends)]
        value = [] if option.sets is not None else [example(option.hint)]
        if short in known or len(ends) == 1:
            meant = known[short if short in known else ends[0]]
            value = value if meant is option else [] if meant.sets is not None else [example(meant.hint)]
            assert list(read("train", short, *value).given) == [meant.name]
        else:
            assert f"{short} stands for several options: write {' or '.join(ends)}" in refused("train", short)


def test_short_names_take_values_in_every_way():
    for arguments in (["-n", "5"], ["-n=5"], ["-n5"], ["--max-new-tokens", "5"], ["--max_new_tokens=5"]):
        assert read("generate", "m", *arguments).given == {"--max-new-tokens": ("5",)}
    assert "--max-new-tokens is a whole number, got 'x'" in refused("generate", "-n", "x")


def test_texts_that_look_like_options_and_numbers():
    for text in ("-5", "-", "- a tale", "-- a tale", "--5", "—"):
        assert read("next", "m", text).positionals == ("m", text)
    assert "write -- before a text" in refused("next", "m", "--steps 5")
    assert read("next", "m", "--top-k", "3", "--", "--steps 5", "-n").positionals == ("m", "--steps 5", "-n")


def test_a_tuple_takes_all_up_to_the_next_option():
    found = read("train", "--data", "a", "-1", "b", "--steps", "5", "x.py")
    assert found.given["--data"] == ("a", "-1", "b") and found.positionals == ("x.py",)
    assert read("train", "--data=-x.txt").given["--data"] == ("-x.txt",)


def test_what_was_read_reads_as_the_same():
    arguments = ["m", "a text", "-5", "--json=no", "--stop", "x", "y", "--seed=3", "--top-k", "None"]
    once = read("generate", *arguments)
    assert read_arguments(once.as_list(), KNOWN["generate"], program="p").given == {
        name: values for name, values in once.given.items() if name != "--json"
    }


@pytest.mark.parametrize("command", [name for name in KINDS if name != "train"])
def test_the_parser_gives_what_was_read(command):
    """Each option alone, through the whole parser."""
    kind = KINDS[command]
    lead = ["m", "o"] if command == "convert" else ["m"]
    needed = ["--out=o"] if command.startswith("score") else []
    for option in {option.name: option for option in KNOWN[command].values()}.values():
        is_flag = option.sets is not None or bool in value_types(option.hint)
        value = "yes" if is_flag else example(option.hint)
        arguments = [*lead, *(needed if option.name != "--out" else ()), f"{option.name}={value}"]
        try:
            found = parse(kind, arguments, program="p")
        except ValueError as error:
            assert not str(error).startswith(("unknown", "unexpected", option.name)), error
            continue
        values = dataclasses.asdict(found) | dataclasses.asdict(found).get("settings", {})
        got = values[option.name.removeprefix("--").replace("-", "_")]
        got = got[0] if isinstance(got, tuple) else got
        assert str(got) == ("True" if is_flag else value)


@pytest.mark.parametrize(
    ("command", "given", "meant"),
    [
        ("train", "--lr", "--optimizer.learning-rate"),
        ("train", "--learning", "--optimizer.learning-rate"),
        ("train", "--batch", "--run.batch-size"),
        ("train", "--epochs", "--run.steps"),
        ("train", "--output", "--out"),
        ("train", "--device", "JAX_PLATFORMS"),
        ("generate", "--temp", "--temperature"),
        ("generate", "--beams", "--num-beams"),
        ("generate", "--max-tokens", "--max-new-tokens"),
        ("score log-likelihood", "--batch-size", "--rows"),
    ],
)
def test_suggestions_know_beginnings_parts_and_other_programs_names(command, given, meant):
    known = {option.name for option in KNOWN[command].values()}
    assert meant in nearest_option(given, sorted(known)).replace("?", "").split("did you mean ")[-1]
