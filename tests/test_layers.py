"""Imports go to strictly lower floors, and into another room or sub-room only through its door."""

import ast
import importlib
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
    "attribution": 6,
    "reports": 7,
    "cli": 8,
}
# The sub-rooms of a room, each above those before it. None stands for the files beside them.
SUB_ROOMS = {
    "attribution": ("results", None),
    "data": ("sources", "cache", "packing", None),
    "decoding": (None, "bytes"),
    "scoring": ("engine", "measures", "variants", "statistics", "jobs", None),
    "training": ("losses", "objectives", "step", "run", None),
}
MOST_NAMES_OF_A_SUB_ROOM = 40
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def is_module(name: str) -> bool:
    """Whether a dotted name is a room or a sub-room, not a name that a door gives."""
    package, *parts = name.split(".")
    return package == PACKAGE.name and (len(parts) == 1 or PACKAGE.joinpath(*parts, "__init__.py").exists())


def imported_modules(path: Path) -> list[str]:
    """Every `jaxlm...` module that a file names in an import, at any depth of the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [
                f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            ]
    return [name for name in names if name.startswith("jaxlm.") and name != "jaxlm.__version__"]


def floor_in_room(room: str, sub_room: str | None) -> int:
    """Returns how high a sub-room is in its room; None: the files beside the sub-rooms."""
    return SUB_ROOMS.get(room, (None,)).index(sub_room)


def sub_room_of(room: str, parts: list[str]) -> str | None:
    """Returns the sub-room that the first of some names inside a room is; None where it is none."""
    return parts[0] if parts and parts[0] in SUB_ROOMS.get(room, ()) else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_through_doors(path):
    room, *below = path.relative_to(PACKAGE).with_suffix("").parts
    sub_room = sub_room_of(room, below)
    for name in imported_modules(path):
        _, other, *inside = name.split(".")
        if other != room:
            assert FLOORS[other] < FLOORS[room], f"{room} may not import {name}"
            assert not any(part.startswith("_") for part in inside), f"{name} goes past the door of {other}"
            continue
        target = sub_room_of(room, inside)
        if target != sub_room:
            lower = floor_in_room(room, target) < floor_in_room(room, sub_room)
            assert lower, f"{sub_room} of {room} may not import {name}"
            assert not any(part.startswith("_") for part in inside), f"{name} goes past the door"


@pytest.mark.parametrize("room", SUB_ROOMS)
def test_sub_rooms_are_those_that_are_there_and_their_doors_are_narrow(room):
    folders = {path.parent.name for path in (PACKAGE / room).glob("*/__init__.py")}
    assert folders == set(SUB_ROOMS[room]) - {None}
    for folder in sorted(folders):
        names = importlib.import_module(f"jaxlm.{room}.{folder}").__all__
        assert len(names) <= MOST_NAMES_OF_A_SUB_ROOM, f"{room}/{folder} has {len(names)} public names"


def test_every_room_has_a_floor():
    others = ("_", "py.", "LICENSE")
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith(others)}
    assert rooms == set(FLOORS)


def test_a_sub_room_is_told_from_what_a_door_gives(tmp_path):
    source = tmp_path / "source.py"
    source.write_text("from jaxlm.decoding import TreeCache, bytes as byte_models\nimport jaxlm.models\n")
    assert imported_modules(source) == ["jaxlm.decoding", "jaxlm.decoding.bytes", "jaxlm.models"]
