"""Experiments: Python files that return the configs of a run."""

import ast
import glob
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import jaxlm
from jaxlm import training
from jaxlm.cli._failures import UsageError, did_you_mean

FOLDER = Path("experiments")
INSTALLED = Path(jaxlm.__file__).parent
# Those that come with jaxlm: inside an installed package, or beside it in a clone.
OWN_FOLDER = (INSTALLED if (INSTALLED / "experiments").is_dir() else INSTALLED.parent) / "experiments"
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
        ./experiments or among those that come with jaxlm, with hyphens or underscores, of which the first
        words are enough if they are unique. None: the default experiment, this Python's own bytecode.

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
      UsageError: if there is none; the message lists the experiments that are known by name.
    """
    path, name = Path(argument), argument.replace("-", "_")
    for candidate in (path, path / "config.py", *(folder / name / "config.py" for folder in _folders())):
        if candidate.is_file():
            return candidate
    beginning = {
        config.parent.name: config
        for folder in reversed(_folders())
        for config in folder.glob(f"{glob.escape(name)}_*/config.py")
    }
    if len(path.parts) == 1 and len(beginning) == 1:
        return next(iter(beginning.values()))
    if path.suffix == ".py" or len(path.parts) > 1:
        raise UsageError(
            f"no experiment file {argument}: name a Python file, or a folder that holds config.py"
        )
    known = list(named_experiments())
    near = did_you_mean(name, known)
    raise UsageError(
        f"no experiment {argument!r}: name a Python file or a folder, or one of {', '.join(known)}{near}"
    )


def named_experiments() -> dict[str, Path]:
    """Returns the file of every experiment that is known by name: those in ./experiments, and jaxlm's own."""
    files = [file for folder in reversed(_folders()) for file in folder.glob("*/config.py")]
    return dict(sorted((file.parent.name, file) for file in files))


def experiment_lines() -> list[str]:
    """Returns a line for each experiment that is known by name: the name, and what its file says of it."""
    files = named_experiments()
    width = max(map(len, files), default=0)
    return [f"{name.replace('_', '-'):{width}}  {_first_sentence(file)}" for name, file in files.items()]


def _first_sentence(file: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    except (OSError, SyntaxError, ValueError):
        return "(cannot be read)"
    return docstring.partition("\n")[0] or "(no description)"


def _folders() -> tuple[Path, ...]:
    """The folders of named experiments; of two with one name the first counts."""
    return (FOLDER, OWN_FOLDER)


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
