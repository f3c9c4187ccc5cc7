"""What a job is, so that it can be gone on with: its description, kept beside the parts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxlm.scoring._store import Store

JOB, MANIFEST, SUMMARY = "job.json", "manifest.json", "summary.json"
# Part of every description: raise it when parts of the same job would be cut or written in another way.
FORMAT = 2
SHOWN = 4


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
    values = {"format": FORMAT, "corpus": dict(source), "scorer": dict(scorer), "options": dict(options)}
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
    store.put(JOB, as_json(job.description))


def check_store(store: Store, job: Job) -> bool:
    """Returns whether a store holds this job already; writes nothing.

    Raises:
      ValueError: if it holds another job, naming what differs, or something else.
    """
    names = store.names()
    if JOB not in names:
        if names:
            raise ValueError(f"{store.place} is not empty and holds no scoring job: name another folder")
        return False
    stored = _read(store)
    if stored != job.description:
        found = differences(stored, job.description)
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(
            f"{store.place} holds another job, what differs (there and here): {'; '.join(found[:SHOWN])}"
            f"{more}; go on with the same, or name another folder"
        )
    return True


def differences(there: Any, here: Any, name: str = "") -> list[str]:
    """Returns a line for each value of nested dictionaries that differs: `name: there and here`.

    Example:
      >>> differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}})
      ['a.c 2 and 3', 'a.d (none) and 4']
    """
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return [] if there == here else [f"{name} {_short(there)} and {_short(here)}"]
    found = []
    for key in sorted({*there, *here}):
        inner = f"{name}.{key}" if name else key
        if key not in there or key not in here:
            one, other = (_short(values[key]) if key in values else "(none)" for values in (there, here))
            found.append(f"{inner} {one} and {other}")
        else:
            found += differences(there[key], here[key], inner)
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-6:]}"


def _read(store: Store) -> Any:
    try:
        return json.loads(store.read(JOB))
    except ValueError as error:
        raise ValueError(f"{store.place}/{JOB} is not JSON ({error}): name another folder") from error
