"""The benchmark of corruption: every side does its work, and the table is what the turns say."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "experiments" / "benchmarks"
TINY = {"batch": 2, "length": 16}


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in [name for name, module in sys.modules.items() if str(BENCHMARKS) in str(module)]:
        del sys.modules[name]


def test_every_process_of_ours_takes_a_step(load):
    side = load("_corruption_side")
    for name in side.VARIANTS:
        step, facts = side.start({**TINY, "side": name})
        assert step() == 32
        assert facts["device"] == "cpu"


def test_the_collator_takes_a_step(load, monkeypatch):
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    side = load("_corruption_side")
    monkeypatch.setattr(side, "VOCABULARY", 100)
    step, facts = side.start({**TINY, "side": "collator"})
    assert (step(), facts["device"]) == (32, "cpu")


def test_the_table_compares_turn_by_turn(load):
    benchmark, sides = load("corruption_throughput"), load("_sides")

    def side(name, seconds, failure=None):
        made = object.__new__(sides.Side)
        made.name, made.failure, made.facts = name, failure, {"device": "cpu"}
        made.turns = [sides.Turn(second, 1000) for second in seconds]
        return made

    measured = benchmark.table(
        [side("collator", [1, 2, 3]), side("exact", [0.1, 0.1, 0.1]), side("bernoulli", [], "X")]
    )
    assert [row["times_the_collator"] for row in measured] == [1, pytest.approx(20), None]
    assert measured[1]["ns_a_token"] == pytest.approx(0.1 / 1000 * 1e9)
    shown = benchmark.text(measured).splitlines()
    assert "20.0       5  cpu" in shown[2]
    assert shown[3].split() == ["bernoulli", "X"]
