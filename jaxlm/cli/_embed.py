"""`jaxlm embed MODEL TEXT|CORPUS [--out DIR]`: a vector for each text, or for each token."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
from tyro.conf import FlagCreatePairsOff

from jaxlm import io, reports, scoring
from jaxlm.cli._failures import FAILED, UsageError, say
from jaxlm.cli._job_events import exit_code_of, job_counts, tell_missing, tell_of_shards
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.cli._text_jobs import (
    DoneJob,
    TextInputs,
    TextJobOptions,
    answer_texts,
    begin_early,
    names_corpus,
    plain_values,
    run_text_job,
)

EMBED_PROGRAM = "jaxlm embed"
EMBED_USAGE = 'jaxlm embed MODEL "a text", or jaxlm embed MODEL CORPUS --out DIR'


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedChoices(TextInputs):
    """What a vector is made of.

    Attributes:
      pool: how the vectors of a text become one; none writes one for each token. first is the first token
        that is read ([CLS] in BERT), last the last one; None: mean, or what a sentence-transformers folder
        says, and so are the next options
      layer: the layer of the vectors, -1 the last one after the final norm, 0 the embeddings
      normalize: divide each vector by its length
      specials: count the tokens around a text, and special tokens in it, in mean, max and none
      prompt: what is put before each text, such as "query: "
      long: read a text that is longer than the model reads in windows, cut it, or refuse it; None: window.
        mean and max are over all windows, first is of the first one, last of the last one
      window: tokens that are read at once; None: the most that the model allows
      npy: write vectors.npy too, an array of one row a document
    """

    pool: Literal["mean", "first", "last", "max", "none"] | None = None
    layer: int = -1
    normalize: FlagCreatePairsOff[bool] = False
    specials: FlagCreatePairsOff[bool] = False
    prompt: str | None = None
    long: Literal["window", "cut", "error"] | None = None
    window: int | None = None
    npy: FlagCreatePairsOff[bool] = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed(TextJobOptions, EmbedChoices):
    """Write a vector for each document of a corpus into DIR/parts/*.parquet, or show those of a few texts.

    Example: jaxlm embed ./minilm "two cats" "some cats"

    Any model with a body will do: bodies, masked and causal models, classifiers, and of an encoder-decoder
    the encoder. A sentence-transformers folder is pooled and normalised as it says. If a job was stopped or
    killed, the same command goes on with it.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    joined = begin_early(Embed, arguments, EMBED_PROGRAM)
    options = parse(Embed, arguments, program=EMBED_PROGRAM)
    measure = scoring.Embedding(
        pool=options.pool,
        layer=options.layer,
        normalize=options.normalize or None,
        specials=options.specials or None,
        prompt=options.prompt,
        long=options.long,
        window=options.window,
    )
    if options.npy and (options.pool == "none" or not names_corpus(options)):
        raise UsageError("--npy writes a vector for each document: name a corpus, --out DIR and a pooling")
    if names_corpus(options):
        return _finish(options, run_text_job(options, measure, joined))
    return _show_texts(options, measure)


def _show_texts(options: Embed, measure: scoring.Measure) -> int:
    """Prints the vectors of texts, and how similar they are; returns the exit code."""
    named: list[tuple[str, np.ndarray]] = []
    num_errors = 0
    for text, score, _ in answer_texts(options, measure, EMBED_USAGE):
        if options.json:
            print(json.dumps({"text": text, **plain_values(score)}, ensure_ascii=False))
        if score.error is not None:
            num_errors += 1
            say(EMBED_PROGRAM, f"{text[:40]!r} has no vector: {score.error}")
        elif not options.json:
            _show_text(text, score)
            named += [(text, score.values["vector"])] if "vector" in score.values else []
    if len(named) > 1:
        show(reports.similarity_table([text for text, _ in named], np.stack([own for _, own in named])))
    return FAILED if num_errors else 0


def _show_text(text: str, score: scoring.Score) -> None:
    print(text)
    if "vector" in score.values:
        print(f"  {reports.vector_line(score.values['vector'])}")
        return
    for token, vector in zip(score.values["token_strings"], score.values["token_vectors"], strict=True):
        print(f"  {reports.printable_token(token)}: {reports.vector_line(vector)}")


def _finish(options: Embed, done: DoneJob) -> int:
    """Writes the array if it is asked for, prints where the vectors are, and returns the exit code."""
    out, finished = str(options.out), done.finished
    tell_of_shards(EMBED_PROGRAM, out, finished, done.shard)
    summary = finished.summary
    if summary is None:
        tell_missing(out, finished, done.shard, as_json=options.json)
        return 0
    code, place = exit_code_of(EMBED_PROGRAM, summary), io.open_store(out).place
    shape = scoring.write_vectors(out) if options.npy else None
    if options.json:
        print(json.dumps({"out": out, "finished": True, **job_counts(finished), **summary}))
        return code
    for error, count in list(summary["error_kinds"].items())[:3]:
        say(EMBED_PROGRAM, f"warning: {count:,} without a vector: {error}")
    num_tokens = int(summary["columns"].get("num_tokens", {}).get("sum", 0))
    documents = summary["documents"] - summary["errors"]
    print(f"{documents:,} documents, {num_tokens:,} tokens")
    print(f"vectors: {place}/parts (Parquet)")
    if shape is not None:
        print(f"array: {place}/vectors.npy, {shape[0]:,} x {shape[1]:,} float32")
    return code
