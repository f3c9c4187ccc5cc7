"""A signal at any moment ends a command within seconds, by its own exit code, and nothing is lost."""

import dataclasses
import importlib.util
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxlm import training

ROOT = Path(__file__).parents[2]
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
# What no signal may bring about.
NOISE = re.compile(
    r"Traceback|Exception ignored|Fatal Python error|terminate called|Segmentation|core dumped"
)
# Seconds from the signal to the end, on a machine that has other things to do.
SOON = 20.0
SMALL = ("--width", "16", "--depth", "1", "--num-heads", "2", "--row-length", "32", "--batch-size", "8")
OFTEN = ("--run.save-every", "5", "--run.eval-every", "10", "--steps", "100000")
# How many signals the long test sends, in three parts; by hand JAXLM_SIGNALS=300.
MANY = int(os.environ.get("JAXLM_SIGNALS", "45"))


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended after a signal: its exit code, the seconds it took, what it said."""

    code: int
    seconds: float
    said: str


@pytest.fixture(scope="module")
def place(tmp_path_factory, gpt2_folder):
    """A folder with a corpus and a model."""
    place = tmp_path_factory.mktemp("signals")
    draw, words = random.Random(0), ["the", "a", "red", "blue", "cat", "dog", "house", "river", "sees"]
    lines = [" ".join(draw.choice(words) for _ in range(draw.randint(5, 25))) for _ in range(2000)]
    (place / "corpus.txt").write_text("\n".join(lines))
    shutil.copytree(gpt2_folder, place / "model")
    return place


def start(place, *arguments):
    """Starts a command as a shell does; what it says goes to the file `said`."""
    own = {"PYTHONPATH": str(ROOT), "JAXLM_CACHE": str(place / "cache")}
    # As here, but for a number of devices that nobody has.
    own["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "").replace("device_count=8", "device_count=1")
    with open(place / "said", "w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "jaxlm", *map(str, arguments)],
            cwd=place,
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def has_begun(process):
    """Whether a line of ours has run, the first of which catch SIGINT, then SIGTERM.

    Python leaves SIGTERM to the system; while it starts, it may end by SIGINT with a traceback of its own, or
    lose it, and nothing of ours could help.
    """
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():  # on another system it is not known
        return True
    caught = re.search(r"SigCgt:\t(\w+)", status.read_text())
    return caught is not None and bool(int(caught[1], 16) >> signal.SIGTERM - 1 & 1)


def signalled(place, arguments, *numbers, after=0.0, until="", between=0.01):
    """Starts a command, waits for what it says and some seconds more, and sends signals in a row."""
    process, said = start(place, *arguments), place / "said"
    while not has_begun(process) and process.poll() is None:
        time.sleep(0.001)
    while until not in said.read_text() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(after)
    is_running, began = process.poll() is None, time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(between)
    try:
        ended = Ended(process.wait(3 * SOON), time.monotonic() - began, said.read_text())
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(
            f"{numbers} after {after} s of {arguments} is lost: {said.read_text()}"
        ) from None
    assert not NOISE.search(ended.said) and ended.seconds < SOON, (arguments, after, ended)
    # One that had done its work when the signal came has its own code.
    is_right = ended.code == CODES[numbers[0]] or (ended.code == 0 and ended.seconds < 2)
    assert not is_running or is_right, (after, ended)
    return ended


def test_the_first_seconds(place):
    ended = signalled(place, ["info", "model"], signal.SIGINT, after=0.8)
    assert ended == Ended(130, ended.seconds, "jaxlm info: interrupted\n")


def test_two_batches_at_once(place):
    score = ["score", "model", "corpus.txt", "--out", "scores", "--part-documents", "20"]
    process = start(place, *score)
    while not list((place / "scores").glob("parts/*.parquet")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SOON) == 143
    told = "jaxlm score: terminated; the parts that are written stay: the same command goes on\n"
    assert (place / "said").read_text().endswith(told)
    assert not (place / "scores/manifest.json").exists()


def test_a_compiler_is_not_waited_for(place):
    layers = SMALL.index("--depth") + 1
    deep = ["train", "--data", "corpus.txt", "--out", "deep", *SMALL[:layers], "6", *SMALL[layers + 1 :]]
    ended = signalled(place, deep, signal.SIGTERM, until="parameters, on", after=0.3)
    told = "jaxlm train: terminated; go on: jaxlm train --resume --out deep\n"
    assert ended.code == 143 and ended.said.endswith(told)


def test_several_in_a_row_are_one_and_the_run_is_saved(place):
    several = [signal.SIGTERM, signal.SIGTERM, signal.SIGINT]
    command = ["train", "--data", "corpus.txt", "--out", "several", *SMALL, *OFTEN]
    ended = signalled(place, command, *several, until="step 10  held-out")
    assert ended.code == 143 and ", saved; go on: " in ended.said
    step = int(re.search(r"stopped at step (\d+)", ended.said)[1])
    assert training.last_good(place / "several/checkpoints")[0].step == step


def commands(place, seed):
    """Yields the names of commands, and commands, without end."""
    for number in (f"{seed}-{count}" for count in itertools.count()):
        yield "train", ["train", "--data", "corpus.txt", "--out", f"t{number}", *SMALL, *OFTEN]
        yield "score", ["score", "model", "corpus.txt", "--out", f"s{number}", "--part-documents", "20"]
        yield "info", ["info", "model"]
        yield "train", ["train", "--data", "corpus.txt", "--out", f"t{number}", *SMALL, *OFTEN, "--resume"]
        yield "convert", ["convert", "model", f"c{number}"]
        yield "evaluate", ["evaluate", "model", "corpus.txt"]
        if importlib.util.find_spec("lm_eval"):
            yield "lm-eval", ["lm-eval", "ls", "tasks"]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_many_signals_at_random_moments(place, seed):
    """None is lost, none crashes, and what they left can be gone on with by the same command."""
    draw, codes, failures = random.Random(seed), {}, []
    seconds = {name: duration(place, command) for name, command in itertools.islice(commands(place, seed), 7)}
    for path in place.glob(f"?{seed}-*"):
        shutil.rmtree(path)
    for name, command in itertools.islice(commands(place, seed), MANY // 3):
        number, after = draw.choice(list(CODES)), draw.uniform(0, seconds[name] * 1.1)
        if command[-1] == "--resume" and not (place / command[4] / "experiment.json").exists():
            command = command[:-1]
        try:
            ended = signalled(place, command, number, after=after)
            codes[name, ended.code] = codes.get((name, ended.code), 0) + 1
            if name in ("score", "convert") and draw.random() < 0.2 and ended.code:
                assert start(place, *command).wait() == 0, (command, (place / "said").read_text())
        except AssertionError as failure:
            failures.append(str(failure))
        print(name, number.name, round(after, 2), codes, len(failures), flush=True)
    assert not failures, failures


def duration(place, command):
    """Returns how long a command takes, or a training until some steps were saved."""
    process, began = start(place, *command), time.monotonic()
    while process.poll() is None and "step 20  held-out" not in (place / "said").read_text():
        time.sleep(0.01)
    taken = time.monotonic() - began
    process.kill()
    process.wait()
    return taken
