"""Every door lists its public names, and every public name is documented."""

import importlib
import inspect

import pytest

import jaxlm

DOORS = [room for room in jaxlm.ROOMS if room not in ("errors", "typing", "cli")]


@pytest.mark.parametrize("room", DOORS)
def test_public_names_are_listed_once_and_documented(room):
    door = importlib.import_module(f"jaxlm.{room}")
    assert len(door.__all__) == len(set(door.__all__))
    for name in door.__all__:
        value = getattr(door, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert inspect.getdoc(value), f"jaxlm.{room}.{name} has no docstring"


@pytest.mark.parametrize("room", DOORS)
def test_a_door_only_imports(room):
    source = inspect.getsource(importlib.import_module(f"jaxlm.{room}"))
    statements = [line for line in source.splitlines() if line and not line[0].isspace()]
    assert not any(line.startswith(("def ", "class ", "if ", "for ")) for line in statements)


def test_unknown_room_is_named():
    with pytest.raises(AttributeError, match="its rooms are"):
        jaxlm.kitchen  # noqa: B018
