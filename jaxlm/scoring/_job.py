"""Scoring a corpus into Parquet parts, each there whole or not at all, so that a job can be gone on with."""

import dataclasses
import hashlib
import io
import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from jaxlm import data
from jaxlm.scoring._manifest import MANIFEST, SUMMARY, Job, as_json, begin_job, check_store, describe_job
from jaxlm.scoring._measure import ScoreError
from jaxlm.scoring._parts import FOOTER, Base, Part, encode_part, part_name, plan_parts, read_footer
from jaxlm.scoring._sources import OnError, Source
from jaxlm.scoring._store import Store, open_store
from jaxlm.scoring._summary import summarize

SECONDS_BETWEEN = 0.5


@runtime_checkable
class RowScorer(Protocol):
    """What a job asks of a scorer (see `Scorer`)."""

    schema: pa.Schema
    description: dict[str, Any]

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobConfig:
    """How a corpus is cut, and which piece of the work is done here.

    Attributes:
      part_documents: the most documents of a part.
      part_characters: the characters of text that are enough for a part: what a kill loses at most.
      shard: (i, n): every n-th part from the i-th on is scored here, 1 <= i <= n.
      on_error: whether a document that cannot be read or scored becomes a row that says why ("row"), or ends
        the job ("stop").
      base: of logarithms in the files, "e" or "2".

    Raises:
      ValueError: if an option is out of range.

    Example:
      >>> JobConfig(shard=(3, 2))
      Traceback (most recent call last):
      ValueError: shard: expected i/n with 1 <= i <= n, got 3/2
    """

    part_documents: int = 1 << 16
    part_characters: int = 1 << 23
    shard: tuple[int, int] = (1, 1)
    on_error: OnError = "row"
    base: Base = "e"

    def __post_init__(self) -> None:
        for name in ("part_documents", "part_characters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number from 1, got {getattr(self, name)}")
        i, n = self.shard
        if not 1 <= i <= n:
            raise ValueError(f"shard: expected i/n with 1 <= i <= n, got {i}/{n}")


class JobProgress(NamedTuple):
    """How far a job is.

    Attributes:
      documents: scored here, by this process.
      errors: of those, without a score.
      tokens: of those, as their rows count them.
      parts: written here.
      position: index in the corpus of the next document.
      estimate: about how many documents the corpus has; None: unknown.
      seconds: since the first document was looked at.
      seconds_left: an estimate; None: unknown.
      padding_share: of the positions computed so far; None: unknown.
    """

    documents: int
    errors: int
    tokens: int
    parts: int
    position: int
    estimate: int | None
    seconds: float
    seconds_left: float | None
    padding_share: float | None


class JobFinished(NamedTuple):
    """The end of this process's share.

    Attributes:
      progress: the last one.
      skipped: parts that were there already.
      summary: of the whole corpus (see `summarize`), once no part is missing; None: other shards are at work.
    """

    progress: JobProgress
    skipped: int
    summary: dict[str, Any] | None


def run_job(
    scorer: RowScorer, source: Source, out: str, config: JobConfig | None = None
) -> Iterator[JobProgress | JobFinished]:
    """Scores a corpus into a folder or an object store and yields how far it is; the last is `JobFinished`.

    `out` gets `job.json`, which says all that the numbers depend on, `parts/part-000000.parquet` and so on
    (one row a document, in order; `index`, `id`, the scorer's columns, `error`), and at the end
    `manifest.json`, the list of parts with their checksums, and `summary.json`. What a part holds is a
    function of the corpus, the scorer and the options, and each is scored by itself: the files of a job that
    was killed and run again, by however many processes, are those of one that was not.

    Args:
      scorer: from documents to rows.
      source: the corpus.
      out: a folder, or a URL (see `open_store`).
      config: how the corpus is cut, and which share of it is scored here.

    Yields:
      `JobProgress` now and then, and `JobFinished`.

    Raises:
      ValueError: if there is no document, or `out` holds another job or is another process's.
      CorpusError: if the corpus cannot be read and `on_error` is "stop".
      ScoreError: if a document cannot be scored and `on_error` is "stop".
      OSError: if a file cannot be written; the parts before it stay.

    Example:
      >>> import tempfile
      >>> class Lengths:
      ...     schema = pa.schema([("num_tokens", pa.int64())])
      ...     description = {"measure": "length"}
      ...     def __call__(self, records):
      ...         return ({"num_tokens": len(record.text)} for record in records)
      >>> source = Source(lambda: [data.Record("a", "three", {})], {"corpus": "one word"})
      >>> *_, finished = run_job(Lengths(), source, tempfile.mkdtemp())
      >>> finished.summary["columns"]["num_tokens"]["sum"]
      5.0
    """
    config = JobConfig() if config is None else config
    store, job = open_store(out), make_job(scorer, source, config)
    check_store(store, job)
    documents = first_read(source)
    i, n = config.shard
    with store.one_process(f"shard-{i}-of-{n}"):
        begin_job(store, job)
        run = _Run(scorer, source, store, job, config)
        yield from run.parts(documents)
        summary = finish_job(store, job, run.planned)
        yield JobFinished(run.progress(), run.skipped, summary)


def make_job(scorer: RowScorer, source: Source, config: JobConfig) -> Job:
    """Returns the job: a function of corpus, scorer and options, not of the shard.

    Args:
      scorer: from documents to rows.
      source: the corpus.
      config: how it is cut.
    """
    options = {
        "part_documents": config.part_documents,
        "part_characters": config.part_characters,
        "base": config.base,
        "columns": scorer.schema.names,
    }
    return describe_job(source.description, scorer.description, options)


def first_read(source: Source) -> Iterable[data.Record | data.Unread]:
    """Returns the documents, having read the first one.

    Raises:
      ValueError: if there is none.
    """
    documents = iter(source.documents())
    first = next(documents, None)
    if first is None:
        raise ValueError("the corpus is empty: expected documents, got files without one")
    return itertools.chain([first], documents)


def score_part(scorer: RowScorer, part: Part, *, on_error: OnError = "row") -> Iterator[dict[str, Any]]:
    """Yields the rows of a part's documents, in order; documents that could not be read keep their place.

    Args:
      scorer: from documents to rows.
      part: its documents.
      on_error: "stop" raises what a row would say.

    Raises:
      ScoreError: with "stop", if a document cannot be scored.
    """
    records = (document for document in part.documents if isinstance(document, data.Record))
    scored = iter(scorer(records))
    for document in part.documents:
        row = {"error": document.error} if isinstance(document, data.Unread) else next(scored)
        if on_error == "stop" and row.get("error") is not None:
            raise ScoreError(f"{document.id}: {row['error']}; leave it out, or take on_error 'row'")
        yield row
    # To its end, where whatever works for it in the background stops.
    next(scored, None)


def done_parts(store: Store, job: Job, *, shard: tuple[int, int] = (1, 1)) -> set[int]:
    """Returns the numbers of the parts that are there, whole, and this job's.

    Args:
      store: of the job.
      job: which one.
      shard: whose parts are looked at.
    """
    i, n = shard
    numbers = {number for name in store.names() if (number := _number(name)) is not None}
    own = {number for number in numbers if number % n == i - 1}
    return {number for number in own if _footer(store, part_name(number)).get("job") == job.id}


def finish_job(store: Store, job: Job, num_parts: int) -> dict[str, Any] | None:
    """Writes manifest and summary once no part is missing, and returns the summary; None before.

    Args:
      store: of the job.
      job: which one.
      num_parts: of the whole corpus.

    Raises:
      RuntimeError: if parts do not follow each other, which no run leaves behind.
    """
    numbers = {_number(name) for name in store.names()}
    if not numbers.issuperset(range(num_parts)) or len(done_parts(store, job)) != num_parts:
        return None
    listed: list[dict[str, Any]] = []
    summary = summarize(_read_parts(store, num_parts, listed))
    store.put(SUMMARY, as_json(summary))
    store.put(MANIFEST, as_json({"job": job.id, "documents": summary["documents"], "parts": listed}))
    store.clear()
    return summary


def read_parts(out: str) -> Iterator[pa.Table]:
    """Yields the tables of a finished job's parts, in order.

    Args:
      out: of `run_job`.

    Raises:
      ValueError: if the job has not finished.

    Example:
      >>> list(read_parts("./nowhere"))
      Traceback (most recent call last):
      ValueError: ./nowhere holds no finished job: it has no manifest.json
    """
    import json

    store = open_store(out)
    if MANIFEST not in store.names():
        raise ValueError(f"{out} holds no finished job: it has no {MANIFEST}")
    for listed in json.loads(store.read(MANIFEST))["parts"]:
        yield pq.read_table(io.BytesIO(store.read(listed["name"])))


def _read_parts(store: Store, num_parts: int, listed: list[dict[str, Any]]) -> Iterator[pa.Table]:
    following = 0
    for number in range(num_parts):
        name = part_name(number)
        payload = store.read(name)
        table = pq.read_table(io.BytesIO(payload))
        first = table["index"][0].as_py()
        if first != following:
            raise RuntimeError(f"{store.place}/{name} begins with document {first}, expected {following}")
        following += table.num_rows
        listed.append(
            {
                "name": name,
                "first": first,
                "documents": table.num_rows,
                "errors": table.num_rows - table["error"].null_count,
                "bytes": len(payload),
                "sha256": hashlib.sha256(payload).hexdigest(),
            }
        )
        yield table


def _number(name: str) -> int | None:
    digits = name.removeprefix("parts/part-").removesuffix(".parquet")
    return int(digits) if digits.isdigit() and part_name(int(digits)) == name else None


def _footer(store: Store, name: str) -> dict[str, str]:
    kept = read_footer(store.tail(name, FOOTER))
    return (read_footer(store.read(name)) if kept is None else kept) or {}


class _Run:
    """One process's share of a job, and how far it is."""

    def __init__(self, scorer: RowScorer, source: Source, store: Store, job: Job, config: JobConfig) -> None:
        self.planned = self.skipped = 0
        self._scorer, self._store, self._job, self._config = scorer, store, job, config
        self._estimate = source.estimate()
        self._done = done_parts(store, job, shard=config.shard)
        self._documents = self._errors = self._tokens = self._written = self._position = 0
        self._began, self._stopped = time.monotonic(), threading.Event()

    def parts(self, documents: Iterable[data.Record | data.Unread]) -> Iterator[JobProgress]:
        """Scores what is missing here; the next part is read and the last one written meanwhile."""
        reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        written: Future[None] | None = None
        coming = self._planned(documents)
        try:
            following = reader.submit(next, coming, None)
            while (part := following.result()) is not None:
                following = reader.submit(next, coming, None)
                rows = []
                yield from self._scored(part, rows)
                if written is not None:
                    written.result()
                written = writer.submit(self._write, part, rows)
            if written is not None:
                written.result()
        finally:
            self._stopped.set()
            writer.shutdown()
            reader.shutdown(cancel_futures=True)

    def progress(self) -> JobProgress:
        """Returns how far it is."""
        seconds = time.monotonic() - self._began
        left = None
        if self._estimate is not None and self._documents:
            missing = max(self._estimate - self._position, 0) / self._config.shard[1]
            left = missing * seconds / self._documents
        work = getattr(self._scorer, "work", None)
        padding = None if work is None else work.padding_share
        counts = (self._documents, self._errors, self._tokens, self._written, self._position)
        return JobProgress(*counts, self._estimate, seconds, left, padding)

    def _planned(self, documents: Iterable[data.Record | data.Unread]) -> Iterator[Part]:
        i, n = self._config.shard

        def wanted(number: int) -> bool:
            return number % n == i - 1 and number not in self._done

        cut = {name: getattr(self._config, name) for name in ("part_documents", "part_characters")}
        for part in plan_parts(self._unless_stopped(documents), wanted=wanted, **cut):
            self.planned += 1
            if wanted(part.number):
                yield part
            else:
                self.skipped += part.number % n == i - 1

    def _unless_stopped(
        self, documents: Iterable[data.Record | data.Unread]
    ) -> Iterator[data.Record | data.Unread]:
        for document in documents:
            if self._stopped.is_set():
                return
            yield document

    def _scored(self, part: Part, rows: list[dict[str, Any]]) -> Iterator[JobProgress]:
        said = time.monotonic()
        for row in score_part(self._scorer, part, on_error=self._config.on_error):
            rows.append(row)
            self._documents += 1
            self._errors += row.get("error") is not None
            self._tokens += row.get("num_tokens") or 0
            self._position = part.first + len(rows)
            if time.monotonic() - said >= SECONDS_BETWEEN:
                said = time.monotonic()
                yield self.progress()
        yield self.progress()

    def _write(self, part: Part, rows: list[dict[str, Any]]) -> None:
        payload = encode_part(self._scorer.schema, part, rows, job=self._job.id, base=self._config.base)
        self._store.put(part_name(part.number), payload)
        self._written += 1
