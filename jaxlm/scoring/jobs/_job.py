"""Scoring a corpus into Parquet parts, each there whole or not at all, so that a job can be gone on with."""

import functools
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any

from jaxlm import data
from jaxlm.io import Store, open_store
from jaxlm.scoring.jobs._finish import JobOutcome, done_parts, finish_job
from jaxlm.scoring.jobs._job_config import JobConfig, JobFinished, JobProgress, RowScorer
from jaxlm.scoring.jobs._kept_columns import with_kept_columns
from jaxlm.scoring.jobs._manifest import Job, begin_job, check_store, describe_job
from jaxlm.scoring.jobs._part_files import part_name
from jaxlm.scoring.jobs._parts import Part, encode_part, plan_parts
from jaxlm.scoring.jobs._plan import SECONDS_BETWEEN_PLANS, read_plan, write_plan
from jaxlm.scoring.jobs._sources import OnError, OpenRecords, Source, read_first_document
from jaxlm.scoring.measures import ScoreError

SECONDS_BETWEEN = 0.5
# Parts of this process's jobs that are computed and not written yet.
_on_their_way: set[Future[None]] = set()


def run_job(
    scorer: RowScorer, source: Source, out: str, config: JobConfig | None = None
) -> Iterator[JobProgress | JobFinished]:
    """Scores a corpus into a folder or an object store and yields how far it is; the last is `JobFinished`.

    `out` gets `job.json`, which says all that the numbers depend on, `parts/part-000000.parquet` and so on
    (one row a document, in order; `index`, `id`, the scorer's columns, `error`), `plan.json`, where the files
    of the corpus stand in the parts, and at the end `manifest.json`, the list of parts with their checksums,
    and `summary.json`. All but the summary carry a SHA-256, which is compared wherever they are read: parts
    that are damaged are scored again. What a part holds is a function of the corpus, the scorer and the
    options, and each is scored by itself: the files of a job that was killed and run again, by however many
    processes, are those of one that was not.

    Args:
      scorer: from documents to rows.
      source: the corpus.
      out: a folder, or a URL (see `io.open_store`).
      config: how the corpus is cut, and which share of it is scored here.

    Yields:
      `JobProgress` now and then, and `JobFinished`.

    Raises:
      ValueError: if there is no document, or `out` holds another job or is another process's.
      CorpusError: if the corpus cannot be read and `on_error` is "stop", or has changed meanwhile.
      ScoreError: if a document cannot be scored and `on_error` is "stop".
      OSError: if a file cannot be written; the parts before it stay.
      WorkError: if `out` is removed meanwhile, or a part that is written is gone or damaged at the end.

    Example:
      >>> import tempfile
      >>> import pyarrow as pa
      >>> class Lengths:
      ...     schema = pa.schema([("num_tokens", pa.int64())])
      ...     description, work = {"measure": "length"}, None
      ...     def __call__(self, records):
      ...         return ({"num_tokens": len(record.text)} for record in records)
      >>> source = Source(lambda: [data.Record("a", "three", {})], {"corpus": "one word"})
      >>> *_, finished = run_job(Lengths(), source, tempfile.mkdtemp())
      >>> finished.summary["columns"]["num_tokens"]["sum"]
      5.0
    """
    config = JobConfig() if config is None else config
    scorer = with_kept_columns(scorer, source.kept)
    store, job = open_store(out), make_job(scorer, source, config)
    # A job that has begun is one with documents.
    pieces = source.pieces() if check_store(store, job) else read_first_document(source)
    i, n = config.shard
    with store.one_process(f"shard-{i}-of-{n}"):
        begin_job(store, job)
        store.clear()
        run = _ShardRun(scorer, source, store, job, config)
        yield from run.parts(pieces)
        source.check()
        yield JobFinished(run.progress(), run.skipped, *run.finish(source))


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
        row = {"error": document.error} if isinstance(document, data.UnreadableRecord) else next(scored)
        if on_error == "stop" and row.get("error") is not None:
            where = (
                document.id if isinstance(document, data.UnreadableRecord) else data.record_location(document)
            )
            raise ScoreError(f"{where}: {row['error']}; leave it out, or take on_error 'row'")
        yield row
    # To its end, where whatever works for it in the background stops.
    next(scored, None)


def finish_writing() -> None:
    """Waits until the parts that this process's jobs have computed are written, or have failed to be."""
    wait(list(_on_their_way))


class _ShardRun:
    """One process's share of a job, and how far it is."""

    def __init__(self, scorer: RowScorer, source: Source, store: Store, job: Job, config: JobConfig) -> None:
        self.planned = self.skipped = self._total = 0
        self._scorer, self._store, self._job, self._config = scorer, store, job, config
        self._check = source.check_of_pieces()
        self._estimate: int | None = None
        # It looks at every file, and nobody need wait for it.
        threading.Thread(target=self._look, args=(source,), daemon=True).start()
        self._done = done_parts(store, job, shard=config.shard)
        self._plan = read_plan(store, job)
        self._kept, self._kept_at = len(self._plan.stands), time.monotonic()
        self._documents = self._errors = self._tokens = self._written = self._position = 0
        self._began, self._stopped = time.monotonic(), threading.Event()

    def parts(self, pieces: Sequence[OpenRecords]) -> Iterator[JobProgress]:
        """Scores what is missing here; the next part is read and the last one written meanwhile."""
        reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        written: Future[None] | None = None
        coming = self._planned(pieces)
        try:
            begun = self._begin(coming)
            while begun is not None:
                part, scored = begun
                rows = [next(scored)]
                # The devices are given the next part's first batches before this one's last: they do not wait
                # between parts. Not before this one's first row, for which they compiled.
                following = reader.submit(self._begin, coming)
                yield from self._scored(part, scored, rows)
                if written is not None:
                    written.result()
                written = writer.submit(self._write, part, rows)
                _on_their_way.add(written)
                written.add_done_callback(_on_their_way.discard)
                begun = following.result()
            if written is not None:
                written.result()
            self._keep()
            self._estimate = self._total
        finally:
            self._stopped.set()
            writer.shutdown()
            reader.shutdown(cancel_futures=True)

    def finish(self, source: Source) -> JobOutcome:
        """Finishes the job, if this share was the last."""
        counts = {"num_parts": self.planned, "num_documents": self._total}
        return finish_job(self._store, self._job, source, **counts, shard=self._config.shard)

    def progress(self) -> JobProgress:
        """Returns how far it is."""
        seconds = time.monotonic() - self._began
        left = None
        if self._estimate is not None and self._documents:
            missing = max(self._estimate - self._position, 0) / self._config.shard[1]
            left = missing * seconds / self._documents
        work = self._scorer.work
        padding = None if work is None else work.padding_share
        counts = (self._documents, self._errors, self._tokens, self._written, self._position)
        return JobProgress(*counts, self._estimate, seconds, left, padding)

    def _look(self, source: Source) -> None:
        found = source.estimate()
        self._estimate = found if self._estimate is None else self._estimate

    def _planned(self, pieces: Sequence[OpenRecords]) -> Iterator[Part]:
        i, n = self._config.shard

        def wanted(number: int) -> bool:
            return number % n == i - 1 and number not in self._done

        cut = {name: getattr(self._config, name) for name in ("part_documents", "part_characters")}
        pieces = [functools.partial(self._unless_stopped, piece) for piece in pieces]
        for part in plan_parts(pieces, wanted=wanted, plan=self._plan, check=self._check, **cut):
            self.planned, self._total = self.planned + 1, part.first + part.size
            if wanted(part.number):
                yield part
            else:
                self.skipped += part.number % n == i - 1

    def _unless_stopped(self, piece: OpenRecords) -> Iterator[data.Record | data.UnreadableRecord]:
        for document in piece():
            if self._stopped.is_set():
                raise CancelledError
            yield document

    def _begin(self, coming: Iterator[Part]) -> tuple[Part, Iterator[dict[str, Any]]] | None:
        """The next part and its rows, the first of which is there."""
        part = next(coming, None)
        if part is None:
            return None
        scored = score_part(self._scorer, part, on_error=self._config.on_error)
        first = next(scored)
        return part, itertools.chain([first], scored)

    def _scored(
        self, part: Part, scored: Iterator[dict[str, Any]], rows: list[dict[str, Any]]
    ) -> Iterator[JobProgress]:
        """Moves the rest of a part's rows to `rows`, which holds the first."""
        self._count(part, rows)
        said = time.monotonic()
        for row in scored:
            rows.append(row)
            self._count(part, rows)
            if time.monotonic() - said >= SECONDS_BETWEEN:
                said = time.monotonic()
                yield self.progress()
        yield self.progress()

    def _count(self, part: Part, rows: list[dict[str, Any]]) -> None:
        self._documents += 1
        self._errors += rows[-1].get("error") is not None
        self._tokens += rows[-1].get("num_tokens") or 0
        self._position = part.first + len(rows)

    def _write(self, part: Part, rows: list[dict[str, Any]]) -> None:
        payload = encode_part(self._scorer.schema, part, rows, job=self._job.id, base=self._config.base)
        self._store.put(part_name(part.number), payload)
        self._written += 1
        if time.monotonic() - self._kept_at >= SECONDS_BETWEEN_PLANS:
            self._keep()

    def _keep(self) -> None:
        """Leaves to others what is known of the plan."""
        if len(self._plan.stands) > self._kept:
            self._kept = write_plan(self._store, self._job, self._plan)
        self._kept_at = time.monotonic()
