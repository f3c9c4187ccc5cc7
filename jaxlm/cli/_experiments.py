"""Experiments: Python files that return the configs of a run."""

import glob
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from jaxlm import training
from jaxlm.cli._failures import UsageError, did_you_mean

FOLDER = Path("experiments")
FUNCTION, REPORT = "get_experiment", "report"


class NamedExperiment(NamedTuple):
    """An experiment and its name.

    Attributes:
      name: the beginning of its runs' names.
      experiment: the configs.
      report: the `report` function of its file, from a finished run's folder to a text; None: there is none.
    """

    name: str
    experiment: training.Experiment
    report: Callable[[Path], str] | None = None


def open_experiment(argument: str | None) -> NamedExperiment:
    """Returns the experiment that the command line names.

    Args:
      argument: a Python file; a folder that holds `config.py`; or the name of such a folder under
        ./experiments, with hyphens or underscores, of which the first words are enough if they are unique.
        None: the default experiment, this Python's own bytecode.

    Returns:
      Its name, the `Experiment` that its `get_experiment()` returns, and its `report`, if it defines one.

    Raises:
      UsageError: if there is none, or its `get_experiment()` returns no `Experiment`.
    """
    if argument is None:
        return NamedExperiment("bytecode", training.Experiment())
    path = find_experiment(argument)
    name = path.parent.resolve().name if path.name == "config.py" else path.stem
    module = _module(path)
    return NamedExperiment(name, _called(path, module), getattr(module, REPORT, None))


def find_experiment(argument: str) -> Path:
    """Returns the Python file of an experiment.

    Args:
      argument: a file, a folder or a name, as in `open_experiment`.

    Raises:
      UsageError: if there is none; the message lists the experiments in ./experiments.
    """
    path = Path(argument)
    folder = FOLDER / argument.replace("-", "_")
    for candidate in (path, path / "config.py", folder / "config.py"):
        if candidate.is_file():
            return candidate
    beginning = sorted(FOLDER.glob(f"{glob.escape(folder.name)}_*/config.py"))
    if len(path.parts) == 1 and len(beginning) == 1:
        return beginning[0]
    if path.suffix == ".py" or len(path.parts) > 1:
        raise UsageError(
            f"no experiment file {argument}: name a Python file, or a folder that holds config.py"
        )
    known = sorted(config.parent.name for config in FOLDER.glob("*/config.py"))
    listed = f"those here are {', '.join(known)}" if known else f"there are none in {FOLDER.resolve()}"
    near = did_you_mean(argument.replace("-", "_"), known)
    raise UsageError(f"no experiment {argument!r}: name a Python file or a folder; {listed}{near}")


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"jaxlm_experiment_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file; an experiment defines {FUNCTION}()")
    module = importlib.util.module_from_spec(spec)
    # An experiment may import the files beside it.
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{_where(path, error)}: {type(error).__name__}: {error}") from error
    return module


def _called(path: Path, module: ModuleType) -> training.Experiment:
    function = getattr(module, FUNCTION, None)
    if function is None:
        raise UsageError(f"{path} defines no {FUNCTION}(), which returns a jaxlm.training.Experiment")
    try:
        experiment = function()
    except Exception as error:
        raise UsageError(f"{_where(path, error)}: {type(error).__name__}: {error}") from error
    if not isinstance(experiment, training.Experiment):
        raise UsageError(
            f"{path}: {FUNCTION}() returns a jaxlm.training.Experiment: got {type(experiment).__name__}"
        )
    return experiment


def _where(path: Path, error: Exception) -> str:
    """Returns "file:line" of the last line of the experiment's file that an error passed through."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return f"{path}:{lines[-1]}" if lines else str(path)
