"""The folder of a run: what it holds, and starting or resuming a run in it."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxlm import io
from jaxlm.errors import UsageError
from jaxlm.training.objectives import Objective
from jaxlm.training.run._changes import find_changes
from jaxlm.training.run._checkpoints import CHECKPOINTS, clear_checkpoints, has_no_checkpoints
from jaxlm.training.run._experiment import Experiment

EXPERIMENT = "experiment.json"
# Endings that earlier versions gave to files which were not completely written.
PARTIAL_ENDINGS = (".new", ".shorter")


def check_run_folder(folder: Path, experiment: Experiment, *, resume: bool) -> bool:
    """Returns whether a folder holds this experiment's run; writes nothing.

    Args:
      folder: may be missing.
      experiment: what the run computes.
      resume: whether a run in the folder may be continued.

    Returns:
      True if the folder holds this experiment's run, False if it is empty or missing.

    Raises:
      UsageError: if the folder holds a run and `resume` is off, or holds anything other than a run of this
        experiment.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.training import Experiment
      >>> from jaxlm.training.run._run_folder import begin_run, check_run_folder
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> check_run_folder(folder, Experiment(), resume=False)
      False
      >>> begin_run(folder, Experiment())
      >>> check_run_folder(folder, Experiment(), resume=True)
      True
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: a run needs a folder of its own")
    begun = (folder / EXPERIMENT).exists()
    if begun and not resume:
        raise UsageError(f"{folder} already holds a run: continue it by --resume, or name another folder")
    if not begun and folder.exists() and not all(_is_left_behind(path) for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no run: name another folder")
    if begun:
        _check_same(folder, experiment)
    return begun


@contextlib.contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Creates the folder and locks it for this process until the end of the block.

    The operating system releases the lock when the process ends, however it ends.

    Raises:
      UsageError: if another process trains in it.
      WriteError: if the folder cannot be made.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.training.run._run_folder import lock_run_folder
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> with lock_run_folder(folder), lock_run_folder(folder):
      ...     pass
      Traceback (most recent call last):
      jaxlm.errors.UsageError: another process is training in ...: wait for it, or name another folder
    """
    with io.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        if not io.try_lock(handle):
            raise UsageError(f"another process is training in {folder}: wait for it, or name another folder")
        yield
    finally:
        os.close(handle)


def begin_run(folder: Path, experiment: Experiment) -> None:
    """Writes experiment.json into a folder, which makes it a run folder.

    Raises:
      WriteError: if it cannot be written.
    """
    io.write_text(folder / EXPERIMENT, json.dumps(experiment.to_dict(), indent=2) + "\n")


def clear_leftovers(folder: Path) -> None:
    """Removes partially written files of a killed process; the folder must be locked by this process."""
    io.clear_partials(folder)
    clear_checkpoints(folder / CHECKPOINTS)
    for ending in PARTIAL_ENDINGS:
        for path in folder.glob(f"*.json*{ending}"):
            path.unlink(missing_ok=True)


def load_experiment(folder: str | os.PathLike, *, objective: Objective | None = None) -> Experiment:
    """Returns the experiment of a run folder.

    Args:
      folder: the folder of the run.
      objective: the run's objective, needed if it is not in `OBJECTIVES` and has no reference from which it
        is imported; None: it is found by name or reference.

    Raises:
      ValueError: if the folder holds no run, or its experiment.json cannot be read.
    """
    return Experiment.from_dict(_stored(Path(folder)), objective=objective, folder=folder)


def _is_left_behind(path: Path) -> bool:
    """Whether a path is a worthless leftover of a process that was killed before its run started."""
    if path.name == CHECKPOINTS:
        return path.is_dir() and has_no_checkpoints(path)
    return path.name == f"{EXPERIMENT}{PARTIAL_ENDINGS[0]}" or io.is_partial(path) or io.is_stray(path.name)


def _check_same(folder: Path, experiment: Experiment) -> None:
    _, refused = find_changes(load_experiment(folder, objective=experiment.resolved_objective), experiment)
    if refused:
        raise UsageError(
            f"{folder} holds a run of another experiment, the first fields that differ (there and here): "
            f"{'; '.join(map(str, refused[:3]))}; resume with the same, or train in another folder"
        )


def _stored(folder: Path) -> dict[str, Any]:
    path = folder / EXPERIMENT
    if not path.exists():
        raise UsageError(f"{folder} holds no run: it has no {EXPERIMENT}")
    with io.reading_from(path):
        written = path.read_bytes()
    try:
        stored = io.parse_json(written.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(stored, dict):
        raise UsageError(f"{path} is no experiment: expected an object of sections, got {stored!r:.60}")
    return stored
