"""A job that scores bytes: stopped or killed and run again, it leaves the files of one that was not."""

import math
import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from jaxlm import data, scoring
from tests.decoding.bytes.small_models import loaded_model, merges_tokenizer
from tests.scoring.fakes import contents
from tests.scoring.jobs.test_kill import LINE, ROOT

WORDS = ("ab", "abc", "cab", "bba", "acab")
TEXTS = ["".join(WORDS[number % size] for size in (2, 3, 5)) * (1 + number % 3) for number in range(40)]
TEXTS[7], TEXTS[20] = "", "abd"
SMALL = scoring.JobConfig(part_documents=6)
SCRIPT = """
import os, sys
from tests.scoring.jobs.test_byte_job import byte_scorer, finished
class Telling:
    def __init__(self, scorer):
        self.scorer, self.schema, self.description = scorer, scorer.schema, scorer.description
        self.work = None
    def __call__(self, records):
        for row in self.scorer(records):
            os.write(1, b"." * 16383 + b"\\n")
            yield row
finished(sys.argv[1], Telling(byte_scorer()))
"""


def byte_scorer():
    return scoring.make_scorer(loaded_model(merges_tokenizer()), scoring.ByteLogLikelihood(bytes=True))


def events(out, scorer, config=SMALL):
    records = [data.Record(str(number), text, {}) for number, text in enumerate(TEXTS)]
    source = scoring.Source(lambda: iter(records), {"name": "a list"}, lambda: len(records))
    return scoring.run_job(scorer, source, str(out), config)


def finished(out, scorer, config=SMALL):
    *_, last = events(out, scorer, config)
    return last


@pytest.fixture(scope="module")
def scorer():
    return byte_scorer()


@pytest.fixture(scope="module")
def whole(scorer, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, finished(out, scorer)


def test_parts_have_a_row_for_each_document_in_order(whole, scorer):
    out, last = whole
    table = pa.concat_tables(scoring.read_parts(str(out)))
    assert table["id"].to_pylist() == list(map(str, range(len(TEXTS))))
    assert [row for row, error in enumerate(table["error"].to_pylist()) if error] == [7, 20]
    for text, one in zip(TEXTS, table.to_pylist(), strict=True):
        if one["error"] is None:
            (expected,) = scorer([data.Record("a", text, {})])
            assert one["log_likelihood"] == pytest.approx(expected["log_likelihood"], abs=1e-4)
            np.testing.assert_allclose(one["byte_log_probs"], expected["byte_log_probs"], atol=1e-4)
    assert last.summary["documents"] == len(TEXTS) and last.summary["errors"] == 2


def test_the_corpus_has_its_bits_per_byte(whole):
    rows = [
        row for row in pa.concat_tables(scoring.read_parts(str(whole[0]))).to_pylist() if not row["error"]
    ]
    nats, size = sum(row["log_likelihood"] for row in rows), sum(row["num_bytes"] for row in rows)
    totals = whole[1].summary["corpus"]
    assert totals["scored_bytes"] == size and totals["nats"] == pytest.approx(nats)
    assert totals["nats_per_byte"] == pytest.approx(-nats / size)
    assert totals["bits_per_byte"] == pytest.approx(-nats / size / math.log(2))
    assert totals["byte_perplexity"] == pytest.approx(math.exp(-nats / size))
    assert "perplexity" not in totals and "scored" not in totals


def test_bits_are_written_in_place_of_nats(whole, scorer, tmp_path):
    finished(tmp_path, scorer, scoring.JobConfig(part_documents=6, base="2"))
    bits, nats = (pa.concat_tables(scoring.read_parts(str(out))) for out in (tmp_path, whole[0]))
    for name in ("log_likelihood", "byte_log_probs"):
        two, e = (table[name].drop_null().to_pylist() for table in (bits, nats))
        np.testing.assert_allclose(np.hstack(two), np.hstack(e) / math.log(2), rtol=1e-6)
    assert bits["bits_per_byte"].to_pylist() == nats["bits_per_byte"].to_pylist()


def test_a_stopped_job_goes_on_to_the_same_files(whole, scorer, tmp_path):
    running = events(tmp_path, scorer)
    while next(running).parts < 2:
        pass
    running.close()
    begun = len(list((tmp_path / "parts").glob("*.parquet")))
    assert 2 <= begun < whole[1].num_parts
    last = finished(tmp_path, scorer)
    assert last.skipped == begun
    assert contents(tmp_path) == contents(whole[0])


def test_shards_make_the_same_parts(whole, scorer, tmp_path):
    for shard in ((2, 2), (1, 2)):
        last = finished(tmp_path, scorer, scoring.JobConfig(part_documents=6, shard=shard))
    assert last.summary == whole[1].summary
    assert contents(tmp_path) == contents(whole[0])


def test_other_options_are_another_job(whole):
    other = scoring.make_scorer(loaded_model(merges_tokenizer()), scoring.ByteLogLikelihood(max_stems=4))
    with pytest.raises(ValueError, match="max_stems"):
        finished(whole[0], other)


@pytest.mark.long
def test_a_killed_job_goes_on_to_the_same_files(tmp_path):
    finished(tmp_path / "whole", byte_scorer())
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT) as child:
        for _ in range(17):
            assert child.stdout.read(len(LINE)) == LINE
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "manifest.json").exists()
    finished(tmp_path / "out", byte_scorer())
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
