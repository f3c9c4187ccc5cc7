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


def test_out_of_memory_on_a_device_names_the_remedy():
    code, line = describe(RuntimeError("RESOURCE_EXHAUSTED: out of memory allocating 9 bytes"))
    assert (code, line.split(":")[0]) == (1, "out of memory")


def test_a_long_message_is_cut(monkeypatch):
    assert len(describe(TypeError("x" * 1000))[1]) < 400


@pytest.mark.parametrize("number", [28, 122])
def test_a_full_disk_is_said_in_words(number):
    assert describe(OSError(number, "?"))[1] == "no room left on disk; free some, then go on with --resume"
