import errno
import os
from io import BytesIO, TextIOWrapper

import pytest

from jaxlm import data, io, models
from jaxlm.cli._failures import GO_ON, describe, say
from jaxlm.data import _folders


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
    assert describe(OSError(number, "?"), command) == (1, f"no room left on disk; free some, then {remedy}")


COMMANDS = ["train", "score", "convert", "info"]
NUMBERS = [
    "ENOSPC",
    "EDQUOT",
    "EFBIG",
    "EROFS",
    "EACCES",
    "EPERM",
    "EIO",
    "ENOENT",
    "ENXIO",
    "ESTALE",
    "ETXTBSY",
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", NUMBERS)
def test_whatever_keeps_a_file_from_being_written_is_a_failure_with_a_remedy(number, command):
    def write():
        with io.writing("out/part"):
            raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    code, line = describe(caught(write), command)
    assert code == 1 and "out/part" in line and "\n" not in line
    assert line.endswith(GO_ON.get(command, ("", "call the same again"))[1])


def test_a_command_may_know_better_how_to_go_on():
    error = io.WriteError(errno.EIO, "?", "x")
    error.add_note("say please")
    assert describe(error, "train")[1].endswith("; look after the disk, then say please")


@pytest.mark.parametrize("number", ["ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP"])
def test_a_place_that_cannot_be_is_a_wrong_request(number):
    assert describe(io.WriteError(getattr(errno, number), "?", "x"), "train")[0] == 2


@pytest.mark.parametrize("number", ["ENOSPC", "EFBIG", "EROFS", "EACCES", "EIO", "ENOENT"])
def test_a_cache_that_cannot_be_written_is_a_failure(number, tmp_path):
    def write():
        with _folders._explained(tmp_path):
            raise OSError(getattr(errno, number), "?")

    error = caught(write)
    code, line = describe(error, "train")
    assert isinstance(error, data.CorpusError) and code == 1 and "JAXLM_CACHE" in line


def test_long_names_are_cut_where_they_are_said(capsys):
    say("jaxlm info", f"the tensor {'x' * 70_000} is {'long ' * 70_000}")
    said = capsys.readouterr().err
    assert len(said) < 2100 and said.startswith("jaxlm info: the tensor xxx") and said.endswith("long\n")


def test_nobody_is_told_where_stderr_is_full_or_closed(monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    for stream in (Full(), None):
        monkeypatch.setattr("sys.stderr", stream)
        say("jaxlm", "a line")


def test_the_last_resort_says_that_it_is_a_bug_and_which_call_of_ours_met_it(tmp_path):
    try:
        io.write_whole(tmp_path / "a", lambda partial: [][1])
    except IndexError as error:
        _, line = describe(error)
    assert line.startswith("failed at test_failures.py:") and ", called at io/_whole.py:" in line
    assert ", a bug: IndexError: list index out of range" in line


def test_output_without_a_character_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr("sys.stdout", TextIOWrapper(BytesIO(), encoding="ascii"))
    try:
        "\u6f22".encode("ascii")
    except UnicodeEncodeError as error:
        assert describe(error) == (
            1,
            "the standard output is ascii and cannot write '\\u6f22': set PYTHONIOENCODING=utf-8",
        )
