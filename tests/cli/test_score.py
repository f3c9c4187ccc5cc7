"""`jaxlm score` on tiny models: the files it leaves, and one line for everything that cannot be."""

import dataclasses
import gzip
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import pretrained, scoring, steps
from jaxlm.cli import _score, _score_options, main
from jaxlm.cli._cluster import cluster_shard
from jaxlm.scoring.jobs._job_config import PART_CHARACTERS, PART_CHARACTERS_BY_TOKEN
from tests.scoring.fakes import Fake, contents

ROOT = Path(__file__).parents[2]
TEXTS = ["a small text", "another one, somewhat longer than that", "b", "é", "the last of them all"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture
def score(causal_folder, corpus, tmp_path):
    """Runs the command on the corpus into tmp_path/out, unless told otherwise."""

    def run(*arguments, model="causal_lm", texts=(corpus,), out=tmp_path / "out"):
        return main(
            ["score", str(causal_folder / model), *map(str, texts), "--out", str(out), *map(str, arguments)]
        )

    return run


@pytest.fixture
def fake(monkeypatch):
    """No model: what is asked is how many words there are."""
    monkeypatch.setattr(_score, "scorer_from_options", lambda *arguments: Fake())


def rows(out):
    return pq.read_table(out / "parts").to_pylist()


def test_rows_are_what_the_library_says(score, causal_folder, tmp_path, capsys):
    assert score() == 0
    loaded = pretrained.load(causal_folder / "causal_lm")
    expected = list(scoring.score(loaded, TEXTS))
    found = rows(tmp_path / "out")
    assert [row["index"] for row in found] == list(range(5))
    assert [row["id"] for row in found] == [f"corpus.jsonl:{line}" for line in range(1, 6)]
    for row, one in zip(found, expected, strict=True):
        if one.error is not None:
            assert row["error"] == one.error and row["log_likelihood"] is None
        else:
            # Another batch, float32: the contract of invariance.
            assert row["log_likelihood"] == pytest.approx(one.values["log_likelihood"], abs=1e-5 * 40)
    said = capsys.readouterr()
    assert "5 documents" in said.out and "log_likelihood" in said.out and "histogram.png" in said.out
    assert "/s" in said.err and "padding" in said.err
    assert (tmp_path / "out" / "histogram.png").read_bytes().startswith(b"\x89PNG")


def test_ids_and_kept_columns_stand_beside_scores(score, corpus, tmp_path, capsys):
    lines = [{"id": f"doc-{n}", "text": text, "year": 1990 + n} for n, text in enumerate(TEXTS)]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert score("--keep", "year", "id") == 0
    assert [(row["id"], row["year"]) for row in rows(tmp_path / "out")] == [
        (line["id"], line["year"]) for line in lines
    ]
    capsys.readouterr()
    for asked, said in (
        ("yaer", "no field 'yaer' to keep; the fields there are 'id', 'text', 'year'"),
        ("perplexity", "no field 'perplexity' to keep"),
    ):
        assert score("--keep", asked, out=tmp_path / "other") == 2
        assert said in capsys.readouterr().err
    corpus.write_text(corpus.read_text().replace("year", "perplexity"))
    assert score("--keep", "perplexity", out=tmp_path / "other") == 2
    said = capsys.readouterr().err
    assert "--keep perplexity: the scores have a column of that name" in said and said.count("\n") == 1


def test_a_corpus_in_an_object_store(score, corpus, tmp_path, capsys):
    fsspec = pytest.importorskip("fsspec")
    place = f"{tmp_path.name}/corpus"
    fsspec.filesystem("memory").pipe_file(f"/{place}/corpus.jsonl.gz", gzip.compress(corpus.read_bytes()))
    assert score() == 0
    assert score(texts=(f"memory://{place}/*.jsonl.gz",), out=f"memory://{tmp_path.name}/out") == 0
    tables = [
        list(scoring.read_parts(out)) for out in (str(tmp_path / "out"), f"memory://{tmp_path.name}/out")
    ]
    here, there = ([row for table in one for row in table.to_pylist()] for one in tables)
    assert [row.pop("id") for row in there] == [f"corpus.jsonl.gz:{line}" for line in range(1, 6)]
    assert [row for row in here if row.pop("id")] == there
    capsys.readouterr()
    for wrong in ("memory://no-bucket/*.txt", "memory://no-bucket/a.txt", "nowhere://a/b.txt", "https://["):
        assert score(texts=(wrong,), out=tmp_path / "other") == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_same_again_goes_on_and_another_is_refused(score, tmp_path, capsys):
    assert score("--part-documents", 2) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert score("--part-documents", 2, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["parts_here"], said["parts_before"], said["documents"]) == (0, 3, 5)
    assert {path: path.read_bytes() for path in before} == before
    assert score("--part-documents", 2, "--window", 16) == 2
    assert "scorer.window: 32 and 16" in capsys.readouterr().err


def test_shards_of_a_model_leave_the_bytes_of_one_run(score, tmp_path, capsys):
    assert score("--part-documents", 2, out=tmp_path / "whole") == 0
    assert score("--part-documents", 2, "--shard", "2/2") == 0
    assert "parts of other shards are missing" in capsys.readouterr().out
    assert score("--part-documents", 2, "--shard", "1/2") == 0
    assert contents(tmp_path / "whole") == contents(tmp_path / "out")


class Nothing(Fake):
    """Scores no document."""

    def __call__(self, records):
        return ({"error": "7 words: expected others"} for _ in records)


def test_a_job_in_which_every_document_failed_has_failed(score, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_score, "scorer_from_options", lambda *arguments: Nothing())
    for options in ((), ("--json",)):
        assert score(*options) == 1
        said = capsys.readouterr()
        line = "jaxlm score: none of the 5 documents could be scored: N words: expected others"
        assert said.err.splitlines()[-1] == line
    assert json.loads(said.out)["errors"] == 5
    assert [row["error"] for row in rows(tmp_path / "out")] == ["7 words: expected others"] * 5


def test_one_document_that_is_scored_is_enough(score, fake, corpus, capsys):
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a b c d e f g", "a")))
    assert score() == 0


def test_a_folder_that_is_removed_meanwhile_is_a_failure(score, monkeypatch, tmp_path, capsys):
    class Removes(Fake):
        def __call__(self, records):
            for row in super().__call__(records):
                if len(self.seen) == 3:
                    (tmp_path / "out").rename(tmp_path / "aside")
                yield row

    monkeypatch.setattr(_score, "scorer_from_options", lambda *arguments: Removes())
    assert score("--part-documents", 2) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "out was removed or renamed while the job ran" in said or "out/parts was removed" in said
    assert "run the same command again" in said and not (tmp_path / "out").exists()
    monkeypatch.setattr(_score, "scorer_from_options", lambda *arguments: Fake())
    assert score("--part-documents", 2) == 0


def test_a_part_too_many_is_said_and_the_job_is_finished(score, fake, tmp_path, capsys):
    assert score("--part-documents", 2) == 0
    parts = tmp_path / "out" / "parts"
    (parts / "part-000099.parquet").write_bytes((parts / "part-000001.parquet").read_bytes())
    capsys.readouterr()
    assert score("--part-documents", 2) == 0
    assert "part-000099.parquet is no part of this job" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["score", "evaluate", "train"])
def test_a_pipe_is_no_corpus_of_any_command(command, causal_folder, tmp_path, capsys):
    os.mkfifo(tmp_path / "corpus.txt")
    options = {
        "score": [
            str(causal_folder / "causal_lm"),
            str(tmp_path / "corpus.txt"),
            "--out",
            str(tmp_path / "o"),
        ],
        "evaluate": [str(causal_folder / "causal_lm"), str(tmp_path / "corpus.txt")],
        "train": ["--data", str(tmp_path / "corpus.txt"), "--out", str(tmp_path / "o")],
    }
    assert main([command, *options[command]]) == 2
    said = capsys.readouterr().err
    assert "corpus.txt: expected a regular file" in said and said.count("\n") == 1
    assert not (tmp_path / "o").exists()


STEP_TEXTS = ["a small text", "another one", "bc", "é", "the last of them all"]
OTHERS = ["a small test", "another two", "bd", "è", "the last of us all"]
STEPS = ("entropy", "top_p_size=0.9", "kl_divergence")


def test_step_scores_are_those_of_the_library(score, causal_folder, tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    pairs = zip(STEP_TEXTS, OTHERS, strict=True)
    path.write_text("".join(json.dumps({"text": text, "other": other}) + "\n" for text, other in pairs))
    asked = ("--step-scores", *STEPS, "--contrast", "other", "--alignment", "last_common")
    assert score(*asked, "--shard", "1/2", "--part-documents", "2", texts=(path,)) == 0
    assert score(*asked, "--part-documents", "2", "--json", texts=(path,)) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["columns"]["entropy"]["count"] == len(OTHERS) and told["parts_before"] == 2
    contrast = steps.Contrast(texts=OTHERS, alignment="last_common")
    functions = list(map(steps.parse_step_function, STEPS))
    loaded = pretrained.load(causal_folder / "causal_lm")
    expected = steps.step_scores(loaded, STEP_TEXTS, functions, contrast=contrast)
    for row, theirs in zip(rows(tmp_path / "out"), expected, strict=True):
        for name, values in theirs.values.items():
            found = [math.nan if one is None else one for one in row[f"token_{name}"]][-len(values) :]
            assert found == pytest.approx(values.tolist(), abs=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--step-scores", "entropie"), "did you mean 'entropy'"),
        (("--step-scores", "kl_divergence"), "kl_divergence compares two texts"),
        (("--step-scores", "entropy", "--measure", "conditional"), "is the measure step-scores"),
        (("--step-scores", "entropy", "--functions", "entropy"), "give one of them"),
        (("--measure", "step-scores"), "functions: name some of logit"),
    ],
)
def test_step_scores_that_cannot_be_asked_are_one_line(score, arguments, reason, tmp_path, capsys):
    assert score(*arguments) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_every_option_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    headings = ("## Scoring a corpus", "## Vectors and classes")
    section = "".join(readme.partition(heading)[2].partition("\n## ")[0] for heading in headings)
    kinds = [_score_options.ScoreOptions, *scoring.MEASURES.values()]
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)} - {"model", "corpus"}
    assert {name for name in names if f"--{name.replace('_', '-')}" not in section} == set()


CLUSTER = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
# Scores a word a document, process 1 once a line comes on its stdin; of each first document it says so.
SHARD = """
import os, sys
from tests.scoring.fakes import Fake
from jaxlm.cli import _score, _score_options, main
class Slow(Fake):
    def __call__(self, records):
        for number, row in enumerate(super().__call__(records)):
            if number == 0:
                print("began", flush=True)
                if os.environ["SLURM_PROCID"] == "1":
                    sys.stdin.readline()
            yield row
_score.scorer_from_options = lambda *arguments: Slow()
sys.exit(main(["score", *sys.argv[1:], "--part-documents", "2", "--distributed", "--json"]))
"""


@pytest.mark.parametrize("ends", ["late", "killed"])
def test_the_processes_of_a_cluster_are_shards_that_go_their_own_ways(
    causal_folder, corpus, tmp_path, score, fake, ends
):
    """What one has to do, or that it is killed, is nothing to the other."""
    words = [str(causal_folder / "causal_lm"), str(corpus), "--out", str(tmp_path / "out")]
    first, second = [
        subprocess.Popen(
            [sys.executable, "-c", SHARD, *words],
            env=os.environ
            | CLUSTER
            | {"SLURM_PROCID": str(n), "SLURM_LOCALID": "0", "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    with first, second:
        assert second.stdout.readline() == "began\n"
        if ends == "killed":
            second.kill()
            second.wait()
        said, _ = first.communicate(timeout=60)
        assert first.returncode == 0 and json.loads(said.splitlines()[-1])["parts_here"] == 2
        if ends == "late":
            said, _ = second.communicate("\n", timeout=60)
            assert second.returncode == 0 and json.loads(said.splitlines()[-1])["finished"]
    assert score("--part-documents", 2) == 0
    assert len(rows(tmp_path / "out")) == 5


def test_the_gpus_of_a_process_are_its_own(monkeypatch):
    for name, value in (CLUSTER | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "3"}).items():
        monkeypatch.setenv(name, value)
    before = {
        name: jax.config.read(name) for name in ("jax_cuda_visible_devices", "jax_rocm_visible_devices")
    }
    try:
        assert cluster_shard() == (1, 1)
        assert {jax.config.read(name) for name in before} == {"3"}
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_shards_are_named_once(score, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_score, "cluster_shard", lambda: (1, 2))
    assert score("--distributed", "--shard", "1/2") == 2
    assert "leave --shard out" in capsys.readouterr().err


def test_no_cluster_is_one_line(score, capsys):
    assert score("--distributed") == 2
    said = capsys.readouterr().err
    assert "found no cluster" in said and "coordinator_address" in said and said.count("\n") == 1


def test_bits_and_tokens(score, tmp_path):
    assert score() == 0
    assert score("--base", 2, "--tokens", "--top-k", 2, out=tmp_path / "bits") == 0
    nats, bits = rows(tmp_path / "out")[0], rows(tmp_path / "bits")[0]
    assert bits["log_likelihood"] == pytest.approx(nats["log_likelihood"] / math.log(2))
    assert sum(bits["token_log_probs"][1:]) == pytest.approx(bits["log_likelihood"], rel=1e-5)
    assert bits["token_starts"] == list(range(12))
    assert len(bits["top_ids"][1]) == 2


def test_every_format(score, fake, tmp_path):
    lines = "".join(f"{text}\n" for text in TEXTS)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(lines.encode()))
    with pa.output_stream(str(tmp_path / "b.txt.zst"), compression="zstd") as stream:
        stream.write(lines.encode())
    (tmp_path / "c.csv").write_text("n,body\n" + "".join(f'{n},"{one}"\n' for n, one in enumerate(TEXTS)))
    pq.write_table(pa.table({"body": TEXTS}), tmp_path / "d.parquet")
    (tmp_path / "e.fasta").write_text("".join(f">{n}\n{one}\n" for n, one in enumerate(["MKV", "GA"])))
    assert score(texts=[tmp_path / "[ab].txt.*"], out=tmp_path / "1") == 0
    assert (
        score("--field", "body", texts=[tmp_path / "c.csv", tmp_path / "d.parquet"], out=tmp_path / "2") == 0
    )
    assert score(texts=[tmp_path / "e.fasta"], out=tmp_path / "3") == 0
    one, two = ([row["log_likelihood"] for row in rows(tmp_path / name)] for name in "12")
    assert len(one) == 10 and one[0] == pytest.approx(two[0]) == pytest.approx(two[5])
    assert [row["id"] for row in rows(tmp_path / "3")] == ["0", "1"]


def test_masked_models_have_measures_of_their_own(score, tmp_path):
    assert score(model="masked_lm") == 0
    assert "pseudo_log_likelihood" in rows(tmp_path / "out")[0]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["--measure", "pseudo-log-likelihood"], {}, "is asked of a masked_lm: this model is a causal_lm"),
        (["--measure", "log-likelihood"], {"model": "masked_lm"}, "is asked of a causal_lm: this model is a"),
        (["--measure", "likelyhood"], {}, "--measure is one of log-likelihood"),
        (["--field", "body"], {}, "no field 'body'; the fields there are 'text'"),
        (["--window", "4000"], {}, "window: this model in these rows reads up to 32"),
        (["--shard", "3/2"], {}, "--shard is i/n with 1 <= i <= n, such as 3/64: got '3/2'"),
        (["--wild-type", "MKT"], {}, "unknown option --wild-type"),
        (["--combine", "probs"], {}, "--combine is for several models"),
        (["--variants", "a.csv", "--wild-type", "MKT"], {}, "--variants takes the place of CORPUS"),
        ([], {"texts": []}, "CORPUS is missing"),
        ([], {"model": "nothing"}, "no model at"),
        (["--engine", "ray"], {}, "Ray is not installed"),
    ],
)
def test_what_cannot_be_is_one_line(score, tmp_path, capsys, arguments, options, message, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert score(*arguments, **options) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_corpora(score, fake, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n\n")
    assert score(texts=[tmp_path / "empty.txt"]) == 2
    assert "the corpus is empty" in capsys.readouterr().err
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n{\n{"text": "three"}\n')
    assert score("--on-error", "stop", texts=[tmp_path / "b.jsonl"]) == 2
    assert re.search(r"b\.jsonl:2: not JSON", capsys.readouterr().err)
    assert score(texts=[tmp_path / "b.jsonl"]) == 0
    assert [row["error"] is None for row in rows(tmp_path / "out")] == [True, False, True]
    assert "1 without a score" in capsys.readouterr().err


def test_a_long_document(score, tmp_path):
    (tmp_path / "long.txt").write_text("word " * 20_000 + "\nx\n")
    assert score("--context", 1, texts=[tmp_path / "long.txt"]) == 0
    long, short = rows(tmp_path / "out")
    assert long["num_bytes"] == 99_999 + 1 and long["num_scored"] == long["num_tokens"] - 1
    assert "nothing before it" in short["error"]
    # No document of the two is scored: the job has failed.
    assert score("--long", "error", texts=[tmp_path / "long.txt"], out=tmp_path / "2") == 1
    assert "a window holds 32" in rows(tmp_path / "2")[0]["error"]


def test_a_full_disk(score, fake, tmp_path, capsys, monkeypatch):
    real, written = os.write, []

    def full(handle, payload):
        if payload[:4] == b"PAR1":
            written.append(len(payload))
            if len(written) == 2:
                raise OSError(28, "No space left on device")
        return real(handle, payload)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert score("--part-documents", 2) == 1
    said = capsys.readouterr().err
    assert "no room left on disk" in said and "part-000001.parquet" in said and said.count("\n") == 1
    assert [path.name for path in (tmp_path / "out" / "parts").iterdir()] == ["part-000000.parquet"]
    assert score("--part-documents", 2) == 0


def test_a_disk_that_is_full_at_the_end(score, fake, tmp_path, capsys, monkeypatch):
    """The parts are there, and the remedy is not that of training."""

    def full(summary):
        raise OSError(28, "No space left on device", "histogram.png")

    monkeypatch.setattr(_score.reports, "histogram_png", full)
    assert score() == 1
    said = capsys.readouterr().err
    assert "no room left on disk: histogram.png; the parts that are written stay" in said
    assert "--resume" not in said


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: out of memory")])
def test_a_model_that_does_not_fit(score, capsys, monkeypatch, error):
    def make(*arguments):
        raise error

    monkeypatch.setattr(_score, "scorer_from_options", make)
    assert score() == 1
    assert capsys.readouterr().err == "jaxlm score: out of memory: lower --rows, --row-length or --tile\n"


def test_an_ensemble(score, causal_folder, tmp_path):
    assert score("--with-members", causal_folder / "causal_lm") == 0
    assert score(out=tmp_path / "one") == 0
    both, one = (rows(tmp_path / name)[0]["log_likelihood"] for name in ("out", "one"))
    assert both == pytest.approx(one, abs=1e-4)
    assert json.loads((tmp_path / "out" / "job.json").read_text())["scorer"]["combine"] == "probs"


def test_help_shows_the_options_of_a_measure(capsys):
    for measure, option in (("log-likelihood", "--window"), ("conditional", "--context")):
        assert main(["score", "--measure", measure, "--help"]) == 0
        said = capsys.readouterr().out
        assert option in said and "--shard" in said


def test_conditionals_take_their_context_from_a_column(score, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("context,text\none two,three\none two,four\n")
    assert score("--measure", "conditional", texts=[path]) == 0
    assert [row["num_tokens"] for row in rows(tmp_path / "out")] == [5, 4]


def test_parts_are_smaller_where_a_text_is_read_once_a_token():
    often = {name for name, measure in scoring.MEASURES.items() if measure.reads_each_token}
    assert often == {"pseudo-log-likelihood", "instruction-ratio", "variant-effect"}
    assert PART_CHARACTERS_BY_TOKEN < PART_CHARACTERS


def test_a_conditional_without_a_context_says_which_option_names_it(score, tmp_path, capsys):
    table = tmp_path / "a.csv"
    table.write_text("prompt,text\none two,three\n")
    for path in (table, None):
        assert score("--measure", "conditional", **({"texts": [path]} if path else {})) == 2
        assert "name it, --context COLUMN" in capsys.readouterr().err


def test_shards_without_a_part_are_told_what_makes_more(score, fake, tmp_path, capsys):
    assert score("--shard", "3/7") == 0
    said = capsys.readouterr().err
    assert "6 of 7 shards have nothing to score, this one, 3/7, among them; the corpus has 1 part" in said
    assert "--part-characters or --part-documents" in said
