import errno
import os
from io import BytesIO, TextIOWrapper

import jax.numpy as jnp
import pytest

from jaxlm import data, errors, io, models, ops, training
from jaxlm.cli import main
from jaxlm.cli._failures import RESUME_HINTS, exit_code_and_line, say
from jaxlm.data.cache import _folders


def caught(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_refusal_of_this_package_is_a_wrong_request():
    assert exit_code_and_line(caught(lambda: models.TransformerConfig(depth=-1)))[0] == 2


def attend_with_heads_that_do_not_divide(*_):
    """What a mistake in jaxlm would do: 2 key/value heads for 3 query heads."""
    query, key = jnp.ones((1, 2, 3, 4)), jnp.ones((1, 2, 2, 4))
    return ops.attention(query, key, key)


def test_a_contract_of_ops_that_jaxlm_itself_breaks_is_a_bug_with_its_place():
    error = caught(attend_with_heads_that_do_not_divide)
    code, line = exit_code_and_line(error, "score")
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    assert type(error) is ValueError and code == 1
    assert line.startswith(f"failed at _attention.py:{place.tb_lineno}, a bug: ValueError: key/value heads")


def test_a_command_that_meets_such_a_bug_exits_with_1_and_its_place(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("JAXLM_TRACEBACK", raising=False)
    monkeypatch.setattr("jaxlm.pretrained.inspect", attend_with_heads_that_do_not_divide)
    (tmp_path / "config.json").write_text("{}")
    assert main(["info", str(tmp_path)]) == 1
    assert "failed at _attention.py:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "kind", [errors.ConfigError, errors.CorpusError, errors.ScoreError, errors.UsageError]
)
def test_the_class_of_an_error_decides_wherever_it_was_raised(kind):
    assert exit_code_and_line(kind("depth: expected 1, got 2")) == (2, "depth: expected 1, got 2")


@pytest.mark.parametrize("kind", [errors.WorkError, training.TrainingError])
def test_work_that_failed_is_told_in_its_own_words(kind):
    assert exit_code_and_line(kind("the folder is gone: run again"), "train") == (
        1,
        "the folder is gone: run again",
    )


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, OSError, TypeError])
def test_an_error_that_is_not_of_the_family_is_a_bug(kind):
    code, line = exit_code_and_line(kind("?"))
    assert code == 1 and line.startswith(f"failed, a bug: {kind.__name__}: ?")


@pytest.mark.parametrize("number", ["ENOENT", "EACCES", "EISDIR", "ENOTDIR", "EEXIST"])
def test_a_path_is_the_users_only_where_a_door_says_so(number, tmp_path):
    def read():
        raise OSError(getattr(errno, number), "?", "a")

    def read_of_user():
        with io.reading_from("b"):
            read()

    assert exit_code_and_line(caught(read))[1].startswith("failed at test_failures.py:")
    error = caught(read_of_user)
    assert isinstance(error, errors.JaxlmError) and isinstance(error, OSError)
    assert exit_code_and_line(error) == (1 if number == "EACCES" else 2, "?: a")


def test_a_value_error_from_elsewhere_is_a_failure():
    code, line = exit_code_and_line(caught(lambda: int("x")))
    assert code == 1
    assert line.startswith("failed at test_failures.py:")


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("train", "lower --run.batch-size, or raise"),
        ("evaluate", "lower --batch-size"),
        ("fill", "read less"),
    ],
)
def test_out_of_memory_on_a_device_names_the_remedy(command, remedy):
    error = RuntimeError("RESOURCE_EXHAUSTED: out of memory allocating 9 bytes")
    code, line = exit_code_and_line(error, command)
    assert code == 1 and line.startswith(f"out of memory: {remedy}")


def test_a_long_message_is_cut(monkeypatch):
    assert len(exit_code_and_line(TypeError("x" * 1000))[1]) < 400


@pytest.mark.parametrize("number", [28, 122])
@pytest.mark.parametrize(
    ("command", "remedy"), [("train", "go on with --resume"), ("convert", "run the same command again")]
)
def test_a_full_disk_is_said_in_words(number, command, remedy):
    assert exit_code_and_line(OSError(number, "?"), command) == (
        1,
        f"no room left on disk; free some, then {remedy}",
    )


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

    code, line = exit_code_and_line(caught(write), command)
    assert code == 1 and "out/part" in line and "\n" not in line
    assert line.endswith(RESUME_HINTS.get(command, ("", "run the same command again"))[1])


def test_a_command_may_know_better_how_to_go_on():
    error = io.WriteError(errno.EIO, "?", "x")
    error.add_note("say please")
    assert exit_code_and_line(error, "train")[1].endswith("; look after the disk, then say please")


@pytest.mark.parametrize("number", ["ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP"])
def test_a_place_that_cannot_be_is_a_wrong_request(number):
    assert exit_code_and_line(io.WriteError(getattr(errno, number), "?", "x"), "train")[0] == 2


@pytest.mark.parametrize("number", ["ENOSPC", "EFBIG", "EROFS", "EACCES", "EIO", "ENOENT"])
def test_a_cache_that_cannot_be_written_is_a_failure(number, tmp_path):
    def write():
        with _folders._explained(tmp_path):
            raise OSError(getattr(errno, number), "?")

    error = caught(write)
    code, line = exit_code_and_line(error, "train")
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
        io.write_atomically(tmp_path / "a", lambda partial: [][1])
    except IndexError as error:
        _, line = exit_code_and_line(error)
    assert line.startswith("failed at test_failures.py:") and ", called at io/_atomic.py:" in line
    assert ", a bug: IndexError: list index out of range" in line


def test_output_without_a_character_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr("sys.stdout", TextIOWrapper(BytesIO(), encoding="ascii"))
    try:
        "\u6f22".encode("ascii")
    except UnicodeEncodeError as error:
        assert exit_code_and_line(error) == (
            1,
            "stdout is ascii and cannot write '\\u6f22': set PYTHONIOENCODING=utf-8",
        )
