"""`jaxlm predict MODEL TEXT|CORPUS [--out DIR]`: the class of each text, or the value of a regression."""

import dataclasses
import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from jaxlm import data, io, reports, scoring
from jaxlm.cli._failures import FAILED, UsageError, say
from jaxlm.cli._job_events import exit_code_of, job_counts, tell_missing, tell_of_shards
from jaxlm.cli._models import open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.cli._text_jobs import (
    OF_JOBS,
    DoneJob,
    TextInputs,
    TextJobOptions,
    answer_texts,
    begin_early,
    engine_of,
    names_corpus,
    plain_values,
    refuse_given,
    run_text_job,
    source_of,
)
from jaxlm.devices import enable_compilation_cache

PREDICT_PROGRAM = "jaxlm predict"
PREDICT_USAGE = 'jaxlm predict MODEL "a text", or jaxlm predict MODEL CORPUS --out DIR'


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictChoices(TextInputs):
    """What is shown, and how long texts are read.

    Attributes:
      top_k: how many of the likeliest classes to show of a text
      long: read a text that is longer than the model reads in windows, whose predictions are averaged by
        their tokens; cut it; or refuse it
      window: tokens that are read at once; None: the most that the model allows
    """

    top_k: int = 5
    long: Literal["window", "cut", "error"] = "window"
    window: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(TextJobOptions, PredictChoices):
    """Show the class of each text and its probability, or its value in the units of the training's labels.

    Example: jaxlm predict runs/reviews-1 "what a waste of time"

    With --out, DIR/parts/*.parquet get a row for each document of a corpus; a job that was stopped or killed
    goes on with the same command. Without it, each document is a line: its id, class and probability, or its
    id and value, separated by tabs.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    joined = begin_early(Predict, arguments, PREDICT_PROGRAM)
    options = parse(Predict, arguments, program=PREDICT_PROGRAM)
    if options.top_k < 1:
        raise UsageError(f"--top-k is at least 1, got {options.top_k}")
    measure = scoring.Prediction(long=options.long, window=options.window)
    if options.out is not None:
        return _finish(options, run_text_job(options, measure, joined))
    return _show_corpus(options, measure) if names_corpus(options) else _show_texts(options, measure)


def _show_texts(options: Predict, measure: scoring.Measure) -> int:
    num_errors = 0
    names: Sequence[str] = ()
    for text, score, schema in answer_texts(options, measure, PREDICT_USAGE):
        names = names or classes_of(schema)
        if score.error is not None:
            num_errors += 1
            say(PREDICT_PROGRAM, f"{text[:40]!r} has no prediction: {score.error}")
        if options.json:
            print(json.dumps({"text": text, **_as_json(score, names)}, ensure_ascii=False))
        elif score.error is None:
            print(text)
            _show_prediction(score, names, options.top_k)
    return FAILED if num_errors else 0


def _show_prediction(score: scoring.Score, names: Sequence[str], top_k: int) -> None:
    if names:
        show(reports.class_probability_table(names, score.values["probabilities"], top_k))
        return
    values = [score.values["value"]] if "value" in score.values else score.values["values"].tolist()
    print("  " + " ".join(f"{value:,.6g}" for value in values))


def _show_corpus(options: Predict, measure: scoring.Measure) -> int:
    """Prints a line for each document, and returns the exit code."""
    refuse_given(options, OF_JOBS, "a job, which writes files: add --out DIR")
    source = source_of(options, measure)
    enable_compilation_cache()
    scorer = scoring.make_scorer(open_model(options.model, dtype=options.dtype), measure, engine_of(options))
    names, num_rows, num_errors = classes_of(scorer.schema), 0, 0
    for id, row in _rows(scorer, source):
        score = scoring.Score(id, row, row.pop("error", None))
        num_rows, num_errors = num_rows + 1, num_errors + (score.error is not None)
        if options.json:
            print(json.dumps({"id": id, **_as_json(score, names)}, ensure_ascii=False))
        elif score.error is not None:
            say(PREDICT_PROGRAM, f"{id} has no prediction: {score.error}")
        else:
            print("\t".join((id, *_cells(score))))
    return FAILED if num_errors == num_rows else 0


def _rows(scorer: scoring.Scorer, source: scoring.Source) -> Iterator[tuple[str, scoring.ScoreRow]]:
    """The id and the row of each document, as they come; documents that cannot be read have an error."""
    ids: deque[str] = deque()

    def records() -> Iterator[data.Record]:
        for document in source.documents():
            if isinstance(document, data.Record):
                ids.append(document.id)
                yield document
            else:
                say(PREDICT_PROGRAM, f"{document.id} has no prediction: {document.error}")

    for row in scorer(records()):
        yield ids.popleft(), row


def _cells(score: scoring.Score) -> list[str]:
    values = score.values
    if "predicted_class" in values:
        return [values["predicted_class"], f"{values['probability']:.4f}"]
    numbers = [values["value"]] if "value" in values else values["values"].tolist()
    return [f"{number:.6g}" for number in numbers]


def _as_json(score: scoring.Score, names: Sequence[str]) -> dict[str, Any]:
    named = {"classes": list(names)} if names and score.error is None else {}
    return plain_values(score) | named


def classes_of(schema: pa.Schema) -> Sequence[str]:
    """Returns the names of the classes that a schema's probabilities are of; empty for a regression.

    Args:
      schema: of a scorer of predictions, or of the parts that it wrote.
    """
    if "probabilities" not in schema.names:
        return ()
    return json.loads(schema.field("probabilities").metadata[b"classes"])


def _finish(options: Predict, done: DoneJob) -> int:
    """Prints how often each class is predicted, and where the rows are; returns the exit code."""
    out, finished = str(options.out), done.finished
    tell_of_shards(PREDICT_PROGRAM, out, finished, done.shard)
    summary = finished.summary
    if summary is None:
        tell_missing(out, finished, done.shard, as_json=options.json)
        return 0
    code, counts = exit_code_of(PREDICT_PROGRAM, summary), _class_counts(out)
    if options.json:
        found = {"class_counts": counts} if counts else {}
        print(json.dumps({"out": out, "finished": True, **job_counts(finished), **summary, **found}))
        return code
    for error, count in list(summary["error_kinds"].items())[:3]:
        say(PREDICT_PROGRAM, f"warning: {count:,} without a prediction: {error}")
    show(reports.class_count_table(counts) if counts else reports.score_table(summary))
    print(f"predictions: {io.open_store(out).place}/parts (Parquet)")
    return code


def _class_counts(out: str) -> dict[str, int]:
    """How many documents have each class, the most frequent class first."""
    counts: Counter[str] = Counter()
    for table in scoring.read_parts(out):
        if "predicted_class" in table.schema.names:
            counts.update(table["predicted_class"].drop_null().to_pylist())
    return dict(counts.most_common())
