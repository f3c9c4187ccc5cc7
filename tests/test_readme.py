"""What the README shows in Python runs as it stands, and what its table promises exists."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
ROWS = re.findall(r"^\| `[^|]+\| `(jaxlm[^`]+)`[^|]*\|(.+)\|$", README, flags=re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_python_examples_run(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out


def test_there_are_three_examples():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(("symbol", "tests"), ROWS)
def test_the_coming_from_table_points_at_what_exists(symbol, tests):
    _, room, *names = symbol.split("(")[0].split(".")
    value = importlib.import_module(f"jaxlm.{room}")
    for name in names:
        value = getattr(value, name)
    for path in re.findall(r"`([^`]+)`", tests):
        assert (ROOT / path).exists()
