import logging
import os
import re
import subprocess
import sys

import pytest

from jaxlm import io
from jaxlm.cli import _main, main

COMMANDS = list(_main.COMMANDS)


def test_help_lists_every_command(capsys):
    assert {"train", "fill", "evaluate", "convert", "info"} <= set(COMMANDS)
    assert main(["--help"]) == 0
    shown = capsys.readouterr()
    assert all(f"jaxlm {name} " in shown.out for name in COMMANDS)
    assert shown.err == ""


def test_help_does_not_import_jax():
    # The promise of a help within a second rests on it.
    code = (
        "import sys; from jaxlm.cli import main; main(['--help']); main(['--version']); main(['tran'])\n"
        "heavy = {'jax', 'flax', 'tyro', 'rich', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_python_m_jaxlm_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "jaxlm", "wat"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"jaxlm: 'wat' is none of {', '.join(COMMANDS)}\n"


def test_without_a_command_the_help_goes_to_stderr(capsys):
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("usage: jaxlm")


def test_a_misspelt_command_is_named_with_the_nearest(capsys):
    assert main(["evalute"]) == 2
    assert capsys.readouterr().err.endswith("did you mean 'evaluate'?\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_describes_its_options(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"usage: jaxlm {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "jaxlm info: interrupted\n"),
        (SystemExit(143), 143, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("a word"), 1, "jaxlm info: a word\n"),
        (io.ReadError(13, "Permission denied", "a"), 1, "jaxlm info: Permission denied: a\n"),
        (
            io.ReadError(2, "No such file or directory", "a.txt"),
            2,
            "jaxlm info: No such file or directory: a.txt\n",
        ),
        (
            OSError(28, "No space left on device", "b"),
            1,
            "jaxlm info: no room left on disk: b; free some, then run the same command again\n",
        ),
        (
            MemoryError(),
            1,
            "jaxlm info: out of memory: read less text at once, or take a smaller model\n",
        ),
    ],
)
def test_what_a_command_raises_becomes_a_line_and_a_code(monkeypatch, capsys, raised, code, line):
    def run(arguments):
        raise raised

    monkeypatch.setattr("jaxlm.cli._info.run", run)
    assert main(["info", "x"]) == code
    assert capsys.readouterr().err == line


def test_a_bug_is_one_line_that_names_its_place_and_a_traceback_on_request(monkeypatch, capsys):
    def run(arguments):
        return [][1]

    monkeypatch.setattr("jaxlm.cli._info.run", run)
    assert main(["info", "x"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "failed at test_main.py:" in said and "IndexError: list index out of range" in said
    monkeypatch.setenv("JAXLM_TRACEBACK", "1")
    with pytest.raises(IndexError):
        main(["info", "x"])


def test_the_users_environment_comes_first(monkeypatch, capsys):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    main(["info"])
    assert _main.os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["info", "--help"]])
@pytest.mark.parametrize("target", ["a pipe without a reader", "/dev/full"])
def test_an_output_that_cannot_be_written(arguments, target):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe, open("/dev/full", "w") as full:
        command, stream = [sys.executable, "-m", "jaxlm", *arguments], full if target == "/dev/full" else pipe
        done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, text=True, check=False)
    program = "jaxlm info" if len(arguments) > 1 else "jaxlm"
    assert done.returncode == (1 if target == "/dev/full" else 0)
    # Whether it is named depends on whether the interpreter buffers it.
    where = r"no room left on disk(: the standard output)?"
    line = rf"{program}: {where}; free some, then run the same command again\n"
    assert re.fullmatch(line if done.returncode else "", done.stderr)


def test_what_the_library_warns_of_is_one_line(monkeypatch, capsys):
    def run(arguments):
        logging.getLogger("jaxlm.data").warning("the cache is\ndamaged")
        return 0

    monkeypatch.setattr("jaxlm.cli._info.run", run)
    assert main(["info"]) == 0
    assert capsys.readouterr().err == "jaxlm info: warning: the cache is damaged\n"
    assert not logging.getLogger("jaxlm").handlers


def test_letters_that_the_terminal_lacks_are_written_by_their_numbers():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [
        sys.executable,
        "-c",
        "import sys; from jaxlm.cli import main; sys.exit(main())",
        "tr\u00e4in\u732b",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    code = "import sys; from jaxlm.cli import _main; sys.argv = ['x', '-V']; _main.main(); print('\\u732b')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("\\u732b\n")
