"""The host's part of scoring alone: causal log-likelihoods, with a device step that costs nothing.

    python experiments/benchmarks/scoring_host.py
    python experiments/benchmarks/scoring_host.py --texts 400 --rounds 1        # a smoke test
    python experiments/benchmarks/scoring_host.py --profile tokens              # where the time goes

The forward returns the negated ids of the targets and runs no model: what is left is the host's work between
texts and rows. The texts are functions and classes of this Python's library, about 230 tokens each, in
batches of 64 rows of 1,024 tokens, as a GPU reads them. Three rates in tokens a second, each the best of some
rounds, in wall time and in CPU time (which changes less with other load on the machine), and the ratio of
"texts" to "tokenizer", the median of the rounds:

    tokens      the texts are tokenised before: encoding is a lookup in a dict
    texts       the tokenizer's threads encode the texts, as `jaxlm score` does
    tokenizer   `Tokenizer.encode_batch` of the same blocks of texts, and nothing else

Expected on two cores: "tokens" at least 1.5M a second, "texts" at least 0.8 of "tokenizer". Recorded numbers
are in the README of this folder.
"""

import argparse
import ast
import cProfile
import dataclasses
import json
import pstats
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _machine import describe

from jaxlm import data, models, pretrained, scoring, tokenizers
from jaxlm.scoring.engine import _engine as engine

ROWS, ROW_LENGTH, BLOCK = 64, 1024, 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreeForward(scoring.LogProbForward):
    """Log-probabilities that cost nothing: the negated ids of the targets."""

    def program(self, model, setting):
        del model, setting
        return lambda params, rows: scoring.QueryScores(-rows.targets.astype(jnp.float32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostAlone(scoring.LogLikelihood):
    """Log-likelihoods of whole documents by `FreeForward`."""

    def forward(self, context):
        del context
        return FreeForward()


@dataclasses.dataclass(frozen=True, eq=False)
class KnownTokens:
    """A tokenizer that looks up the ids of known texts."""

    tokenizer: tokenizers.Tokenizer
    known: dict[str, np.ndarray]

    def encode(self, text: str, *, add_specials: bool = False) -> np.ndarray:
        ids = None if add_specials else self.known.get(text)
        return self.tokenizer.encode(text, add_specials=add_specials) if ids is None else ids

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        return [self.known[text] for text in texts]

    def __getattr__(self, name: str):
        return getattr(self.tokenizer, name)


def main() -> None:
    options = arguments()
    texts = corpus(options.texts)
    tokenizer = tokenizers.train_subwords(texts[:4000], vocab_size=8192)
    known = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
    num_tokens = sum(map(len, known.values()))
    machine = describe() | {"texts": len(texts), "tokens": num_tokens}
    print(json.dumps(machine))
    ways = {
        "tokens": rows_of(KnownTokens(tokenizer, known), texts),
        "texts": rows_of(tokenizer, texts),
        "tokenizer": lambda: [ids for block in blocks(texts) for ids in tokenizer.encode_batch(block)],
    }
    if options.profile:
        profile(ways[options.profile])
        return
    rates = measure(ways, options.rounds, num_tokens)
    best = {name: np.max(rounds, axis=0) for name, rounds in rates.items()}
    for name, (wall, cpu) in best.items():
        print(f"{name:10} {wall:12,.0f} tokens a second {cpu:12,.0f} a CPU second")
    ratios = np.median(np.divide(rates["texts"], rates["tokenizer"]), axis=0)
    print(f"texts / tokenizer {ratios[0]:.2f}, by CPU time {ratios[1]:.2f}")
    if options.out:
        result = {"machine": machine, "texts_to_tokenizer": ratios.tolist(), "rates": rates}
        Path(options.out).write_text(json.dumps(result, indent=1))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=16_000, help="at most; this Python's library has fewer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="a JSON file for the rates of every round")
    parser.add_argument("--profile", choices=("tokens", "texts"))
    return parser.parse_args()


def measure(
    ways: dict[str, Callable[[], list]], rounds: int, num_tokens: int
) -> dict[str, list[tuple[float, float]]]:
    """Returns the rates of each way in each round, by wall time and by CPU time; the ways take turns."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            seconds = time.perf_counter() - wall, time.process_time() - cpu
            # The first round compiles.
            if number:
                rates[name].append((num_tokens / seconds[0], num_tokens / seconds[1]))
    return rates


def rows_of(tokenizer, texts: list[str]) -> Callable[[], list]:
    """Returns a function that scores the texts, by one scorer."""
    config = models.TransformerConfig(
        vocab_size=8192, width=8, depth=1, num_heads=1, causal=True, max_length=ROW_LENGTH
    )
    model = models.build(config, "causal_lm")
    params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
    cut = scoring.EngineConfig(row_length=ROW_LENGTH, rows=ROWS)
    scorer = scoring.make_scorer(loaded, HostAlone(bos="document"), cut)
    records = [data.Record(str(number), text, {}) for number, text in enumerate(texts)]
    return lambda: list(scorer(records))


def corpus(num: int) -> list[str]:
    texts = sorted({text for record in data.python_source() for text in definitions(record.text)})
    random.Random(0).shuffle(texts)
    return [text for text in texts if 16 <= len(text) <= 8 * ROW_LENGTH][:num]


def definitions(source: str) -> Iterator[str]:
    """Yields the functions and classes at the top of a module."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    yield from (ast.get_source_segment(source, node) or "" for node in body if isinstance(node, kinds))


def blocks(texts: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(texts), BLOCK):
        yield texts[first : first + BLOCK]


def profile(way: Callable[[], list]) -> None:
    """Prints where the time goes if the packing stage runs in the caller's thread."""
    engine.prefetch = lambda items: (item for item in items)
    way()
    profiler = cProfile.Profile()
    profiler.runcall(way)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
