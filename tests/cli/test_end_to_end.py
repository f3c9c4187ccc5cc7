"""Real runs, tiny: traces of assembly and lines of text, each trained once and then used by every command."""

import contextlib
import io
import json
import os
import random
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxlm.cli import main

ROOT = Path(__file__).parents[2]
SMALL = shlex.split(
    "--eval-every 2 --save-every 2 --log-every 1 --batch-size 8 --row-length 32 --max-length 64 "
    "--model.width 16 --depth 1 --num-heads 2 --tokenizer.vocab-size 460"
)
TINY = ["--steps", "4", *SMALL]


def traces(seed=0):
    draw = random.Random(seed)
    registers = ["rax", "rbx", "rcx", "rdx", "rbp", "rsp"]
    lines = []
    for _ in range(90):
        body = [
            f"mov {draw.choice(registers)} {draw.randint(0, 99)}",
            f"push {draw.choice(registers)}",
            "ret",
        ]
        lines.append(" [NEXT] ".join(draw.choices(body, k=draw.randint(2, 6))))
    return "\n".join(lines)


def prose():
    draw = random.Random(1)
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "and", "then", "it", "was"]
    return "\n".join(" ".join(draw.choices(words, k=draw.randint(4, 12))) for _ in range(90))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    (folder / "all.traces").write_text(traces())
    (folder / "prose.txt").write_text(prose())
    (folder / "empty.txt").write_text("")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def trained(place, tmp_path_factory):
    """What each of the two runs said; they are in runs/all-1 and runs/prose-1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        # This fixture is older than the one that does it for every test.
        patch.setenv("JAXLM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        said = {}
        text_masked = [str(ROOT / "experiments/text_masked"), "--out", "runs/prose-1"]
        for data, experiment in (("all.traces", []), ("prose.txt", text_masked)):
            said[data] = in_process(["train", *experiment, "--data", data, *TINY])
            assert said[data].returncode == 0, said[data].stderr
        return said


def in_process(arguments):
    """Runs main() with its own streams, outside pytest's capture, which a module's fixture cannot use."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(("data", "run"), [("all.traces", "runs/all-1"), ("prose.txt", "runs/prose-1")])
def test_train_says_what_it_did_and_what_to_type_next(here, trained, data, run):
    out, err = trained[data].stdout, trained[data].stderr
    assert "test split, held out: " in out and "unigram baseline" in out
    assert all(word in out for word in ("loss (nats a token)", "perplexity", "accuracy", "probes", "[MASK]"))
    assert f"jaxlm fill {run} '" in out
    assert f"  jaxlm evaluate {run}\n  jaxlm info {run}\n" in out
    assert "step 4/4  loss " in err and "held-out loss " in err and "parameters, on 8 x cpu" in err
    assert not any(word in err for word in ("Traceback", "Warning"))


@pytest.mark.parametrize("run", ["runs/all-1", "runs/prose-1"])
def test_the_run_folder_holds_all_that_is_promised(here, trained, run):
    names = {path.name for path in (here / run).iterdir()}
    assert names == {
        *("config.json", "tokenizer.json", "metrics.jsonl", "experiment.json", "checkpoints"),
        *("curve.png", "model.safetensors"),
    } | ({"tokenizer_config.json"} & names)
    assert (here / run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_what_train_proposes_to_type_works(here, trained, capsys):
    proposed = [line for line in trained["prose.txt"].stdout.splitlines() if line.startswith("  jaxlm ")]
    assert len(proposed) == 3
    for line in proposed:
        assert main(shlex.split(line)[1:]) == 0
        shown = capsys.readouterr()
        assert shown.out and not shown.err


def test_fill_prints_a_table_and_json(here, trained, capsys):
    text = "mov [MASK] 42 [NEXT] [MASK]"
    assert main(["fill", "runs/all-1", text, "-k", "3"]) == 0
    table = capsys.readouterr().out
    assert "probability" in table and table.count("0.0") >= 6
    arguments = ["fill", "runs/all-1", text, "ret [NEXT] [MASK]", "--json", "--top-k", "2"]
    assert main([*arguments, "--method", "iterative"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert [len(one["candidates"]) for one in first["predictions"]] == [2, 2]
    assert "[MASK]" not in first["text"] and "[NEXT]" in first["text"]
    assert second["predictions"][0]["position"] == 2


def test_fill_reads_texts_from_stdin(here, trained, capsys, monkeypatch, tmp_path):
    (tmp_path / "in").write_text("mov [MASK]\n\nret [NEXT] [MASK]\n")
    with open(tmp_path / "in") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["fill", "runs/all-1", "-", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_evaluate_repeats_the_scores_of_the_run(here, trained, capsys):
    lines = [json.loads(line) for line in (here / "runs/all-1/metrics.jsonl").read_text().splitlines()]
    (test,) = (line for line in lines if line["split"] == "test")
    assert main(["evaluate", "runs/all-1", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    # Another batch size and number of devices: float32 sums in another order.
    assert again["nll"] == pytest.approx(test["loss"], rel=1e-5)
    assert again["unigram_nll"] == pytest.approx(test["unigram_nll"], rel=1e-5)
    assert (again["scored"], again["tokens"]) == (test["scored"], test["tokens"])


@pytest.mark.parametrize("name", ["runs/all-1@best", "runs/all-1@last", "runs/all-1/checkpoints/00000004"])
def test_a_checkpoint_is_known_as_its_runs(here, trained, capsys, name):
    assert main(["evaluate", "runs/all-1", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert main(["evaluate", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == whole | {"model": name}
    assert main(["info", name]) == 0
    assert "a checkpoint of runs/all-1, at step 4, held-out loss " in capsys.readouterr().out


def test_evaluate_takes_a_corpus_of_ones_own(here, trained, capsys):
    (here / "other.traces").write_text(traces(seed=5))
    assert main(["evaluate", "runs/all-1", "other.traces"]) == 0
    shown = capsys.readouterr().out
    assert "runs/all-1 on other.traces: " in shown and "unigram baseline" in shown


def test_evaluate_without_the_training_data_has_no_baseline_and_says_so(
    here, trained, capsys, monkeypatch, tmp_path
):
    (tmp_path / "o.txt").write_text(prose())
    run = here / "runs/prose-1"
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(run)]) == 0
    assert "unigram" in capsys.readouterr().out
    (here / "prose.txt").rename(here / "away")
    try:
        assert main(["evaluate", str(run), "o.txt"]) == 0
        shown = capsys.readouterr()
        assert "warning: no unigram baseline" in shown.err and "unigram" not in shown.out
        assert main(["evaluate", str(run)]) == 2
        assert "prose.txt" in capsys.readouterr().err
    finally:
        (here / "away").rename(here / "prose.txt")


def test_evaluate_refuses_a_corpus_that_has_changed_under_its_name(here, trained, capsys):
    text = (here / "prose.txt").read_text()
    try:
        (here / "prose.txt").write_text(text + "\none more line")
        assert main(["evaluate", "runs/prose-1"]) == 2
    finally:
        (here / "prose.txt").write_text(text)
    assert "the corpus has changed since runs/prose-1 was trained" in capsys.readouterr().err


def test_info_tells_what_the_folder_holds(here, trained, capsys):
    assert main(["info", "runs/all-1"]) == 0
    shown = capsys.readouterr().out
    assert all(
        word in shown for word in ("finished: 4 steps", "tokenizer: instructions", "head.decode", "curve.png")
    )
    assert main(["info", "runs/all-1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["training"]["step"] == found["training"]["steps"] == 4
    assert found["config"]["model"]["position"]["kind"] == "rotary"
    assert found["tokenizer"]["specials"]["next"] == 5
    assert set(found["metrics"]) == {"train", "validation", "test"}


def test_resuming_a_finished_run_needs_no_arguments_but_its_folder(here, trained, capsys):
    assert main(["train", "--resume", "--out", "runs/all-1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["folder"], result["step"]) == ("runs/all-1", 4)
    assert main(["train", "--resume", "--out", "runs/all-1"]) == 0
    assert "trained 0 steps in " in (shown := capsys.readouterr().out) and "on from step 4 to 4" in shown


def test_a_run_whose_data_or_first_model_moved_says_how_to_name_where_they_lie(here, trained, capsys):
    begun = [f"{option}={value}" for option, value in (("--init", "runs/prose-1@last"), ("--steps", 1))]
    size = ["--batch-size", "8", "--eval-every", "0"]
    assert main(["train", *begun, "--data", "prose.txt", "--out", "tuned", *size]) == 0
    capsys.readouterr()
    moved = [
        (here / "prose.txt", here / "elsewhere" / "prose.txt", "--data"),
        (here / "runs", here / "r", "--init"),
    ]
    (here / "elsewhere").mkdir()
    longer = ["train", "--resume", "--out", "tuned", "--steps", "2"]
    named = []
    try:
        for place, other, option in moved:
            place.rename(other)
            assert main([*longer, *named]) == 2
            said = capsys.readouterr().err
            assert f"no longer at {place}" in said and f": {option} " in said
            named += [option, str(other) if option == "--data" else "r/prose-1@last"]
        assert main([*longer, *named]) == 0
    finally:
        for place, other, _ in moved:
            if other.exists():
                other.rename(place)
    assert "on from step 1 to 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "nope.txt"], "no file or folder at '{here}/nope.txt'"),
        (["train", "--data", "*.nope"], "no file matches the pattern '{here}/*.nope'"),
        (["train", "--data", "empty.txt"], "the corpus is empty"),
        (["train", "--data", "latin.txt"], "latin.txt:2: not UTF-8"),
        (["train", "--data", "broken.jsonl"], "broken.jsonl:2: not JSON"),
        (["train", "--data", "specials.traces"], "found no pretoken but specials"),
        (["train", "--model.width", "30"], "width must be a multiple of num_heads"),
        (["train", "--data", "prose.txt", "--data.paths", "prose.txt"], "give one of them"),
        (["train", "a.py", "b.py"], "one EXPERIMENT at a time"),
        (["train", "--out", "runs/all-1"], "already holds a run"),
        (["train", "--out", "runs/all-1", "--resume", "--depth", "3"], "model.depth: 1 and 3"),
        (["train", "--out", "prose.txt"], "prose.txt is a file"),
        (["train", "--resume", "--out", "runs/none"], "no run to resume in runs/none"),
        (["fill"], "MODEL is missing"),
        (["fill", "runs/all-1"], "TEXT is missing"),
        (["fill", "runs/all-1", "ret"], "nothing to fill in 'ret'"),
        (["fill", "runs/all-1", "mov rax[MASK]"], "apart from its neighbours"),
        (["fill", "runs/all-1", "[MASK] " * 70], "70 tokens long and the model takes at most 64"),
        (["fill", "runs/all-1", "[MASK]", "--top-k", "0"], "--top-k is at least 1"),
        (["fill", "runs/all-2", "[MASK]"], "finished runs here: runs/all-1, runs/prose-1"),
        (["fill", "unfinished", "[MASK]"], "has not finished"),
        (["evaluate", "runs/all-1", "empty.txt"], "the corpus is empty"),
        (["evaluate", "runs/all-1", "--batch-size", "0"], "--batch-size is at least 1"),
        (["info", "."], "holds no model: it has no config.json"),
        (["info", "prose.txt"], "prose.txt is a file"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_2(here, trained, capsys, arguments, message):
    (here / "latin.txt").write_bytes(b"good\nna\xefve\n")
    (here / "broken.jsonl").write_text('{"text": "a"}\n{"text": oops\n')
    (here / "specials.traces").write_text("\n".join("[NEXT] " * n for n in range(1, 9)))
    (here / "unfinished/checkpoints").mkdir(parents=True, exist_ok=True)
    before = (here / "runs/all-1/metrics.jsonl").read_bytes()
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message.replace("{here}", str(here)) in shown.err
    assert shown.err.startswith(f"jaxlm {arguments[0]}: ") and shown.err.count("\n") == 1
    assert shown.out == ""
    assert (here / "runs/all-1/metrics.jsonl").read_bytes() == before


def test_a_signal_saves_and_the_run_goes_on(here):
    command = [sys.executable, "-m", "jaxlm", "train", "--out", "runs/stopped"]
    told = stopped_by(signal.SIGTERM, [*command, "--data", "all.traces", *SMALL, "--steps", "100000"], 143)
    assert "saved; go on: jaxlm train --resume --out runs/stopped" in told
    told = stopped_by(signal.SIGINT, [*command, "--resume"], 130)
    assert "going on from step " in told and "saved; go on: " in told


def stopped_by(number, command, code):
    """Starts a run, sends a signal after its first evaluation, and returns what it wrote to stderr."""
    streams = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **streams) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "held-out loss" in line:
                process.send_signal(number)
                break
        lines += process.stderr.readlines()
        assert process.wait() == code, "".join(lines)
    assert "Traceback" not in "".join(lines)
    return "".join(lines)


def test_a_causal_model_of_ones_own_text_is_one_command(here, capsys):
    tiny = [option for option in TINY if option not in ("--max-length", "64")]
    assert main(["train", "--data", "prose.txt", "--causal", "--out", "runs/causal", *tiny]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("it writes: ") == 2  # at each of two evaluations
    assert "bits per byte" in shown.out
    following = shown.out.partition("next:")[2]
    assert "jaxlm generate runs/causal --temperature 0.8\n" in following
    assert f"jaxlm score runs/causal {here / 'prose.txt'} --out scores\n" in following
    assert main(["generate", "runs/causal", "--temperature", "0.8", "-n", "3"]) == 0
    assert main(["score", "runs/causal", "prose.txt", "--out", "scores"]) == 0
    longer = ["train", "--resume", "--out", "runs/causal", "--steps", "6", "--no-samples"]
    capsys.readouterr()
    assert main(longer) == 0
    shown = capsys.readouterr()
    assert "step 6/6" in shown.err and "it writes" not in shown.err
