"""`jaxlm train [EXPERIMENT] [--options]`: from an experiment to a run folder."""

import contextlib
import dataclasses
import glob
import importlib.metadata
import importlib.util
import inspect
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import io, models, pretrained, training
from jaxlm.cli._arguments import (
    HELP,
    Arguments,
    asks_for_help,
    known_options,
    read_arguments,
    without_help,
)
from jaxlm.cli._experiments import open_experiment
from jaxlm.cli._failures import FAILED, RERUN_HINT, UsageError, say
from jaxlm.cli._models import model_folder
from jaxlm.cli._options import parse
from jaxlm.cli._progress import TrainDisplay
from jaxlm.cli._runs import run_folder
from jaxlm.cli._signals import defers_signals, describe_command, exit_if_signalled, register_cleanup
from jaxlm.cli._train_report import report
from jaxlm.devices import enable_compilation_cache, keep_memory

PROGRAM, INIT, PRESET, DROPOUT = "jaxlm train", "--run.init", "--preset", "--dropout"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentOptions(training.Experiment):
    """An experiment whose objective is a name, and which is checked when the experiment is made of it."""

    # What --help says of each option; the example is that of the experiment.
    __doc__ = inspect.cleandoc(training.Experiment.__doc__).partition("\n\nExample:")[0]
    objective: str = next(iter(training.OBJECTIVES))

    def __post_init__(self) -> None:
        """Checks nothing."""

    @classmethod
    def of(cls, experiment: training.Experiment) -> "ExperimentOptions":
        """Returns the settings of an experiment."""
        return cls(**vars(experiment) | {"objective": experiment.objective.name})

    def experiment(self, objective: training.Objective) -> training.Experiment:
        """Returns the experiment of these settings.

        Args:
          objective: which has the name, if it is one of the experiment's own.
        """
        named = objective if objective.name == self.objective else self.objective
        return training.Experiment(**vars(self) | {"objective": named})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a language model, or a model of labels; without arguments, a masked one on this Python's own
    bytecode.

    An option may be given without its prefix where no other ends like it: --steps for --run.steps.

    jaxlm train

    jaxlm train --data "texts/*.txt" --steps 5000

    jaxlm train source-causal

    jaxlm train --preset small --model.position rotary --data "texts/*.txt"

    jaxlm train my_experiment.py --out runs/mine

    jaxlm train --init bert --data "texts/*.txt" --train-last 2

    jaxlm train --resume --out runs/mine

    jaxlm train --resume --out runs/mine --steps 20000 --learning-rate 1e-4

    Attributes:
      experiment: a Python file, a folder that holds config.py, or the name of one under ./experiments
      data: what to train on: files, folders or globs, here or at URLs: text, JSONL, Parquet, FASTA, traces
      preset: a model of this size instead of the experiment's, which --model options then vary
      dropout: the rate of all four dropouts of the model, which --model options then vary; a head's own is
        --head.dropout
      out: folder of the run; by default runs/NAME-N
      resume: go on with the run in --out, by default with the last one of this name
      json: print the result as one JSON object
      settings: of the experiment
    """

    experiment: Annotated[Positional[str | None], arg(metavar="[EXPERIMENT]")] = None
    data: Annotated[tuple[str, ...], arg(metavar="PATH [PATH ...]")] = ()
    preset: Literal[tuple(models.PRESETS)] | None = None
    dropout: float | None = None
    out: Annotated[str | None, arg(metavar="DIR")] = None
    resume: FlagCreatePairsOff[bool] = False
    json: FlagCreatePairsOff[bool] = False
    settings: Annotated[ExperimentOptions, arg(name="")] = dataclasses.field(
        default_factory=lambda: ExperimentOptions.of(training.Experiment())
    )


class Request(NamedTuple):
    """What the command line asks for: the experiment with the options applied, and where it runs."""

    experiment: training.Experiment
    folder: Path
    resume: bool
    json: bool
    report: Callable[[Path], str] | None


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    request = read_request(arguments)
    if _is_cpu_only():
        keep_memory()
    enable_compilation_cache()
    register_cleanup(lambda: _remove_if_empty(request.folder))
    try:
        first, event = _drained(request)
    except io.WriteError as error:
        if not (request.folder / "experiment.json").exists():
            error.add_note(RERUN_HINT)
        raise
    finally:
        _remove_if_empty(request.folder)
    match event:
        case training.Finished():
            exit_if_signalled()
            more, as_json = request.report, request.json
            report(event, request.experiment, first=first, as_json=as_json, more=more)
            return 0
        case training.Stopped():
            return _leave(request, event)
    say(PROGRAM, "failed: the run ended without a word")
    return FAILED


def _drained(request: Request) -> tuple[int, training.Event | None]:
    """Trains, and returns the step at which this process began and the last event."""
    first, event = 0, None
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(TrainDisplay())
        for event in training.train(request.experiment, request.folder, resume=request.resume):
            match event:
                case training.Started():
                    first = event.step
                    describe_command(PROGRAM, f"; go on: {_again(request)}")
                case training.Compiled():
                    # Until now a signal ends the process at once: everything that there is, is saved.
                    stack.enter_context(defers_signals())
            display.show(event)
    return first, event


def _leave(request: Request, event: training.Stopped) -> int:
    steps = request.experiment.run.steps
    line = f"stopped at step {event.step} of {steps}, saved; go on: {_again(request)}"
    # The compiler may still be at work, and must not be when the interpreter ends.
    exit_if_signalled(f"{PROGRAM}: {line}", event.signal)
    say(PROGRAM, line)
    return 128 + event.signal


def _again(request: Request) -> str:
    return f"{PROGRAM} --resume --out {shlex.quote(str(request.folder))}"


def _remove_if_empty(folder: Path) -> None:
    """A run that was refused, or stopped before it had begun, leaves no folder behind."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def read_request(arguments: Sequence[str]) -> Request:
    """Returns what the command line asks for.

    The experiment decides the defaults of the options, so it is found first: a file or a name among the
    arguments, the one that the folder to resume holds, or the embedded one.

    Args:
      arguments: what follows `jaxlm train`.

    Raises:
      UsageError: if they make no sense.
    """
    is_help = asks_for_help(arguments)
    wanted = without_help(arguments) if is_help else arguments
    asked = read_arguments(wanted, known_options(Train), program=PROGRAM)
    positionals = asked.positionals
    if len(positionals) > 1:
        raise UsageError(f"one EXPERIMENT at a time, got {' and '.join(map(repr, positionals))}")
    named = _named(positionals[0] if positionals else None, asked)
    experiment = _sized(_begun(asked, named, is_own=bool(positionals)), asked)
    named = named._replace(experiment=_dropping(experiment, asked))
    options = [*asked.without(INIT).as_list(), *(HELP[-1:] if is_help else ())]
    given = parse(
        Train, options, program=PROGRAM, default=Train(settings=ExperimentOptions.of(named.experiment))
    )
    experiment, name = given.settings.experiment(named.experiment.objective), named.name
    if given.data:
        if experiment.data.paths != named.experiment.data.paths:
            raise UsageError("--data and --data.paths are the same: give one of them")
        experiment = dataclasses.replace(
            experiment, data=dataclasses.replace(experiment.data, paths=given.data)
        )
    if not positionals and experiment.data.paths:
        name = _name_of_data(experiment.data.paths[0])
    urls = {path for path in experiment.data.paths if io.split_url(path)}
    paths = tuple(path if path in urls else os.path.abspath(path) for path in experiment.data.paths)
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, paths=paths))
    _refuse_unread(asked, experiment)
    folder = named.folder or run_folder(name, given.out, resume=given.resume)
    if given.resume:
        _check_places(folder, paths, experiment.run.init)
    return Request(experiment, folder, given.resume, given.json, named.report)


class _ResolvedExperiment(NamedTuple):
    name: str
    experiment: training.Experiment
    folder: Path | None  # of the run to resume, where it is known
    report: Callable[[Path], str] | None


def _named(argument: str | None, asked: Arguments) -> _ResolvedExperiment:
    """The experiment that is named, or that the folder to resume holds: it need not be named again."""
    named = open_experiment(argument)
    if argument is None and asked.flag("--resume"):
        paths = asked.given.get("--data") or asked.given.get("--data.paths")
        name = _name_of_data(paths[0]) if paths else named.name
        folder = run_folder(name, asked.value("--out"), resume=True)
        return _ResolvedExperiment(folder.name, training.load_experiment(folder), folder, None)
    return _ResolvedExperiment(named.name, named.experiment, None, named.report)


def _begun(asked: Arguments, named: _ResolvedExperiment, *, is_own: bool) -> training.Experiment:
    """The experiment as it goes on from the model that --init names, or from none where that is None."""
    if INIT not in asked.given:
        return named.experiment
    name = asked.value(INIT)
    init = None if name is None else os.path.abspath(model_folder(name))
    run = named.experiment.run
    if named.folder is not None and None in (run.init, init) and run.init != init:
        begun = run.init or "drawn parameters"
        raise UsageError(f"the run in {named.folder} began with {begun}: leave --init out to go on with it")
    if named.folder is not None:
        return _with_init_at(named.experiment, init)
    if init is None:
        # Whoever takes the model away takes away what is told of its blocks, if he says so.
        kept = {} if asked.given.get("--run.train-last") != ("None",) else {"train_last": None}
        return dataclasses.replace(named.experiment, run=dataclasses.replace(run, init=None, **kept))
    return training.experiment_from_model(init, named.experiment if is_own else None)


def _with_init_at(experiment: training.Experiment, init: str | None) -> training.Experiment:
    """The experiment of a run whose first model lies at another place now, with its tokenizer."""
    run, tokenizer = experiment.run, experiment.tokenizer
    path = init if tokenizer.path == run.init else tokenizer.path
    return dataclasses.replace(
        experiment,
        run=dataclasses.replace(run, init=init),
        tokenizer=dataclasses.replace(tokenizer, path=path),
    )


def _sized(experiment: training.Experiment, asked: Arguments) -> training.Experiment:
    """The experiment with the model that --preset names, seeing as far back and forth as its own."""
    preset = models.PRESETS.get(asked.value(PRESET))
    if preset is None:
        return experiment
    if experiment.run.init is not None:
        raise UsageError(f"{PRESET} is a model's shape, and --init brings a model: give one of them")
    model = dataclasses.replace(preset, causal=experiment.model.causal, dtype=experiment.model.dtype)
    return dataclasses.replace(experiment, model=model)


def _dropping(experiment: training.Experiment, asked: Arguments) -> training.Experiment:
    """The experiment with the rate that --dropout gives to all of the model's."""
    rate = asked.value(DROPOUT)
    if rate is None:
        return experiment
    rates = dict.fromkeys(models.DROPOUTS, float(rate))
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **rates))


def _refuse_unread(asked: Arguments, experiment: training.Experiment) -> None:
    """Refuses an option that was given and that nothing of the experiment reads."""
    unread = training.unused_fields(experiment)
    for name in asked.given:
        why = unread.get(name.removeprefix("--").replace("-", "_"))
        if why is not None:
            raise UsageError(f"{name} would change nothing: {why}")


def _check_places(folder: Path, paths: Sequence[str], init: str | None) -> None:
    """Refuses to go on where data or first model have moved, and says how to name where they lie now."""
    for path in paths:
        if not (io.split_url(path) or os.path.lexists(path) or glob.glob(path, recursive=True)):
            raise UsageError(
                f"the data of the run in {folder} are no longer at {path}: bring them back, or name where "
                "they lie now: --data PATH"
            )
    # A relative name may be one on the hub, and that is not asked.
    if init is None or not os.path.isabs(init):
        return
    try:
        pretrained.find_folder(init)
    except OSError:
        raise UsageError(
            f"the model that the run in {folder} began with is no longer at {init}: bring it back, or name "
            "where it lies now: --init MODEL"
        ) from None


def _is_cpu_only() -> bool:
    """Whether no accelerator's plug-in is installed; asking JAX would start the threads it computes with."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and importlib.util.find_spec("libtpu") is None


def _name_of_data(path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", Path(path).name.partition(".")[0]) or re.findall(
        r"[A-Za-z0-9]+", path
    )
    return "-".join(words) or "data"
