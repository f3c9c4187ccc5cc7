"""Records survive JSON, one of several is told by its kind, and a refusal names the field."""

import dataclasses
import json
from typing import ClassVar, Literal

import pytest

from jaxlm import io
from jaxlm.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yarn:
    factor: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Llama:
    kind: ClassVar[str] = "llama3"
    turns: float = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turning:
    kind: ClassVar[str] = "rotary"
    base: float = 10_000.0
    scaling: Yarn | Llama | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoPosition:
    pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """Its kind is a field."""

    kind: Literal["told"] = "told"
    rows: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    depth: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    width: int = 8
    rate: float = 0.0
    warmup: int | float = 0
    shape: tuple[int, str] = (1, "a")
    paths: tuple[str, ...] = ()
    position: Turning | NoPosition | Told = NoPosition()
    other: Side | None = None
    side: Side = Side()

    @staticmethod
    def upgrade(values):
        values = dict(values)
        if "n_embd" in values:
            values["width"] = values.pop("n_embd")
        return values


RECORDS = [
    Whole(),
    Whole(position=Turning(base=5.0)),
    Whole(position=Turning(scaling=Llama(turns=2.0)), other=Side()),
    Whole(position=Turning(scaling=Yarn()), paths=("a", "b"), side=Side(depth=3)),
    Whole(position=Told(rows=2), warmup=0.5, shape=(2, "b")),
]


@pytest.mark.parametrize("record", RECORDS)
def test_records_survive_json(record):
    values = json.loads(json.dumps(io.record_to_dict(record)))
    assert io.record_from_dict(Whole, values) == record


def test_a_record_of_plain_fields_is_its_asdict():
    assert io.record_to_dict(Side(depth=2)) == dataclasses.asdict(Side(depth=2))


def test_the_kind_is_written_where_there_are_several():
    values = io.record_to_dict(Whole(position=Turning(scaling=Yarn()), other=Side()))
    assert values["position"] == {
        "kind": "rotary",
        "base": 10_000.0,
        "scaling": {"kind": "yarn", "factor": 1.0},
    }
    assert values["other"] == values["side"] == {"depth": None}
    assert io.record_to_dict(Whole())["position"] == {"kind": "no_position"}


def test_a_kind_alone_is_its_defaults():
    assert io.record_from_dict(Whole, {"position": "rotary"}).position == Turning()


def test_whole_numbers_become_floats_where_only_floats_are_asked_for():
    record = io.record_from_dict(Whole, {"rate": 1, "warmup": 1})
    assert isinstance(record.rate, float) and isinstance(record.warmup, int)


def test_fields_of_earlier_versions_are_upgraded():
    assert io.record_from_dict(Whole, {"n_embd": 4}).width == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (3, "Whole is an object of fields: got 3"),
        ({"a": 1, "b": 2}, "Whole has no fields 'a', 'b'; its fields are width, rate"),
        ({"width": True}, "width must be int: got True"),
        ({"rate": "1"}, "rate must be float: got '1'"),
        ({"shape": [1]}, r"shape must be a tuple of int and str: got \(1,\)"),
        ({"side": {"depth": "x"}}, "side.depth must be int or None: got 'x'"),
        ({"side": None}, "side is an object of fields: got None"),
        ({"other": 3}, "other must be Side or None: got 3"),
        ({"position": {"base": 1}}, "position.kind is one of rotary, no_position, told: got None"),
        ({"position": {"kind": ["rotary"]}}, "position.kind is one of rotary, no_position, told"),
        ({"position": {"kind": "no_position", "base": 1}}, "position has no field 'base'; its fields are $"),
        (
            {"position": {"kind": "rotary", "scaling": {"kind": "x"}}},
            "position.scaling.kind is one of yarn",
        ),
        ({"position": {"kind": "rotary", "scaling": 1}}, "position.scaling must be Yarn or Llama or None"),
    ],
)
def test_a_refusal_names_the_field(values, message):
    with pytest.raises(ConfigError, match=message) as refused:
        io.record_from_dict(Whole, values)
    assert "\n" not in str(refused.value)


def test_a_title_is_told_of_the_record_and_not_of_its_fields():
    with pytest.raises(ConfigError, match=r"^the side has no field 'x'; its fields are depth$"):
        io.record_from_dict(Side, {"x": 1}, title="the side")
    with pytest.raises(ConfigError, match=r"^depth must be"):
        io.record_from_dict(Side, {"depth": "x"}, title="the side")


def test_differences_are_of_values_as_json_has_them():
    there = {"run": {"seed": 0, "steps": 5}, "paths": ("a",)}
    here = {"run": {"seed": 1, "steps": 6}, "paths": ["a"], "name": "x" * 60}
    assert io.differences(there, here) == [
        "run.seed: 0 and 1",
        "run.steps: 5 and 6",
        f'name: (none) and "{"x" * 17}...{"x" * 5}"',
    ]
    assert io.differences(there, there) == []
