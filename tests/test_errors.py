"""Whose mistake an error is, its class says: rooms that meet users raise what `jaxlm.errors` names."""

import ast
import pickle
from pathlib import Path

import pytest

from jaxlm import errors

PACKAGE = Path(__file__).parents[1] / "jaxlm"
ROOMS = (
    *("attribution", "cli", "data", "decoding", "pretrained", "reports", "scoring", "steps", "tokenizers"),
    "training",
)
# What these rooms may not raise as it is: the command line reports it as a bug.
BARE = {
    "ValueError",
    "RuntimeError",
    "OSError",
    "FileNotFoundError",
    "FileExistsError",
    "NotADirectoryError",
    "PermissionError",
}
# Contracts between functions of jaxlm, which a user of the command line cannot break. The list only shrinks.
CONTRACTS = {
    ("data/packing/_batches.py", "Batches.__init__"),
    ("decoding/_request_batcher.py", "_raisable"),
    ("scoring/engine/_engine.py", "Engine._check_contrast"),
    ("scoring/engine/_engine.py", "Engine._checked"),
    ("scoring/statistics/_rank_correlation.py", "_members"),
    ("scoring/statistics/_rank_correlation.py", "_pairs"),
    # The system's own error of a full disk, with its number.
    ("training/run/_checkpoints.py", "_check_room"),
}
FAMILY = [getattr(errors, name) for name in dir(errors) if name.endswith("Error")]


def bare_errors(node, inside=()):
    """The dotted name of each function that names a bare error, other than to catch it or to ask for it."""
    for child in ast.iter_child_nodes(node):
        # What is caught, or annotated, is not made.
        if isinstance(node, ast.arg) or (isinstance(node, ast.ExceptHandler) and child is node.type):
            continue
        if isinstance(child, ast.Call) and ast.unparse(child.func) in ("isinstance", "contextlib.suppress"):
            continue
        named = isinstance(child, (ast.FunctionDef, ast.ClassDef))
        if inside and isinstance(child, ast.Name) and child.id in BARE:
            yield ".".join(inside)
        yield from bare_errors(child, (*inside, child.name) if named else inside)


def test_rooms_that_meet_users_raise_errors_for_users():
    found = {
        (path.relative_to(PACKAGE).as_posix(), function)
        for room in ROOMS
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for function in bare_errors(ast.parse(path.read_text()))
    }
    assert found == CONTRACTS


def test_the_search_sees_an_error_that_is_made_and_not_one_that_is_caught():
    raises = "class A:\n    def f(self):\n        raise ValueError('x')"
    catches = "def g():\n    try:\n        f()\n    except ValueError:\n        return"
    chosen = (
        "def h(error):\n    kind = ValueError if isinstance(error, OSError) else KeyError\n    raise kind"
    )
    assert list(bare_errors(ast.parse(f"{raises}\n{catches}\n{chosen}"))) == ["A.f", "h"]


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_errors_of_users_are_value_errors_and_travel_between_processes(kind):
    assert (
        issubclass(kind, errors.JaxlmError) == issubclass(kind, ValueError) == (kind is not errors.WorkError)
    )
    back = pickle.loads(pickle.dumps(kind("run.steps is at least 1, got 0")))
    assert type(back) is kind and str(back) == "run.steps is at least 1, got 0"


def test_what_is_missing_or_taken_is_an_error_of_the_system_too():
    assert issubclass(errors.ModelNotFoundError, FileNotFoundError)
    assert issubclass(errors.NotAFolderError, NotADirectoryError)
    assert issubclass(errors.FolderTakenError, FileExistsError)
    assert issubclass(errors.WorkError, RuntimeError)
