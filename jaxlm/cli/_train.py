"""`jaxlm train [EXPERIMENT] [--options]`: from an experiment to a run folder."""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import data, io, models, training
from jaxlm.cli._arguments import expand_short, option_names, split_positionals
from jaxlm.cli._experiments import load_experiment
from jaxlm.cli._failures import FAILED, SAME, UsageError, say
from jaxlm.cli._finish import report
from jaxlm.cli._models import model_folder
from jaxlm.cli._options import parse
from jaxlm.cli._progress import Display
from jaxlm.cli._runs import run_folder
from jaxlm.cli._signals import before_leaving, describe_command, saves_by_itself, settle

PROGRAM, INIT, PRESET = "jaxlm train", "--run.init", "--preset"


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

    Attributes:
        experiment: a Python file, a folder that holds config.py, or the name of one under ./experiments
        data: what to train on: files, folders or globs, here or at URLs: text, JSONL, Parquet, FASTA, traces
        preset: a model of this size instead of the experiment's, which --model options then vary
        out: folder of the run; by default runs/NAME-N
        resume: go on with the run in --out, by default with the last one of this name
        json: print the result as one JSON object
        settings: of the experiment
    """

    experiment: Annotated[Positional[str | None], arg(metavar="[EXPERIMENT]")] = None
    data: Annotated[tuple[str, ...], arg(metavar="PATH [PATH ...]")] = ()
    preset: Literal[tuple(models.PRESETS)] | None = None
    out: Annotated[str | None, arg(metavar="DIR")] = None
    resume: FlagCreatePairsOff[bool] = False
    json: FlagCreatePairsOff[bool] = False
    settings: Annotated[training.Experiment, arg(name="")] = dataclasses.field(
        default_factory=training.Experiment
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
        training.keep_memory()
    training.enable_compilation_cache()
    before_leaving(lambda: _remove_if_empty(request.folder))
    try:
        first, event = _drained(request)
    except io.WriteError as error:
        if not (request.folder / "experiment.json").exists():
            error.add_note(SAME)
        raise
    finally:
        _remove_if_empty(request.folder)
    match event:
        case training.Finished():
            settle()
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
        display = stack.enter_context(Display())
        for event in training.train(request.experiment, request.folder, resume=request.resume):
            match event:
                case training.Started():
                    first = event.step
                    describe_command(PROGRAM, f"; go on: {_again(request)}")
                case training.Compiled():
                    # Until now a signal ends the process at once: everything that there is, is saved.
                    stack.enter_context(saves_by_itself())
            display.show(event)
    return first, event


def _leave(request: Request, event: training.Stopped) -> int:
    steps = request.experiment.run.steps
    line = f"stopped at step {event.step} of {steps}, saved; go on: {_again(request)}"
    # The compiler may still be at work, and must not be when the interpreter ends.
    settle(f"{PROGRAM}: {line}", event.signal)
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
    names = option_names(Train)
    positionals, options = split_positionals(expand_short(arguments, names), names)
    if len(positionals) > 1:
        raise UsageError(f"one EXPERIMENT at a time, got {' and '.join(map(repr, positionals))}")
    named = _named(positionals[0] if positionals else None, options)
    options, experiment = _begun(options, named, is_own=bool(positionals))
    named = named._replace(experiment=_sized(experiment, options))
    given = parse(Train, options, program=PROGRAM, default=Train(settings=named.experiment))
    experiment, name = given.settings, named.name
    if given.data:
        if experiment.data.paths != named.experiment.data.paths:
            raise UsageError("--data and --data.paths are the same: give one of them")
        experiment = dataclasses.replace(
            experiment, data=dataclasses.replace(experiment.data, paths=given.data)
        )
    if not positionals and experiment.data.paths:
        name = _name_of_data(experiment.data.paths[0])
    urls = {path for path in experiment.data.paths if data.split_url(path)}
    paths = tuple(path if path in urls else os.path.abspath(path) for path in experiment.data.paths)
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, paths=paths))
    folder = named.folder or run_folder(name, given.out, resume=given.resume)
    return Request(experiment, folder, given.resume, given.json, named.report)


class _Found(NamedTuple):
    name: str
    experiment: training.Experiment
    folder: Path | None  # of the run to resume, where it is known
    report: Callable[[Path], str] | None


def _named(argument: str | None, options: list[str]) -> _Found:
    """The experiment that is named, or that the folder to resume holds: it need not be named again."""
    named = load_experiment(argument)
    if argument is None and "--resume" in options and _value(options, "--data") is None:
        folder = run_folder(named.name, _value(options, "--out"), resume=True)
        return _Found(folder.name, training.load_experiment(folder), folder, None)
    return _Found(named.name, named.experiment, None, named.report)


def _begun(options: list[str], named: _Found, *, is_own: bool) -> tuple[list[str], training.Experiment]:
    """The options without --init, and the experiment as it goes on from the model that it names."""
    name = _value(options, INIT)
    if name is None:
        return options, named.experiment
    kept = [option for option in options if not option.startswith(f"{INIT}=")]
    if INIT in kept:
        place = kept.index(INIT)
        kept = kept[:place] + kept[place + 2 :]
    folder = os.path.abspath(model_folder(name))
    if named.folder is None:
        return kept, training.begin_from(folder, named.experiment if is_own else None)
    if named.experiment.run.init != folder:
        begun = named.experiment.run.init or "drawn parameters"
        raise UsageError(f"the run in {named.folder} began with {begun}: leave --init out to go on with it")
    return kept, named.experiment


def _sized(experiment: training.Experiment, options: list[str]) -> training.Experiment:
    """The experiment with the model that --preset names, seeing as far back and forth as its own."""
    preset = models.PRESETS.get(_value(options, PRESET))
    if preset is None:
        return experiment
    if experiment.run.init is not None:
        raise UsageError(f"{PRESET} is a model's shape, and --init brings a model: give one of them")
    model = dataclasses.replace(preset, causal=experiment.model.causal, dtype=experiment.model.dtype)
    return dataclasses.replace(experiment, model=model)


def _is_cpu_only() -> bool:
    """Whether no accelerator's plug-in is installed; asking JAX would start the threads it computes with."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and importlib.util.find_spec("libtpu") is None


def _value(options: list[str], name: str) -> str | None:
    for place, option in enumerate(options):
        if option == name:
            return options[place + 1] if place + 1 < len(options) else None
        if option.startswith(f"{name}="):
            return option.partition("=")[2]
    return None


def _name_of_data(path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", Path(path).name.partition(".")[0]) or re.findall(
        r"[A-Za-z0-9]+", path
    )
    return "-".join(words) or "data"
