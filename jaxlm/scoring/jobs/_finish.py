"""Which parts of a job are written, and the files that are added when the last one is."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa

from jaxlm import io
from jaxlm.errors import UsageError, WorkError
from jaxlm.io import Store, open_store
from jaxlm.scoring.jobs._completeness import DocumentChecker
from jaxlm.scoring.jobs._manifest import JOB, MANIFEST, SUMMARY, Job, as_json, is_sealed
from jaxlm.scoring.jobs._part_files import PartOrigin, origin_of, part_name, part_number, read_table
from jaxlm.scoring.jobs._sources import Source
from jaxlm.scoring.jobs._summary import summarize_tables

# Each thread holds one part in memory.
READER_THREADS = 8


class JobOutcome(NamedTuple):
    """The state of a job at the end of a process's share.

    Attributes:
      summary: of the whole corpus; None while parts of other shards are missing.
      missing: the numbers of those parts.
      strays: paths of files that lie among the parts and are no part of this job.
    """

    summary: dict[str, Any] | None
    missing: Sequence[int]
    strays: Sequence[str]


def done_parts(store: Store, job: Job, *, shard: tuple[int, int] = (1, 1)) -> set[int]:
    """Returns the numbers of a shard's parts that are written, belong to this job and are undamaged.

    Args:
      store: of the job, which has begun.
      job: the job.
      shard: (i, n): every n-th part from the i-th on is looked at.
    """
    i, n = shard
    numbers = {number for name in store.names() if (number := part_number(name)) is not None}
    own, sealed = [number for number in numbers if number % n == i - 1], is_sealed(store)

    def is_done(number: int) -> bool:
        return _is_part(origin_of(store.read(part_name(number))), job, number, sealed)

    with ThreadPoolExecutor(READER_THREADS) as pool:
        return {number for number, is_there in zip(own, pool.map(is_done, own), strict=True) if is_there}


def finish_job(
    store: Store,
    job: Job,
    source: Source,
    *,
    num_parts: int,
    num_documents: int,
    shard: tuple[int, int] = (1, 1),
) -> JobOutcome:
    """Writes manifest and summary if no part is missing, after a check that each document has one row.

    Args:
      store: of the job.
      job: the job.
      source: its corpus.
      num_parts: of the whole corpus.
      num_documents: of the whole corpus.
      shard: (i, n): the parts that were scored by this process, so that they must be there.

    Returns:
      The summary, or the parts that are missing.

    Raises:
      WorkError: if a part of the shard is gone or damaged, or the rows are not those of the corpus's
        documents; the message says what to do.
    """
    names, (i, n) = store.names(), shard
    if JOB not in names:
        raise WorkError(
            f"{store.place} was removed or emptied while the job ran: run the same command again, which "
            f"scores anew what is missing"
        )
    strays = [name for name in sorted(names) if (part_number(name) or 0) >= num_parts]
    missing = [number for number in range(num_parts) if part_name(number) not in names]
    lost = [number for number in missing if number % n == i - 1]
    if lost:
        raise _lost(store, lost[0], "was removed while the job ran")
    if missing:
        return JobOutcome(None, missing, strays)
    part_list: list[dict[str, Any]] = []
    documents = DocumentChecker()
    try:
        summary = summarize_tables(_read_all(store, job, num_parts, part_list, documents))
    except _DamagedPartError as error:
        if error.number % n == i - 1:
            raise _lost(store, error.number, "is no longer as it was written") from error
        return JobOutcome(None, [error.number], strays)
    documents.check(source, num_documents, lambda: _read_all(store, job, num_parts, [], DocumentChecker()))
    store.put(SUMMARY, as_json(summary))
    manifest = {"job": job.id, "documents": summary["documents"], "parts": part_list}
    store.put(MANIFEST, as_json(io.seal(manifest)))
    store.clear()
    return JobOutcome(summary, [], strays)


def read_parts(out: str) -> Iterator[pa.Table]:
    """Yields the tables of a finished job's parts, in order; the checksum of each part is compared first.

    A part is a run of consecutive documents that the job wrote to one file. Nothing is read or raised before
    the first table is asked for.

    Args:
      out: the folder or URL that `run_job` was given.

    Yields:
      One `pyarrow.Table` for each part, with one row for each document. The columns are `index` (the
      document's number in the corpus, from 0), `id`, the scorer's columns, and `error`. `error` is null for a
      document with a score; for a document without one it says why, and the scorer's columns are null.

    Raises:
      UsageError: if the job has not finished.
      WorkError: if a part is missing, or a part or the manifest was changed or damaged. The parts before it
        have been yielded by then.

    Example:
      >>> from jaxlm.scoring import read_parts
      >>> list(read_parts("./nowhere"))
      Traceback (most recent call last):
      jaxlm.errors.UsageError: ./nowhere holds no finished job: it has no manifest.json
    """
    store = open_store(out)
    names = store.names()
    if MANIFEST not in names:
        raise UsageError(f"{out} holds no finished job: it has no {MANIFEST}")
    for name, digest in _part_digests(store):
        if name not in names:
            raise _damaged(store, name, "it is gone")
        payload = store.read(name)
        if hashlib.sha256(payload).hexdigest() != digest:
            raise _damaged(store, name, "it is not as it was written: its SHA-256 differs")
        yield read_table(payload)


class _DamagedPartError(Exception):
    """A part is not as it was written."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _is_part(origin: PartOrigin | None, job: Job, number: int, sealed: bool) -> bool:
    return origin is not None and origin[:2] == (job.id, number) and origin.is_sealed >= sealed


def _read_all(
    store: Store, job: Job, num_parts: int, part_list: list[dict[str, Any]], documents: DocumentChecker
) -> Iterator[pa.Table]:
    """Yields the tables of all parts; adds an entry a part to `part_list`, and the rows to `documents`."""
    sealed = is_sealed(store)
    for number in range(num_parts):
        name = part_name(number)
        payload = store.read(name)
        if not _is_part(origin_of(payload), job, number, sealed):
            raise _DamagedPartError(number)
        table = read_table(payload)
        first = documents.add(table, f"{store.place}/{name}")
        part_list.append(
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


def _part_digests(store: Store) -> list[tuple[str, str]]:
    """Returns the names and the checksums of a finished job's parts."""
    written = store.read(MANIFEST)
    try:
        manifest = io.unseal(io.parse_json(written))
        return [(str(part["name"]), str(part["sha256"])) for part in manifest["parts"]]
    except (io.DamagedError, ValueError, KeyError, TypeError) as error:
        raise _damaged(store, MANIFEST, str(error)) from error


def _damaged(store: Store, name: str, reason: str) -> WorkError:
    return WorkError(
        f"{store.place}/{name}: {reason}; score the same corpus into {store.place} again, which mends "
        f"what is damaged"
    )


def _lost(store: Store, number: int, what: str) -> WorkError:
    return WorkError(
        f"{store.place}/{part_name(number)} {what}: run the same command again, which scores it anew"
    )
