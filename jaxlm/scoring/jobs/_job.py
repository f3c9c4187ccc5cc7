"""Scoring a corpus into Parquet parts, each of them whole or not there, so that a stopped job goes on."""

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
# Writes of parts that this process has computed and not written yet.
_pending_writes: set[Future[None]] = set()


def run_job(
    scorer: RowScorer, source: Source, out: str, config: JobConfig | None = None
) -> Iterator[JobProgress | JobFinished]:
    """Scores a corpus into a folder or an object store; yields its progress and, last, `JobFinished`.

    These files are written into `out`:

    - `job.json`: everything that the numbers depend on.
    - `parts/part-000000.parquet` and so on: one row for each document, in order. The columns are `index`,
      `id`, the scorer's columns, and `error`, which is null if the document has a score.
    - `plan.json`: where the files of the corpus begin in the parts.
    - at the end `manifest.json`, the list of parts with their checksums, and `summary.json`.

    All files but the summary carry a SHA-256, which is compared whenever a file is read: a damaged part is
    scored again. The content of a part depends on the corpus, the scorer and the options alone. So a job that
    is killed and run again, by any number of processes, leaves the same files as one that was never stopped.

    Args:
      scorer: what makes the rows of documents, such as a `Scorer`.
      source: the corpus, such as `file_source` returns it.
      out: a folder, or a URL (see `io.open_store`).
      config: how the corpus is divided into parts, and which parts this process scores; None: `JobConfig()`,
        by which this process scores all of them.

    Yields:
      `JobProgress` now and then, and at the end one `JobFinished`.

    Raises:
      UsageError: if there is no document, `out` holds another job, or another process is writing the same
        parts to it.
      CorpusError: if the corpus has changed meanwhile, or cannot be read and `on_error` is "stop".
      ScoreError: if a document cannot be scored and `on_error` is "stop".
      OSError: if a file cannot be written; the parts that were written before stay.
      WorkError: if `out` is removed while the job runs, or a part is missing or damaged at the end.

    Example:
      >>> import tempfile
      >>> import pyarrow as pa
      >>> from jaxlm import data
      >>> from jaxlm.scoring import Source, run_job
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
    config = (JobConfig() if config is None else config).resolved(scorer)
    scorer = with_kept_columns(scorer, source.kept)
    store, job = open_store(out), make_job(scorer, source, config)
    # The corpus of a job that has begun is known to have documents.
    readers = source.readers() if check_store(store, job) else read_first_document(source)
    i, n = config.shard
    with store.one_process(f"shard-{i}-of-{n}"):
        begin_job(store, job)
        store.clear()
        run = _ShardRun(scorer, source, store, job, config)
        yield from run.parts(readers)
        source.check()
        outcome = run.finish(source)
        yield JobFinished(run.progress(), run.skipped, *outcome, num_parts=run.num_parts)


def make_job(scorer: RowScorer, source: Source, config: JobConfig) -> Job:
    """Returns the job: a function of corpus, scorer and options, not of the shard.

    Args:
      scorer: from documents to rows.
      source: the corpus.
      config: how the corpus is cut.
    """
    options = {
        "part_documents": config.part_documents,
        "part_characters": config.characters,
        "base": config.base,
        "columns": scorer.schema.names,
    }
    return describe_job(source.description, scorer.description, options)


def score_part(scorer: RowScorer, part: Part, *, on_error: OnError = "row") -> Iterator[dict[str, Any]]:
    """Yields a row for each of a part's documents, in order, those that could not be read included.

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
            is_record = isinstance(document, data.Record)
            where = data.record_location(document) if is_record else document.id
            raise ScoreError(f"{where}: {row['error']}; leave it out, or take on_error 'row'")
        yield row
    # The scorer's background threads stop when its iterator is exhausted.
    next(scored, None)


def finish_writing() -> None:
    """Waits until every part that this process's jobs have computed is written, or its writing has failed."""
    wait(list(_pending_writes))


class _ShardRun:
    """One process's share of a job, and how far it is."""

    def __init__(self, scorer: RowScorer, source: Source, store: Store, job: Job, config: JobConfig) -> None:
        self.num_parts = self.skipped = self._total = 0
        self._scorer = scorer
        self._store = store
        self._job = job
        self._config = config
        self._check = source.file_check()
        self._estimate: int | None = None
        # The estimate looks at every file; scoring does not wait for it.
        threading.Thread(target=self._look, args=(source,), daemon=True).start()
        self._done = done_parts(store, job, shard=config.shard)
        self._plan = read_plan(store, job)
        self._cuts_written, self._plan_time = len(self._plan.cuts), time.monotonic()
        self._documents = self._errors = self._tokens = self._written = self._position = 0
        self._began, self._stopped = time.monotonic(), threading.Event()

    def parts(self, readers: Sequence[OpenRecords]) -> Iterator[JobProgress]:
        """Scores the missing parts of this share; reads the next part and writes the last one meanwhile."""
        reader, writer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        write: Future[None] | None = None
        parts = self._planned(readers)
        try:
            begun = self._begin(parts)
            while begun is not None:
                part, scored = begun
                rows = [next(scored)]
                # The devices get the next part's first batches before they have finished this part's last, so
                # that they do not wait between parts. The first row comes first: it brings the compilation.
                following = reader.submit(self._begin, parts)
                yield from self._scored(part, scored, rows)
                if write is not None:
                    write.result()
                write = writer.submit(self._write, part, rows)
                _pending_writes.add(write)
                write.add_done_callback(_pending_writes.discard)
                begun = following.result()
            if write is not None:
                write.result()
            self._write_plan()
            self._estimate = self._total
        finally:
            self._stopped.set()
            writer.shutdown()
            reader.shutdown(cancel_futures=True)

    def finish(self, source: Source) -> JobOutcome:
        """Finishes the job, if this share was the last."""
        return finish_job(
            self._store,
            self._job,
            source,
            num_parts=self.num_parts,
            num_documents=self._total,
            shard=self._config.shard,
        )

    def progress(self) -> JobProgress:
        """Returns how far it is."""
        seconds = time.monotonic() - self._began
        left = None
        if self._estimate is not None and self._documents:
            missing = max(self._estimate - self._position, 0) / self._config.shard[1]
            left = missing * seconds / self._documents
        work = self._scorer.work
        return JobProgress(
            documents=self._documents,
            errors=self._errors,
            tokens=self._tokens,
            parts=self._written,
            position=self._position,
            estimate=self._estimate,
            seconds=seconds,
            seconds_left=left,
            padding_share=None if work is None else work.padding_share,
        )

    def _look(self, source: Source) -> None:
        estimate = source.estimate()
        self._estimate = estimate if self._estimate is None else self._estimate

    def _planned(self, readers: Sequence[OpenRecords]) -> Iterator[Part]:
        """Yields the parts that this shard has to score."""
        i, n = self._config.shard

        def wanted(number: int) -> bool:
            return number % n == i - 1 and number not in self._done

        parts = plan_parts(
            [functools.partial(self._unless_stopped, read) for read in readers],
            part_documents=self._config.part_documents,
            part_characters=self._config.characters,
            wanted=wanted,
            plan=self._plan,
            check=self._check,
        )
        for part in parts:
            self.num_parts, self._total = self.num_parts + 1, part.first + part.size
            if wanted(part.number):
                yield part
            else:
                self.skipped += part.number % n == i - 1

    def _unless_stopped(self, read: OpenRecords) -> Iterator[data.Record | data.UnreadableRecord]:
        for document in read():
            if self._stopped.is_set():
                raise CancelledError
            yield document

    def _begin(self, parts: Iterator[Part]) -> tuple[Part, Iterator[dict[str, Any]]] | None:
        """Returns the next part and its rows, of which the first is computed; None after the last part."""
        part = next(parts, None)
        if part is None:
            return None
        scored = score_part(self._scorer, part, on_error=self._config.on_error)
        first = next(scored)
        return part, itertools.chain([first], scored)

    def _scored(
        self, part: Part, scored: Iterator[dict[str, Any]], rows: list[dict[str, Any]]
    ) -> Iterator[JobProgress]:
        """Appends the part's rows to `rows`, which holds the first one."""
        self._count(part, rows)
        last_yield = time.monotonic()
        for row in scored:
            rows.append(row)
            self._count(part, rows)
            if time.monotonic() - last_yield >= SECONDS_BETWEEN:
                last_yield = time.monotonic()
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
        if time.monotonic() - self._plan_time >= SECONDS_BETWEEN_PLANS:
            self._write_plan()

    def _write_plan(self) -> None:
        """Writes the plan for other processes, if it has grown."""
        if len(self._plan.cuts) > self._cuts_written:
            self._cuts_written = write_plan(self._store, self._job, self._plan)
        self._plan_time = time.monotonic()
