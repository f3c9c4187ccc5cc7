import pytest

from jaxlm import models
from jaxlm.cli._failures import describe


def caught(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_refusal_of_this_package_is_a_wrong_request():
    assert describe(caught(lambda: models.TransformerConfig(depth=-1)))[0] == 2


def test_a_value_error_from_elsewhere_is_a_failure():
    code, line = describe(caught(lambda: int("x")))
    assert code == 1
    assert line.startswith("failed at test_failures.py:")


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("train", "lower --run.batch-size, or raise"),
        ("evaluate", "lower --batch-size"),
        ("fill", "take less"),
    ],
)
def test_out_of_memory_on_a_device_names_the_remedy(command, remedy):
    error = RuntimeError("RESOURCE_EXHAUSTED: out of memory allocating 9 bytes")
    code, line = describe(error, command)
    assert code == 1 and line.startswith(f"out of memory: {remedy}")


def test_a_long_message_is_cut(monkeypatch):
    assert len(describe(TypeError("x" * 1000))[1]) < 400


@pytest.mark.parametrize("number", [28, 122])
@pytest.mark.parametrize(
    ("command", "remedy"), [("train", "go on with --resume"), ("convert", "call the same again")]
)
def test_a_full_disk_is_said_in_words(number, command, remedy):
    assert describe(OSError(number, "?"), command) == (2, f"no room left on disk; free some, then {remedy}")
