"""What `embed` and `predict` share: texts that are answered at once, and corpora that a job writes about."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import data, scoring
from jaxlm.cli._arguments import asks_for_help, known_options, read_arguments
from jaxlm.cli._cluster import cluster_shard
from jaxlm.cli._failures import UsageError
from jaxlm.cli._inputs import input_lines
from jaxlm.cli._job_events import shard_of, shown_job
from jaxlm.cli._models import DType, model_folder, open_model
from jaxlm.cli._score import scorer_from_options
from jaxlm.cli._signals import register_cleanup
from jaxlm.devices import enable_compilation_cache
from jaxlm.errors import JaxlmError

# Options that say how files are read, and those that say how a job writes and is shared.
OF_FILES = ("format", "document", "field", "max_document")
OF_JOBS = (
    *("keep", "on_error", "shard", "distributed", "engine", "actors"),
    *("part_documents", "part_characters"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextInputs:
    """The model and what it reads.

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: texts, or, if files of all these names are there, a corpus: files, folders or globs, here or at
        URLs; - reads a text a line from stdin
      out: for a corpus, a folder for this job alone, or a URL: s3://, gs://, or what fsspec opens
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT|CORPUS")] = ()
    out: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextJobOptions(TextInputs):
    """How a corpus is read, shared among processes, computed and written.

    Attributes:
      json: print one JSON object for each text, or one for a corpus
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
      format: how to read every file; None takes it from each ending
      document: of a text file, whether a line or the whole file is one document
      field: the JSONL field or the column (CSV, Parquet) with the text; None: text
      keep: columns of JSONL, CSV or Parquet to write beside the results, with their types
      on_error: row writes a row that says why for a document that cannot be read; stop ends the job there
      max_document: the most bytes of a document, decompressed (of JSONL and CSV, of a line)
      shard: i/n computes every n-th part from the i-th on
      distributed: make each process that jax.distributed finds a shard
      engine: compute here, or on the actors of a Ray cluster
      actors: how many actors; None: one for each GPU of the cluster, or one
      part_documents: the most documents of a part
      part_characters: a part ends with the document that brings it to this many characters; None: 4,194,304
      row_length: tokens of a row, and the most that are read at once
      rows: of a batch, over all devices
      buffer: texts that are packed into rows together; None: 1,024
    """

    json: FlagCreatePairsOff[bool] = False
    dtype: DType | None = None
    format: data.Format | None = None
    document: Literal["line", "file"] = "line"
    field: str | None = None
    keep: tuple[str, ...] = ()
    on_error: Literal["row", "stop"] = "row"
    max_document: int = data.MAX_DOCUMENT
    shard: str = "1/1"
    distributed: FlagCreatePairsOff[bool] = False
    engine: Literal["local", "ray"] = "local"
    actors: int | None = None
    part_documents: int = 1 << 16
    part_characters: int | None = None
    row_length: int | None = None
    rows: int | None = None
    buffer: int | None = None


class DoneJob(NamedTuple):
    """A job's end, as this process sees it.

    Attributes:
      finished: the last event.
      shard: (i, n) of this process.
    """

    finished: scoring.JobFinished
    shard: tuple[int, int]


def begin_early(kind: type[TextJobOptions], arguments: Sequence[str], program: str) -> tuple[int, int] | None:
    """Does what comes before the model is looked at, which starts JAX; returns the shard of `--distributed`.

    The cluster says which devices there are, and Ray forks, which JAX's threads may not survive.

    Args:
      kind: of the command's options.
      arguments: what follows the command.
      program: the command, for messages.
    """
    if asks_for_help(arguments):
        return None
    given = read_arguments(arguments, known_options(kind), program=program)
    joined = cluster_shard() if given.flag("--distributed") else None
    if given.value("--engine") == "ray":
        scoring.start_ray()
    return joined


def names_corpus(options: TextInputs) -> bool:
    """Returns whether the arguments are a corpus rather than texts: with `--out`, or if files are there.

    Args:
      options: of the command.
    """
    return options.out is not None or (bool(options.text) and all(map(_is_there, options.text)))


def run_text_job(
    options: TextJobOptions, measure: scoring.Measure, joined: tuple[int, int] | None
) -> DoneJob:
    """Writes a row for each document of a corpus, and shows the progress.

    Args:
      options: of the command, with `out`.
      measure: what is asked.
      joined: the shard of `--distributed`; None: that of `--shard`.

    Raises:
      UsageError: if the request cannot be met.
    """
    if options.out is None:
        raise UsageError("a corpus is answered in files: add --out DIR")
    _refuse_contradictions(options, joined)
    shard = joined or shard_of(options.shard)
    enable_compilation_cache()
    source = source_of(options, measure)
    config = scoring.JobConfig(
        part_documents=options.part_documents,
        part_characters=options.part_characters,
        shard=shard,
        on_error=options.on_error,
    )
    members = (str(model_folder(options.model)),)
    make = functools.partial(scorer_from_options, members, options.dtype, measure, engine_of(options))
    # Parts that are computed when a signal comes are written before the process ends.
    register_cleanup(scoring.finish_writing)
    if options.engine == "ray":
        events = scoring.run_ray_job(make, source, options.out, config, actors=options.actors)
    else:
        events = scoring.run_job(make(), source, options.out, config)
    return DoneJob(shown_job(events), shard)


def source_of(options: TextJobOptions, measure: scoring.Measure) -> scoring.Source:
    """Returns the corpus that the options name.

    Args:
      options: of the command.
      measure: what is asked of the corpus.
    """
    return scoring.file_source(
        options.text,
        options.format,
        document=options.document,
        field="text" if options.field is None else options.field,
        fields=measure.fields,
        keep=options.keep,
        on_error=options.on_error,
        max_document=options.max_document,
    )


def answer_texts(
    options: TextJobOptions, measure: scoring.Measure, usage: str
) -> Iterator[tuple[str, scoring.Score, pa.Schema]]:
    """Yields each text of the command line, or of stdin, with its row of values and the rows' columns.

    Args:
      options: of the command.
      measure: what is asked.
      usage: an example of the command, for a message.

    Raises:
      UsageError: if there is no text, or an option is for a corpus.
    """
    refuse_given(options, (*OF_FILES, *OF_JOBS), "a corpus: name its files and --out DIR")
    texts = input_lines(options.text, usage)
    enable_compilation_cache()
    needs_head = "vectors" not in measure.questions
    loaded = open_model(options.model, dtype=options.dtype, needs_head=needs_head)
    scorer = scoring.make_scorer(loaded, measure, engine_of(options))
    records = (data.Record(str(number), text, {}) for number, text in enumerate(texts))
    for number, row in enumerate(scorer(records)):
        yield texts[number], scoring.Score(str(number), row, row.pop("error", None)), scorer.schema


def refuse_given(options: TextJobOptions, names: Sequence[str], purpose: str) -> None:
    """Raises `UsageError` for an option that would change nothing.

    Args:
      options: of the command.
      names: of the options' fields.
      purpose: what the options are for, and the remedy.

    Raises:
      UsageError: names the first of them that has another value than by default.
    """
    usual = {field.name: field.default for field in dataclasses.fields(options)}
    given = next((name for name in names if getattr(options, name) != usual[name]), None)
    if given is not None:
        raise UsageError(f"--{given.replace('_', '-')} is for {purpose}")


def plain_values(score: scoring.Score) -> dict[str, Any]:
    """Returns the values of a row as JSON values; of a text without one, the error.

    Args:
      score: of a text.

    Example:
      >>> import numpy as np
      >>> from jaxlm import scoring
      >>> from jaxlm.cli._text_jobs import plain_values
      >>> plain_values(scoring.Score("0", {"num_tokens": 1, "vector": np.ones(2)}, None))
      {'num_tokens': 1, 'vector': [1.0, 1.0]}
    """
    if score.error is not None:
        return {"error": score.error}
    values = score.values.items()
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values}


def engine_of(options: TextJobOptions) -> scoring.EngineConfig:
    """Returns how texts are packed into batches.

    Args:
      options: of the command.
    """
    return scoring.EngineConfig(row_length=options.row_length, rows=options.rows, buffer=options.buffer)


def _is_there(name: str) -> bool:
    """Whether a name is that of files: an existing path, a URL, or a glob that something matches."""
    try:
        return bool(data.find_files([name], "text"))
    except (JaxlmError, OSError):
        return False


def _refuse_contradictions(options: TextJobOptions, joined: tuple[int, int] | None) -> None:
    if not options.text:
        raise UsageError("CORPUS is missing: name files, folders or globs")
    if joined is not None and options.shard != "1/1":
        raise UsageError("--distributed makes a shard of each process: leave --shard out")
    if options.engine != "ray" and options.actors is not None:
        raise UsageError("--actors is for a Ray cluster: add --engine ray, or leave it out")
    if options.actors is not None and options.actors < 1:
        raise UsageError(f"--actors is at least 1: got {options.actors}")
    if not 1 <= options.max_document < 2**31:
        raise UsageError(f"--max-document is from 1 and below 2**31: got {options.max_document}")
