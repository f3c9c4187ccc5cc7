"""The host's side of scoring, alone: causal log-likelihoods with a device step that costs nothing.

    python experiments/benchmarks/scoring_host.py
    python experiments/benchmarks/scoring_host.py --texts 400 --rounds 1        # a smoke test
    python experiments/benchmarks/scoring_host.py --profile tokens              # where the time goes

The model is a GPT-2 of one layer of width 8, and the forward leaves it out: it answers each query with its
targets, so what remains is what the host does between texts and Parquet rows. The texts are functions and
classes of this Python's library, some 190 tokens each. Three ways:

    tokens      the texts were tokenised before, so that encoding is a look into a dict
    texts       the tokenizer's Rust threads encode them, as in `jaxlm score`
    tokenizer   the same texts through `Tokenizer.encode_batch` in blocks of as many, and nothing else

Rates are tokens a second, the best of a few rounds, in batches of 64 rows of 1,024 as a GPU reads them.
Recorded on 2 cores of an Intel Xeon with AMX: see the README beside this file; "tokens" at least 1.5M a second
and "texts" at least 0.8 of "tokenizer" are what an H200's scoring of GPT-2-124M needs.
"""

import argparse
import ast
import cProfile
import dataclasses
import json
import pstats
import random
import time
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
from _machine import describe

from jaxlm import data, models, pretrained, scoring, tokenizers

ROWS, ROW_LENGTH, BLOCK = 64, 1024, 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreeForward(scoring.LogProbForward):
    """Answers that cost nothing: no model is asked, log-probabilities are the targets' ids, negated."""

    def program(self, model, setting):
        del model, setting
        return lambda params, rows: scoring.QueryScores(-rows.targets.astype(jnp.float32))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostAlone(scoring.LogLikelihood):
    """Log-likelihoods of whole documents by `FreeForward`."""

    def forward(self, context):
        del context
        return FreeForward()


@dataclasses.dataclass(frozen=True)
class KnownTokens:
    """A tokenizer whose texts were encoded before."""

    tokenizer: tokenizers.Tokenizer
    known: dict

    def encode(self, text, *, add_specials=False):
        ids = None if add_specials else self.known.get(text)
        return self.tokenizer.encode(text, add_specials=add_specials) if ids is None else ids

    def encode_batch(self, texts):
        return [self.known[text] for text in texts]

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __hash__(self):
        return hash(self.tokenizer)


def main() -> None:
    options = arguments()
    texts = corpus(options.texts)
    tokenizer = tokenizers.train_subwords(texts[:4000], vocab_size=8192)
    known = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
    num = sum(map(len, known.values()))
    print(json.dumps(describe() | {"texts": len(texts), "tokens": num, "a text": num / len(texts)}))
    ways = {
        "tokens": ours(KnownTokens(tokenizer, known), texts, options),
        "texts": ours(tokenizer, texts, options),
        "tokenizer": lambda: [None for block in blocks(texts) for _ in tokenizer.encode_batch(block)],
    }
    if options.profile:
        profile(ways[options.profile])
        return
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(options.rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            assert len(way()) == len(texts)
            rates[name].append((num / (time.perf_counter() - wall), num / (time.process_time() - cpu)))
    best = {name: max(walls)[0] for name, walls in rates.items()}
    for name, pairs in rates.items():
        print(f"{name:10} {best[name]:12,.0f} tokens/s   {max(cpu for _, cpu in pairs):12,.0f} a CPU second")
    print(f"texts / tokenizer {best['texts'] / best['tokenizer']:.2f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--row", type=int, default=ROW_LENGTH)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--profile", choices=("tokens", "texts"))
    return parser.parse_args()


def ours(tokenizer, texts: list[str], options: argparse.Namespace) -> Callable[[], list]:
    config = models.TransformerConfig(
        vocab_size=8192, width=8, depth=1, num_heads=1, causal=True, max_length=options.row
    )
    model = models.build(config, "causal_lm")
    params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
    work = scoring.EngineConfig(row_length=options.row, rows=options.rows)
    scorer = scoring.make_scorer(loaded, HostAlone(bos="document"), work)
    records = [data.Record(str(number), text, {}) for number, text in enumerate(texts)]
    return lambda: list(scorer(records))


def corpus(num: int) -> list[str]:
    texts = sorted({text for record in data.python_source() for text in definitions(record.text)})
    random.Random(0).shuffle(texts)
    return [text for text in texts if 16 <= len(text) <= 8 * ROW_LENGTH][:num]


def definitions(source: str) -> list[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [ast.get_source_segment(source, node) for node in body if isinstance(node, kinds)]


def blocks(texts: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(texts), BLOCK):
        yield texts[first : first + BLOCK]


def profile(way: Callable[[], Iterable]) -> None:
    """Prints where the time goes when all stages run in one thread."""
    from jaxlm.scoring.engine import _engine as engine
    for name in ("ahead", "prefetch"):
        if hasattr(engine, name):
            setattr(engine, name, lambda items: (item for item in items))
    way()
    profiler = cProfile.Profile()
    profiler.runcall(way)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
