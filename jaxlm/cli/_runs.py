"""The folders of runs."""

import contextlib
import os
import re
from pathlib import Path

from jaxlm import io
from jaxlm.cli._failures import UsageError

RUNS = Path("runs")


def run_folder(name: str, out: str | None, *, resume: bool) -> Path:
    """Returns the folder of a run: `out`, or `runs/NAME-N` with the next N; to resume, with the last N.

    A new `runs/NAME-N` is created here, empty, so that another run that starts now takes another N.

    Args:
      name: of the experiment.
      out: the folder of the command line; None: `runs/NAME-N`.
      resume: whether a run that has begun goes on.

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
    # A run that was killed before it began has left an empty folder, which cannot go on.
    begun = [number for number in numbers if (RUNS / f"{name}-{number}" / "experiment.json").exists()]
    number = max(begun or numbers)
    if number == 0:
        raise UsageError(f"no run to resume: there is no {RUNS}/{name}-N here; name its folder with --out")
    return RUNS / f"{name}-{number}"


def run_folder_of(folder: Path) -> Path | None:
    """Returns the run's folder of a model that is a run or a checkpoint of one; None for any other model.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.cli._runs import run_folder_of
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
    match = re.fullmatch(rf"{re.escape(name)}-(\d+)", path.name)
    return int(match[1]) if match else None
