import dataclasses
from typing import Annotated, Literal

import pytest
from tyro.conf import Positional

from jaxlm.cli._failures import UsageError
from jaxlm.cli._options import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    paths: tuple[str, ...] = ()
    long: Literal["split", "truncate"] = "split"
    size: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    max_steps: int = 10
    rate: float = 0.5
    loud: bool = False
    window: int | None = None
    size: int = 2

    def __post_init__(self):
        if self.max_steps < 1:
            raise ValueError(
                f"max_steps is at least 1: got {self.max_steps} in /a/very/long/path/{'x' * 90}/y"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Everything:
    name: Annotated[Positional[str | None], "a mark"] = None
    data: Data = dataclasses.field(default_factory=Data)
    run: Run = dataclasses.field(default_factory=Run)


def test_options_fill_nested_dataclasses_in_full_or_in_short():
    given = ["x", "--run.max-steps", "7", "--rate=2e-3", "--paths", "a", "b", "--loud", "--window", "4"]
    assert parse(Everything, given, program="p") == Everything(
        name="x", data=Data(paths=("a", "b")), run=Run(max_steps=7, rate=0.002, loud=True, window=4)
    )


def test_defaults_come_from_the_instance_given():
    default = Everything(run=Run(max_steps=99, loud=True))
    assert parse(Everything, ["--rate", "1"], program="p", default=default).run == Run(
        max_steps=99, rate=1.0, loud=True
    )
    assert not parse(Everything, ["--run.no-loud"], program="p", default=default).run.loud
    assert not parse(Everything, ["--no-loud"], program="p", default=default).run.loud


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--run.max-stepz", "7"],
            "unknown option --run.max-stepz (see p --help); did you mean --run.max-steps?",
        ),
        (["--max-stepz=7"], "unknown option --max-stepz (see p --help); did you mean --run.max-steps?"),
        (["--zzz"], "unknown option --zzz (see p --help)"),
        (["--size", "7"], "--size stands for several options: write --data.size or --run.size"),
        (["--max-steps", "x"], "--run.max-steps is a whole number, got 'x'; see p --help"),
        (["--rate", "fast"], "--run.rate is a number, got 'fast'; see p --help"),
        (["--rate"], "--run.rate needs a value; see p --help"),
        (["--long", "cut"], "--data.long is one of 'split', 'truncate', got 'cut'; see p --help"),
        (["x", "y"], "unexpected argument 'y'; see p --help"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(given, message):
    with pytest.raises(UsageError) as caught:
        parse(Everything, given, program="p")
    assert str(caught.value) == message


def test_a_refusal_of_a_dataclass_comes_through_whole():
    with pytest.raises(UsageError) as caught:
        parse(Everything, ["--max-steps", "0"], program="p")
    assert str(caught.value) == f"max_steps is at least 1: got 0 in /a/very/long/path/{'x' * 90}/y"


def test_help_goes_to_stdout_and_leaves_with_zero(capsys):
    with pytest.raises(SystemExit) as left:
        parse(Everything, ["--rate", "3", "--help"], program="p")
    assert left.value.code in (0, None)
    assert "--run.max-steps INT" in capsys.readouterr().out


def test_underscores_are_hyphens():
    assert parse(Everything, ["--max_steps", "3"], program="p").run.max_steps == 3
