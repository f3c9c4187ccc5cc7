"""The description of a job, kept beside its parts: only the same job goes on there."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxlm import io
from jaxlm.errors import UsageError
from jaxlm.io import Store
from jaxlm.scoring.jobs._part_files import PartOrigin, origin_of, part_number

JOB, MANIFEST, SUMMARY = "job.json", "manifest.json", "summary.json"
# A part of every description: raise it when the parts of the same job are cut or written in another way.
JOB_FORMAT = 2
MAX_DIFFERENCES = 4


class Job(NamedTuple):
    """Everything that the files of a job depend on, which the number of processes is not.

    Attributes:
      description: JSON values.
      id: their SHA-256.
    """

    description: dict[str, Any]
    id: str


def describe_job(source: Mapping[str, Any], scorer: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
    """Returns the job of a corpus, a scorer and options.

    Args:
      source: the corpus's description.
      scorer: the scorer's description.
      options: how the corpus is cut and the rows are written.

    Example:
      >>> from jaxlm.scoring.jobs._manifest import describe_job
      >>> describe_job({"files": {}}, {"measure": "log-likelihood"}, {"base": "e"}).id[:8]
      'a8540280'
    """
    values = {"format": JOB_FORMAT, "corpus": dict(source), "scorer": dict(scorer), "options": dict(options)}
    # As JSON reads them back: tuples become lists, keys become text.
    description = json.loads(json.dumps(values, sort_keys=True))
    return Job(description, hashlib.sha256(as_json(description)).hexdigest())


def as_json(values: Any) -> bytes:
    """Returns values as the bytes of a JSON file: the same for the same values.

    Example:
      >>> from jaxlm.scoring.jobs._manifest import as_json
      >>> as_json({"b": 1, "a": 2}).decode()
      '{\\n  "a": 2,\\n  "b": 1\\n}\\n'
    """
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )


def begin_job(store: Store, job: Job) -> None:
    """Writes the job's description into a store, unless it is there.

    Args:
      store: a folder or an object store.
      job: the job.

    Raises:
      UsageError: if the store holds another job, with what differs, or other files.
    """
    if check_store(store, job):
        return
    part = _first_part(store)
    is_old = part is not None and not part.is_sealed
    store.put(JOB, as_json(job.description if is_old else io.seal(job.description)))


def check_store(store: Store, job: Job) -> bool:
    """Returns whether a store holds this job's description; writes nothing.

    If the description is lost or damaged, the store is this job's if a part in it is: every part has the id
    of its job.

    Args:
      store: a folder or an object store.
      job: the job.

    Raises:
      UsageError: if the store holds another job, with what differs, or other files.
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
    differences = io.differences(stored, job.description)
    more = f" and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
    shown = "; ".join(differences[:MAX_DIFFERENCES])
    raise UsageError(
        f"{store.place} holds another job, what differs (there and here): {shown}{more}; give the same "
        f"options as there, or name another folder"
    )


def is_sealed(store: Store) -> bool:
    """Returns whether a job's parts carry their SHA-256, as its description does; older versions wrote none.

    Args:
      store: of a job; True if the job has not begun.
    """
    return JOB not in store.names() or io.SEAL in _parsed(store.read(JOB))


def _read(store: Store) -> dict[str, Any]:
    written = store.read(JOB)
    try:
        return io.unseal(_parsed(written))
    except ValueError as error:
        raise io.DamagedError(f"it is not JSON ({error})") from error


def _parsed(written: bytes) -> Any:
    # As `as_json` writes it: the name of a file may have bytes that are not UTF-8.
    return io.parse_json(written.decode("utf-8", "surrogateescape"))


def _is_of_parts(store: Store, job: Job) -> bool:
    part = _first_part(store)
    return part is not None and part.job == job.id


def _first_part(store: Store) -> PartOrigin | None:
    """Returns the origin of the first undamaged part; None if there is no such part."""
    names = sorted(name for name in store.names() if part_number(name) is not None)
    return next((origin for name in names if (origin := origin_of(store.read(name))) is not None), None)
