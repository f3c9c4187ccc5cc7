"""Measures that ask again, and measures of other answers: alone, together, and under a job."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxlm import data, models, scoring
from jaxlm.scoring.measures._rounds import GenerationSize, rows_in_rounds
from tests.scoring.fakes import contents, run
from tests.scoring.toy_measures import LINE, TOYS, Greedy, texts, toy_lm, toy_scorer, toy_source

ROOT = Path(__file__).parents[3]
PARTS = scoring.JobConfig(part_documents=5)
CLOSE = 1e-5  # float32


@pytest.fixture(scope="module")
def scorers():
    return {name: toy_scorer(name) for name in TOYS}


@pytest.fixture(scope="module")
def read(scorers):
    """Of ids alone in a row: hidden states and log-probabilities, each `[n, ...]`."""
    loaded = toy_lm()

    @jax.jit
    def forward(tokens, segments):
        inputs = models.Inputs(tokens=tokens, segments=segments)
        hidden = loaded.model.apply({"params": loaded.params}, inputs).hidden
        logits = loaded.model.apply({"params": loaded.params}, hidden, method="logits")
        return hidden[0], jax.nn.log_softmax(logits[0])

    def found(tokens):
        row, segments = np.zeros((2, 1, 32), np.int32)
        row[0, : len(tokens)], segments[0, : len(tokens)] = tokens, 1
        return [np.asarray(one)[: len(tokens)] for one in forward(row, segments)]

    return found


def records(chosen):
    return [data.Record(str(place), text, {}) for place, text in enumerate(chosen)]


def test_a_measure_that_asks_again_is_what_it_would_be_text_by_text(scorers, read):
    scorer, encode = scorers["greedy"], toy_lm().tokenizer.encode
    rows = list(scorer(records(texts())))
    assert len(rows) == 40 and "empty" in rows[7]["error"]
    for text, row in zip(texts(), rows, strict=True):
        if not text:
            continue
        ids, log_probs = list(encode(text)), []
        for _ in range(len(ids) % 5):
            last = read(ids)[1][-1]
            ids.append(int(last.argmax()))
            log_probs.append(last.max())
        assert row["written"] == [int(id) for id in ids[len(encode(text)) :]]
        np.testing.assert_allclose(row["log_probs"], log_probs, atol=CLOSE)


def test_vectors_are_the_means_of_each_text_alone(scorers, read):
    encode = toy_lm().tokenizer.encode
    rows = list(scorers["vector"](records(texts())))
    for text, row in zip(texts(), rows, strict=True):
        if text:
            np.testing.assert_allclose(row["vector"], read(encode(text))[0].mean(0), atol=CLOSE)
    # Short texts are many in a row, and each has an answer of its own.
    short = list(scorers["vector"](records(LETTER for LETTER in "ACDEACDE" * 8)))
    assert len({tuple(row["vector"]) for row in short}) == 4 and short[0] == short[4]


def test_rounds_of_different_documents_are_read_in_the_same_batches(scorers):
    scorer = scorers["greedy"]
    before = scorer.work
    # A hundred documents of the same length that each ask three times, two a row at least.
    list(scorer(records("".join(pair) + "ACDEFG" for pair in itertools.product("ACDEFGHIKL", repeat=2))))
    done = scorer.work
    assert done.queries - before.queries == 300
    assert done.batches - before.batches <= 60
    assert done.tokens - before.tokens > 0.75 * (done.positions - before.positions)


@pytest.mark.parametrize("name", TOYS)
def test_shards_and_whoever_goes_on_leave_the_same_files(scorers, name, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    finished = run(whole, config=PARTS, scorer=scorers[name], corpus=toy_source())
    assert finished.summary["documents"] == 40 and finished.summary["errors"] == 1
    shard = scoring.JobConfig(part_documents=5, shard=(2, 2))
    run(out, config=shard, scorer=scorers[name], corpus=toy_source())
    # A process that is stopped in the middle of the other half.
    job = scoring.run_job(scorers[name], toy_source(), str(out), PARTS)
    next(job)
    job.close()
    run(out, config=PARTS, scorer=scorers[name], corpus=toy_source())
    assert contents(out) == contents(whole)


@pytest.mark.long
@pytest.mark.parametrize("name", TOYS)
def test_a_job_of_it_is_killed_and_gone_on_with(name, tmp_path):
    command = [sys.executable, "-m", "tests.scoring.toy_measures", name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*command, str(tmp_path / "whole")], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    with subprocess.Popen(
        [*command, str(tmp_path / "out")], stdout=subprocess.PIPE, env=environment, cwd=ROOT
    ) as child:
        for _ in range(14):
            assert child.stdout.read(len(LINE)) == LINE
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert "manifest.json" not in contents(tmp_path / "out")
    subprocess.run(
        [*command, str(tmp_path / "out")], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


class Once(Greedy):
    asks_again = False


def test_who_asks_again_has_to_say_so(scorers):
    scorer = toy_scorer("greedy")
    scorer.engine, scorer.measure = scorers["greedy"].engine, Once()
    with pytest.raises(TypeError, match="asks_again = True"):
        list(scorer(records(["ACDE"])))


PIECE = scoring.Query(np.zeros(2, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32))


class Rounds:
    """Documents of so many rounds each, answered by their numbers; it keeps what every generation holds."""

    def __init__(self, rounds, size):
        self.rounds, self.generations, self.drawn = rounds, [], 0
        self.rows = rows_in_rounds(self._records(), self._start, self._advance, self._answer, size)

    def _records(self):
        for number, _ in enumerate(self.rounds):
            self.drawn += 1
            yield data.Record(str(number), "", {})

    def _start(self, record):
        number = int(record.id)
        if self.rounds[number] < 0:
            return {"error": "none"}
        return self._ask(number, 0)

    def _ask(self, number, done):
        queries = [PIECE._replace(tokens=np.array([number, done], np.int32))]
        return scoring.Round((number, done), queries if done < self.rounds[number] else [])

    def _advance(self, now, answers):
        number, done = now.state
        assert answers == ([(number, done)] if done < self.rounds[number] else [])
        return self._ask(number, done + 1) if answers else {"number": number, "rounds": done}

    def _answer(self, pieces):
        asked = [tuple(piece.tokens.tolist()) for piece in pieces]
        self.generations.append(asked)
        yield from asked


@pytest.mark.parametrize(
    "size", [GenerationSize(3, 1, 100), GenerationSize(1, 1, 2), GenerationSize(4, 50, 7)]
)
@pytest.mark.parametrize("seed", range(4))
def test_each_document_is_answered_to_its_end_and_rows_keep_their_order(size, seed):
    rng = np.random.default_rng(seed)
    rounds = rng.integers(-1, 6, 40).tolist() if seed else [-1] * 40
    first, second = Rounds(rounds, size), Rounds(rounds, size)
    expected = [
        {"error": "none"} if each < 0 else {"number": number, "rounds": each}
        for number, each in enumerate(rounds)
    ]
    assert list(first.rows) == list(second.rows) == expected
    assert first.generations == second.generations


def test_a_document_of_many_rounds_holds_nobody_up_and_memory_does_not_grow():
    size = GenerationSize(queries=4, tokens=1, documents=32)
    asked = Rounds([200] + [1] * 10_000, size)
    row = next(asked.rows)
    assert row == {"number": 0, "rounds": 200}
    # Others were answered beside it, as many as may wait for it.
    assert asked.drawn == 32
    assert all(any(number == 0 for number, _ in one) or len(one) == 4 for one in asked.generations[:3])
    assert sum(1 for _ in asked.rows) == 10_000
    assert max(map(len, asked.generations)) == 4
