"""Imports go to strictly lower floors, and into another room only through its door."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxlm"
FLOORS = {
    "errors": 0,
    "typing": 0,
    "io": 1,
    # Compiled programs are kept in the cache folder, which io knows.
    "devices": 1.5,
    "ops": 2,
    "tokenizers": 2,
    "models": 3,
    "corruption": 3,
    "data": 3,
    "pretrained": 4,
    "steps": 5,
    "training": 5,
    "decoding": 5,
    "scoring": 6,
    "reports": 7,
    "cli": 8,
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def imported_modules(path: Path) -> list[str]:
    """Every `jaxlm...` module that a file names in an import, at any depth of the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [
                f"{node.module}.{alias.name}" if node.module == "jaxlm" else node.module
                for alias in node.names
            ]
    return [name for name in names if name.startswith("jaxlm.") and name != "jaxlm.__version__"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_through_doors(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported_modules(path):
        _, other, *inside = name.split(".")
        if other != room:
            assert FLOORS[other] < FLOORS[room], f"{room} may not import {name}"
            assert not any(part.startswith("_") for part in inside), f"{name} goes past the door of {other}"


def test_every_room_has_a_floor():
    rooms = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py."))
    }
    assert rooms == set(FLOORS)
