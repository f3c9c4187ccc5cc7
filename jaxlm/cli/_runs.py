"""Which folder a run is in."""

import contextlib
import os
import re
from pathlib import Path

from jaxlm import io
from jaxlm.cli._failures import UsageError

RUNS = Path("runs")


def run_folder(name: str, out: str | None, *, resume: bool) -> Path:
    """Returns the folder of a run: `out`, or `runs/NAME-N` with the next N, or to resume with the last.

    A new `runs/NAME-N` is made here, empty, so that no run that is started at the same time takes it too.

    Args:
      name: of the experiment.
      out: what the command line asks for; None: by name.
      resume: whether a run that is there is gone on with.

    Raises:
      UsageError: if there is no run to resume.
    """
    if out is not None:
        if resume and not (Path(out) / "experiment.json").exists():
            raise UsageError(f"no run to resume in {out}: leave out --resume to begin one there")
        return Path(out)
    numbers = [0, *(number for path in RUNS.glob(f"{name}-*") if (number := _number(name, path)))]
    if not resume:
        return _reserved(name, max(numbers) + 1)
    # One that was killed before it had begun has left a number, and nothing to go on with.
    begun = [number for number in numbers if (RUNS / f"{name}-{number}" / "experiment.json").exists()]
    number = max(begun or numbers)
    if number == 0:
        raise UsageError(f"no run to resume: there is no {RUNS}/{name}-N here; name its folder with --out")
    return RUNS / f"{name}-{number}"


def run_folder_of(folder: Path) -> Path | None:
    """Returns the run's folder of a model that is a run or a checkpoint of one; None of another model.

    Example:
      >>> run_folder_of(Path("nowhere")) is None
      True
    """
    folder = Path(os.path.abspath(folder))
    above = [folder, *([folder.parent.parent] if folder.parent.name == "checkpoints" else [])]
    return next((run for run in above if (run / "experiment.json").exists()), None)


def _reserved(name: str, number: int) -> Path:
    while True:
        folder = RUNS / f"{name}-{number}"
        with io.writing(folder), contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
        number += 1


def _number(name: str, path: Path) -> int | None:
    found = re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name)
    return int(found[1]) if found else None
