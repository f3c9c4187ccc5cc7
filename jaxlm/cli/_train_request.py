"""What `jaxlm train` is asked for: the experiment with the options applied, and the folder of its run."""

import dataclasses
import glob
import inspect
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

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
from jaxlm.cli._failures import UsageError
from jaxlm.cli._models import model_folder
from jaxlm.cli._options import parse
from jaxlm.cli._runs import run_folder

PROGRAM = "jaxlm train"
INIT, PRESET, DROPOUT, CAUSAL = "--run.init", "--preset", "--dropout", "--causal"
LIST = "--list"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentOptions(training.Experiment):
    """The options of an experiment: the objective is a name, and nothing is checked before `experiment`."""

    # --help shows this docstring: that of `Experiment`, without the example.
    __doc__ = inspect.cleandoc(training.Experiment.__doc__ or "").partition("\n\nExample:")[0]
    objective: str = next(iter(training.OBJECTIVES))

    def __post_init__(self) -> None:
        """Checks nothing: the options of a command line need not fit each other before all are read."""

    @classmethod
    def of(cls, experiment: training.Experiment) -> "ExperimentOptions":
        """Returns the options that make an experiment."""
        values: dict[str, Any] = vars(experiment) | {"objective": experiment.resolved_objective.name}
        return cls(**values)

    def experiment(self, objective: training.Objective) -> training.Experiment:
        """Returns the experiment of these options.

        Args:
          objective: is taken if the options name it; every other name is one of `training.OBJECTIVES`.

        Raises:
          ConfigError: if the options do not fit each other.
        """
        named = objective if objective.name == self.objective else self.objective
        values: dict[str, Any] = vars(self) | {"objective": named}
        return training.Experiment(**values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a language model, or a model of labels; without arguments, a masked language model on this
    Python's own bytecode.

    An option may be given without its prefix if no other option ends like it: --steps for --run.steps.

    jaxlm train

    jaxlm train --data "texts/*.txt" --steps 5000

    jaxlm train --data "texts/*.txt" --causal

    jaxlm train source-causal

    jaxlm train --preset small --model.position rotary --data "texts/*.txt"

    jaxlm train my_experiment.py --out runs/mine

    jaxlm train --init bert --data "texts/*.txt" --train-last 2

    jaxlm train --resume --out runs/mine

    jaxlm train --resume --out runs/mine --steps 20000 --learning-rate 1e-4

    Attributes:
      experiment: a Python file, a folder that holds config.py, or the name of one under ./experiments or of
        one that comes with jaxlm (--list)
      list_experiments: list the experiments that EXPERIMENT may name, and train nothing
      data: what to train on: files, folders or globs, here or at URLs: text, JSONL, Parquet, FASTA, traces
      causal: train a model that writes texts, instead of one that fills masks; with --init, the model
        predicts the first token of a text and its end, too
      preset: a model of this size instead of the experiment's; --model options change it further
      dropout: the rate of all four dropouts of the model; --model options change them further; a head has
        its own, --head.dropout
      out: folder of the run; None: runs/NAME-N
      resume: go on with the run in --out, or with the last one of this name
      tracker: also send the run's numbers to tensorboard (files in RUN/tensorboard) or to wandb
      samples: show a text that a causal model writes, at each evaluation
      json: print the result as one JSON object
      settings: the options of the experiment
    """

    experiment: Annotated[Positional[str | None], arg(metavar="[EXPERIMENT]")] = None
    list_experiments: Annotated[FlagCreatePairsOff[bool], arg(name="list")] = False
    data: Annotated[tuple[str, ...], arg(metavar="PATH [PATH ...]")] = ()
    causal: FlagCreatePairsOff[bool] = False
    preset: Literal[tuple(models.PRESETS)] | None = None
    dropout: float | None = None
    out: Annotated[str | None, arg(metavar="DIR")] = None
    resume: FlagCreatePairsOff[bool] = False
    tracker: training.TrackerName | None = None
    samples: bool = True
    json: FlagCreatePairsOff[bool] = False
    settings: Annotated[ExperimentOptions, arg(name="")] = dataclasses.field(
        default_factory=lambda: ExperimentOptions.of(training.Experiment())
    )


class Request(NamedTuple):
    """What the command line asks for.

    Attributes:
      experiment: with the options applied.
      folder: of the run.
      resume: whether the run in the folder goes on.
      json: whether the result is printed as JSON.
      report: the `report` function of the experiment's file, if it has one.
      changed_defaults: a line that says which defaults --init changes; "": none.
      samples: whether the texts that the model writes are shown.
      tracker: what the run's numbers are also sent to; None: nothing.
    """

    experiment: training.Experiment
    folder: Path
    resume: bool
    json: bool
    report: Callable[[Path], str] | None
    changed_defaults: str = ""
    samples: bool = True
    tracker: training.TrackerName | None = None


def asks_for_list(arguments: Sequence[str]) -> bool:
    """Returns whether the command line asks which experiments there are.

    Args:
      arguments: what follows `jaxlm train`.

    Raises:
      UsageError: if it asks for anything else beside it.
    """
    if LIST not in arguments:
        return False
    if len(arguments) > 1:
        raise UsageError(
            f"{LIST} only lists the experiments: leave out {shlex.join(a for a in arguments if a != LIST)}"
        )
    return True


def read_request(arguments: Sequence[str]) -> Request:
    """Returns what the command line asks for.

    The defaults of the options are the experiment's, so that the experiment is read first: the file or name
    among the arguments, the experiment in the folder to resume, or the default one.

    Args:
      arguments: what follows `jaxlm train`.

    Returns:
      The experiment with the options applied, and where it runs.

    Raises:
      UsageError: if an argument is unknown, or the arguments do not fit each other.
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
    experiment, name = given.settings.experiment(named.experiment.resolved_objective), named.name
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
    has_defaults = asked.value(INIT) is not None and named.folder is None and not positionals
    changed = _changed_defaults(asked, named.experiment) if has_defaults else ""
    folder = named.folder or run_folder(name, given.out, resume=given.resume)
    if given.resume:
        _check_places(folder, paths, experiment.run.init)
    return Request(
        experiment,
        folder,
        given.resume,
        given.json,
        named.report,
        changed_defaults=changed,
        samples=given.samples,
        tracker=given.tracker,
    )


class _ResolvedExperiment(NamedTuple):
    """The experiment that gives the options their defaults.

    Attributes:
      name: the beginning of its runs' names.
      experiment: the configs.
      folder: of the run to resume; None: another run, or not known yet.
      report: the `report` function of its file, if it has one.
    """

    name: str
    experiment: training.Experiment
    folder: Path | None
    report: Callable[[Path], str] | None


def _named(argument: str | None, asked: Arguments) -> _ResolvedExperiment:
    """Returns the experiment that is named, or the one in the folder to resume."""
    named = open_experiment(argument)
    if asked.flag(CAUSAL):
        if argument is not None:
            raise UsageError(f"{CAUSAL} is an experiment of its own: got {argument} beside it; leave one out")
        named = named._replace(name="causal", experiment=training.causal_experiment())
    if argument is None and asked.flag("--resume"):
        paths = asked.given.get("--data") or asked.given.get("--data.paths")
        name = _name_of_data(paths[0]) if paths else named.name
        folder = run_folder(name, asked.value("--out"), resume=True)
        begun = training.load_experiment(folder)
        if asked.flag(CAUSAL) and not begun.resolved_objective.kind.causal:
            raise UsageError(
                f"{CAUSAL}: the run in {folder} was begun as {begun.resolved_objective.name}; leave {CAUSAL} "
                "out to go on with it"
            )
        return _ResolvedExperiment(folder.name, begun, folder, None)
    return _ResolvedExperiment(named.name, named.experiment, None, named.report)


def _begun(asked: Arguments, named: _ResolvedExperiment, *, is_own: bool) -> training.Experiment:
    """Returns the experiment that begins with the model of --init, or with none if that is None."""
    if INIT not in asked.given:
        return named.experiment
    name = asked.value(INIT)
    init = None if name is None else os.path.abspath(model_folder(name))
    run = named.experiment.run
    if named.folder is not None and None in (run.init, init) and run.init != init:
        beginning = run.init or "drawn parameters"
        raise UsageError(
            f"the run in {named.folder} began with {beginning}: leave --init out to go on with it"
        )
    if named.folder is not None:
        return _with_init_at(named.experiment, init)
    if init is None:
        # Without the model, train_last may be given up, too: --run.train-last None.
        last = None if asked.given.get("--run.train-last") == ("None",) else run.train_last
        run = dataclasses.replace(run, init=None, train_last=last)
        return dataclasses.replace(named.experiment, run=run)
    experiment = training.experiment_from_model(
        init, named.experiment if is_own else None, objective=_label_objective(asked)
    )
    return _with_ends(experiment, name) if asked.flag(CAUSAL) else experiment


def _label_objective(asked: Arguments) -> str | None:
    """Returns the objective that is asked for if it learns labels: its head follows from the first model."""
    name = asked.value("--objective")
    objective = None if name is None else training.OBJECTIVES.get(name)
    return name if objective is not None and objective.labels else None


def _with_ends(experiment: training.Experiment, name: str | None) -> training.Experiment:
    """Returns the experiment of a causal model whose texts are opened and closed; `name` is of the model."""
    if not experiment.resolved_objective.kind.causal:
        raise UsageError(
            f"{CAUSAL}: {name} is no causal model, it is trained as {experiment.resolved_objective.name}; "
            f"leave {CAUSAL} out, or name a causal model"
        )
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, ends=True))


def _with_init_at(experiment: training.Experiment, init: str | None) -> training.Experiment:
    """Returns the experiment of a run whose first model, with its tokenizer, has moved to another folder."""
    run, tokenizer = experiment.run, experiment.tokenizer
    path = init if tokenizer.path == run.init else tokenizer.path
    return dataclasses.replace(
        experiment,
        run=dataclasses.replace(run, init=init),
        tokenizer=dataclasses.replace(tokenizer, path=path),
    )


def _sized(experiment: training.Experiment, asked: Arguments) -> training.Experiment:
    """Returns the experiment with the sizes of --preset; `causal` and `dtype` are kept."""
    name = asked.value(PRESET)
    preset = None if name is None else models.PRESETS.get(name)
    if preset is None:
        return experiment
    if experiment.run.init is not None:
        raise UsageError(f"{PRESET} is the shape of a model, and --init names a model: give one of them")
    model = dataclasses.replace(preset, causal=experiment.model.causal, dtype=experiment.model.dtype)
    return dataclasses.replace(experiment, model=model)


def _dropping(experiment: training.Experiment, asked: Arguments) -> training.Experiment:
    """Returns the experiment with the rate of --dropout for all dropouts of the model."""
    rate = asked.value(DROPOUT)
    if rate is None:
        return experiment
    rates: dict[str, Any] = dict.fromkeys(models.DROPOUTS, float(rate))
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **rates))


def _changed_defaults(asked: Arguments, experiment: training.Experiment) -> str:
    """Returns a line of the defaults that --init changes, except those of the model and its tokenizer."""
    usual = io.flat_fields(training.Experiment().to_dict())
    changed = []
    for name, value in io.flat_fields(experiment.to_dict()).items():
        option = f"--{name}".replace("_", "-")
        is_model = name == "run.init" or name.partition(".")[0] in ("model", "tokenizer")
        if not is_model and option not in asked.given and value != usual.get(name):
            changed.append(f"{option} {value} (without it {usual.get(name)})")
    return f"--init changes defaults: {', '.join(changed)}" if changed else ""


def _refuse_unread(asked: Arguments, experiment: training.Experiment) -> None:
    """Raises `UsageError` for an option that was given and has no effect in this experiment."""
    unread = training.unused_fields(experiment)
    for name in asked.given:
        why = unread.get(name.removeprefix("--").replace("-", "_"))
        if why is not None:
            raise UsageError(f"{name} would change nothing: {why}")


def _check_places(folder: Path, paths: Sequence[str], init: str | None) -> None:
    """Raises `UsageError` if the data or the first model have moved, with the option that names them."""
    for path in paths:
        if not (io.split_url(path) or os.path.lexists(path) or glob.glob(path, recursive=True)):
            raise UsageError(
                f"the data of the run in {folder} are no longer at {path}: bring them back, or name them: "
                "--data PATH"
            )
    # A relative name may be one of the hub's, which is not asked here.
    if init is None or not os.path.isabs(init):
        return
    try:
        pretrained.find_folder(init)
    except OSError:
        raise UsageError(
            f"the model that the run in {folder} began with is no longer at {init}: bring it back, or name "
            "it: --init MODEL"
        ) from None


def _name_of_data(path: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", Path(path).name.partition(".")[0]) or re.findall(
        r"[A-Za-z0-9]+", path
    )
    return "-".join(words) or "data"
