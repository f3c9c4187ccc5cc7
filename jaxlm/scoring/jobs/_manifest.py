"""What a job is, so that it can be gone on with: its description, kept beside the parts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxlm import io
from jaxlm.errors import UsageError
from jaxlm.io import Store
from jaxlm.scoring.jobs._part_files import PartOrigin, origin_of, part_number

JOB, MANIFEST, SUMMARY = "job.json", "manifest.json", "summary.json"
# Part of every description: raise it when parts of the same job would be cut or written in another way.
JOB_FORMAT = 2
MAX_DIFFERENCES = 4


class Job(NamedTuple):
    """All that the files of a job depend on; nothing of how many processes do it.

    Attributes:
      description: JSON values.
      id: SHA-256 of them.
    """

    description: dict[str, Any]
    id: str


def describe_job(source: Mapping[str, Any], scorer: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
    """Returns the job of a corpus, a scorer and options.

    Args:
      source: of the corpus.
      scorer: `Scorer.description`.
      options: how the corpus is cut and the rows are written.

    Example:
      >>> describe_job({"files": {}}, {"measure": "log-likelihood"}, {"base": "e"}).id[:8]
      'a8540280'
    """
    values = {"format": JOB_FORMAT, "corpus": dict(source), "scorer": dict(scorer), "options": dict(options)}
    # As JSON reads them back: tuples are lists there, keys are text.
    description = json.loads(json.dumps(values, sort_keys=True))
    return Job(description, hashlib.sha256(as_json(description)).hexdigest())


def as_json(values: Any) -> bytes:
    """Returns values as the bytes of a JSON file: the same for the same values.

    Example:
      >>> as_json({"b": 1, "a": 2}).decode()
      '{\\n  "a": 2,\\n  "b": 1\\n}\\n'
    """
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )


def begin_job(store: Store, job: Job) -> None:
    """Makes a store this job's, or finds that it is.

    Raises:
      ValueError: if it holds another job, naming what differs, or something else.
    """
    if check_store(store, job):
        return
    part = _first_part(store)
    is_old = part is not None and not part.is_sealed
    store.put(JOB, as_json(job.description if is_old else io.seal(job.description)))


def check_store(store: Store, job: Job) -> bool:
    """Returns whether a store holds this job already, and its description; writes nothing.

    A store is this job's, too, whose description is lost or damaged, if a part in it is: each says whose it
    is.

    Raises:
      UsageError: if it holds another job, naming what differs, or something else.
    """
    if JOB not in store.names():
        if all(map(io.is_stray, store.names())) or _is_of_parts(store, job):
            return False
        raise UsageError(f"{store.place} is not empty and holds no scoring job: name another folder")
    try:
        stored = _read(store)
    except io.DamagedError as error:
        if _is_of_parts(store, job):
            return False
        raise UsageError(f"{store.place}/{JOB}: {error}: name another folder") from error
    if stored == job.description:
        return True
    if _is_of_parts(store, job):
        return False
    found = io.differences(stored, job.description)
    more = f" and {len(found) - MAX_DIFFERENCES} more" if len(found) > MAX_DIFFERENCES else ""
    raise UsageError(
        f"{store.place} holds another job, what differs (there and here): {'; '.join(found[:MAX_DIFFERENCES])}"
        f"{more}; go on with the same, or name another folder"
    )


def is_sealed(store: Store) -> bool:
    """Returns whether a job's parts all carry their SHA-256, as its description does, or were begun without.

    Args:
      store: of a job; one that has not begun will be of the former kind.
    """
    return JOB not in store.names() or io.SEAL in _parsed(store.read(JOB))


def _read(store: Store) -> dict[str, Any]:
    written = store.read(JOB)
    try:
        return io.unseal(_parsed(written))
    except ValueError as error:
        raise io.DamagedError(f"it is not JSON ({error})") from error


def _parsed(written: bytes) -> Any:
    # As `as_json` writes it: names of files may have bytes that are no UTF-8.
    return io.parse_json(written.decode("utf-8", "surrogateescape"))


def _is_of_parts(store: Store, job: Job) -> bool:
    part = _first_part(store)
    return part is not None and part.job == job.id


def _first_part(store: Store) -> PartOrigin | None:
    """Whose the first part is that is as it was written."""
    names = sorted(name for name in store.names() if part_number(name) is not None)
    return next((found for name in names if (found := origin_of(store.read(name))) is not None), None)
