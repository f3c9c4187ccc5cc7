"""Measures of one's own: one that asks again after each answer, and one that returns vectors."""

import dataclasses
import os
import sys
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from jaxlm import data, models, pretrained, scoring, tokenizers

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
# What a child writes after each row; a few of these fill a pipe, so that it is never far ahead of its reader.
LINE = b"." * 16383 + b"\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Greedy(scoring.Measure):
    """What the likeliest id behind a text is, again and again: as many as the text's length modulo 5."""

    name: ClassVar[str] = "greedy"
    questions: ClassVar[tuple[str, ...]] = ("next_token",)
    asks_again: ClassVar[bool] = True

    def forward(self, context):
        return scoring.LogProbForward(top_k=1)

    def columns(self, context):
        return [pa.field("written", pa.list_(pa.int32())), pa.field("log_probs", pa.list_(pa.float32()))]

    def start(self, context, record):
        tokens = context.encode(record.text)
        if len(tokens) == 0:
            raise scoring.ScoreError("no tokens: the text is empty")
        return self._ask(tokens, len(tokens) % 5, [])

    def advance(self, state, answers):
        tokens, left, found = state
        if not left:
            return {"written": tokens[len(tokens) - len(found) :].tolist(), "log_probs": found}
        (answer,) = answers
        found = [*found, float(answer.top_log_probs[0, 0])]
        return self._ask(np.append(tokens, answer.top_tokens[0, 0]), left - 1, found)

    def _ask(self, tokens, left, found):
        place = np.array([len(tokens) - 1], np.int32)
        queries = [scoring.Query(tokens.astype(np.int32), place, np.zeros(1, np.int32))] if left else []
        return scoring.Round((tokens, left, found), queries)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanForward(scoring.Forward):
    """The mean of the last hidden states at the places of a query."""

    each: ClassVar[str] = "query"

    def program(self, model, setting):
        def forward(params, rows):
            hidden = scoring.hidden_states(model, params, rows)[rows.places]
            counts = jnp.maximum(rows.query_counts, 1).astype(jnp.float32)
            return {"mean": scoring.query_sums(hidden, rows) / counts[:, None]}

        return forward


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector(scoring.Measure):
    """The mean hidden state of a text, in one round."""

    name: ClassVar[str] = "vector"
    questions: ClassVar[tuple[str, ...]] = ("next_token",)

    def forward(self, context):
        return MeanForward()

    def columns(self, context):
        return [pa.field("vector", pa.list_(pa.float32()))]

    def start(self, context, record):
        tokens = context.encode(record.text).astype(np.int32)
        if len(tokens) == 0:
            raise scoring.ScoreError("no tokens: the text is empty")
        places = np.arange(len(tokens), dtype=np.int32)
        return scoring.Round(None, [scoring.Query(tokens, places, np.zeros_like(places))])

    def advance(self, state, answers):
        return {"vector": answers[0]["mean"].tolist()}


TOYS = {"greedy": Greedy(), "vector": Vector()}


def texts(number=40):
    """Proteins of up to 20 residues, and one without any."""
    rng = np.random.default_rng(3)
    drawn = ["".join(rng.choice(list(LETTERS), rng.integers(1, 21))) for _ in range(number - 1)]
    return [*drawn[:7], "", *drawn[7:]]


def toy_source(number=40):
    """The texts as a corpus."""
    records = [data.Record(str(place), text, {}) for place, text in enumerate(texts(number))]
    return scoring.Source(lambda: iter(records), {"name": "proteins"}, lambda: len(records))


def toy_lm():
    """A causal model of residues, of NumPy's draws: the same in every process."""
    config = models.TransformerConfig(
        vocab_size=33, width=16, depth=1, num_heads=2, max_length=32, causal=True, position="learned"
    )
    model = models.build(config, "causal_lm")
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    rng = np.random.default_rng(7)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.4, leaf.shape), jnp.float32), shapes)
    return pretrained.Loaded(config, "causal_lm", model, params, tokenizers.residue_tokenizer(), {})


def toy_scorer(name):
    """A scorer on two devices, whose generations are small."""
    devices = tuple(jax.devices()[:2])
    rows = 2 * len(devices)
    config = scoring.EngineConfig(row_length=32, rows=rows, buffer=4, tile=16, devices=devices)
    return scoring.make_scorer(toy_lm(), TOYS[name], config)


class Telling:
    """A scorer that writes a line a row."""

    work = None

    def __init__(self, scorer):
        self._scorer, self.schema, self.description = scorer, scorer.schema, scorer.description

    def __call__(self, records):
        for row in self._scorer(records):
            os.write(1, LINE)
            yield row


if __name__ == "__main__":
    *_, last = scoring.run_job(
        Telling(toy_scorer(sys.argv[1])), toy_source(), sys.argv[2], scoring.JobConfig(part_documents=5)
    )
