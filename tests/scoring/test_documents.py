"""Documents by the block: the rows are those of the documents one by one, whatever the blocks are."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from jaxlm import data, scoring
from jaxlm.scoring import _documents
from jaxlm.scoring.engine import _queries
from tests.scoring.toy_measures import LETTERS, toy_lm

CONFIG = scoring.EngineConfig(row_length=32, rows=8, buffer=8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetForward(scoring.LogProbForward):
    """The negated id of each target, so that scores are exact whatever a batch holds."""

    def program(self, model, setting):
        return lambda params, rows: scoring.QueryScores(-rows.targets.astype(jnp.float32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByBlock(scoring.LogLikelihood):
    """Log-likelihoods that are as exact as their forward."""

    def forward(self, context):
        return TargetForward()


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneByOne(ByBlock):
    """The same, of which no document is asked or answered together with others."""

    reads_blocks: ClassVar[bool] = False

    def start_block(self, context, records):
        return records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repeated(scoring.Measure):
    """As many queries as the text has letters; the row says how many answers it got, and which."""

    name: ClassVar[str] = "repeated"
    questions: ClassVar[tuple[str, ...]] = ("next_token",)

    def forward(self, context):
        return TargetForward()

    def columns(self, context):
        return [pa.field("targets", pa.list_(pa.int32()))]

    def start(self, context, record):
        tokens, place = context.encode(record.text).astype(np.int32), np.zeros(1, np.int32)
        queries = [scoring.Query(tokens, place, np.full(1, n, np.int32)) for n in range(len(tokens))]
        return scoring.Round(None, queries)

    def advance(self, state, answers):
        return {"targets": [int(-answer.log_probs[0]) for answer in answers]}


def documents(longest=60):
    """Texts of residues, some of them empty or longer than a window, and a text that is no protein."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(LETTERS), rng.integers(0, longest))) for _ in range(200)]
    return [data.Record(str(n), text, {}) for n, text in enumerate([*texts[:90], "no protein", *texts[90:]])]


@pytest.mark.parametrize("options", [{}, {"eos": True}, {"bos": "none"}, {"window": 16}, {"long": "error"}])
def test_rows_of_blocks_are_the_rows_of_documents(options, monkeypatch):
    monkeypatch.setattr(_documents, "DOCUMENTS_AT_ONCE", 16)
    monkeypatch.setattr(_queries, "BLOCK_QUERIES", 7)
    options = {"bos": "document"} | options
    rows, expected = (
        list(scoring.make_scorer(toy_lm(), measure(**options), CONFIG)(documents()))
        for measure in (ByBlock, OneByOne)
    )
    assert rows == expected
    assert len(rows) == 201 and "error" in rows[90] and any("error" not in row for row in rows)


def test_answers_of_a_document_in_several_blocks_come_together(monkeypatch):
    monkeypatch.setattr(_queries, "BLOCK_QUERIES", 3)
    records = documents(longest=9)
    rows = list(scoring.make_scorer(toy_lm(), Repeated(), CONFIG)(records))
    assert "error" in rows.pop(90) and records.pop(90)
    assert [row["targets"] for row in rows] == [list(range(len(record.text))) for record in records]


def test_a_measure_without_blocks_says_so():
    with pytest.raises(NotImplementedError, match="each document by itself"):
        Repeated().advance_block([], None, [0])
