"""Which parts of a job are there, and what is written when none is missing."""

import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxlm.scoring._manifest import MANIFEST, SUMMARY, Job, as_json
from jaxlm.scoring._parts import FOOTER, part_name, read_footer
from jaxlm.scoring._store import Store, open_store
from jaxlm.scoring._summary import summarize

READERS = 16


def done_parts(store: Store, job: Job, *, shard: tuple[int, int] = (1, 1)) -> set[int]:
    """Returns the numbers of the parts that are there, whole, and this job's.

    Args:
      store: of the job.
      job: which one.
      shard: whose parts are looked at.
    """
    i, n = shard
    numbers = {number for name in store.names() if (number := _number(name)) is not None}
    own = [number for number in numbers if number % n == i - 1]
    # Each is a request where the store is far.
    with ThreadPoolExecutor(READERS) as pool:
        footers = pool.map(lambda number: _footer(store, part_name(number)), own)
        return {number for number, footer in zip(own, footers, strict=True) if footer.get("job") == job.id}


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
            raise RuntimeError(
                f"{store.place}/{name} begins with document {first}, expected {following}: remove it and "
                f"plan.json, and run the command again"
            )
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
