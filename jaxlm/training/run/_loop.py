"""Training from an experiment to a folder, as a stream of events."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from jaxlm import models, pretrained
from jaxlm.devices import Layout, local_layout
from jaxlm.errors import ConfigError
from jaxlm.training.run._changes import Change, find_changes, write_changes
from jaxlm.training.run._checkpoints import CHECKPOINTS, last_good
from jaxlm.training.run._events import Event, Finished, Noted, Sampled, Started, Stopped, Warned
from jaxlm.training.run._experiment import Experiment
from jaxlm.training.run._log_collector import LogCollector
from jaxlm.training.run._metrics import truncate_metrics
from jaxlm.training.run._run_folder import (
    begin_run,
    check_run_folder,
    clear_leftovers,
    load_experiment,
    lock_run_folder,
)
from jaxlm.training.run._signals import StopRequest
from jaxlm.training.run._task import Task, make_task, task_classes
from jaxlm.training.run._trainer import SampleWriter, Trainer

# The packages whose modules log how a layer is computed.
LAYER_PACKAGES = ("jaxlm.ops", "jaxlm.models")


def train(
    experiment: Experiment,
    folder: str | os.PathLike,
    *,
    resume: bool = False,
    devices: Sequence[jax.Device] | None = None,
    write_sample: SampleWriter | None = None,
) -> Iterator[Event]:
    """Trains a model and yields the run's events; iterating over them runs the training.

    During training the folder gets experiment.json, tokenizer.json, metrics.jsonl and checkpoints/, at the
    end config.json and model.safetensors. SIGTERM or SIGINT (in the main thread) stops the run after the
    current step, or during compilation: it saves a checkpoint and yields `Stopped`. With `resume=True` an
    interrupted run, even a killed one, continues from its last undamaged checkpoint. On a CPU it ends with
    the same parameters, bit for bit, as an uninterrupted run; on a GPU only with `run.deterministic`, since
    a GPU may add in another order at each run.

    A run may be resumed with another `run.steps`, learning rate, decay, weight decay and intervals, and with
    other paths to the same data and the same `run.init` weights. metrics.jsonl gets a line for each change;
    the learning-rate schedule is that of the new settings from the step of the resumption on.

    Args:
      experiment: everything that decides what the run computes.
      folder: the folder of the run. It is missing or empty, unless `resume`.
      resume: whether to continue the run in `folder`; an empty folder starts a new run.
      devices: local devices among which the batches are divided; None: all local devices.
      write_sample: is called with the model after each evaluation on the validation split and returns a text
        that shows what the model writes, for a `Sampled` event and a line of metrics.jsonl. The parameters
        that it gets are valid only until it returns. None: no texts are written.

    Yields:
      One event after another: `Started`, `Compiled`, then a `Progress` for each step, with `Evaluated`,
      `Sampled`, `Saved`, `Noted` and `Warned` in between, and at the end `Finished` or `Stopped`.

    Raises:
      ValueError: if the experiment contradicts itself, its data, its devices or the folder.
      WriteError: if a file cannot be written (`errno.ENOSPC`: the disk is full). Earlier checkpoints stay.
      TrainingError: if too many batches in a row were not finite.

    Example:
      >>> from jaxlm.training import Experiment, train
      >>> next(train(Experiment(), "/dev/null"))
      Traceback (most recent call last):
      jaxlm.errors.UsageError: /dev/null is a file: a run needs a folder of its own
    """
    with LogCollector() as collector:
        layout = local_layout(devices or None)
        yield from _run(experiment, Path(folder), resume, layout, collector, write_sample)


def _run(
    experiment: Experiment,
    folder: Path,
    resume: bool,
    layout: Layout,
    collector: LogCollector,
    write_sample: SampleWriter | None,
) -> Iterator[Event]:
    began = time.monotonic()
    check_run_folder(folder, experiment, resume=resume)
    _check_divides(experiment, layout)
    task = make_task(experiment)
    yield from _as_events(collector.take())
    with lock_run_folder(folder):
        # Another process may have begun a run here while this one prepared its data.
        begun = check_run_folder(folder, experiment, resume=resume)
        changes = _changes(folder, experiment) if begun else []
        clear_leftovers(folder)
        trainer = Trainer(experiment, task, folder, layout, write_sample)
        run = _train_in(trainer, experiment, task, folder, layout, began, changes if begun else None)
        yield from _with_log_messages(run, collector)


def _changes(folder: Path, experiment: Experiment) -> list[Change]:
    return find_changes(load_experiment(folder, objective=experiment.resolved_objective), experiment)[0]


def _train_in(
    trainer: Trainer,
    experiment: Experiment,
    task: Task,
    folder: Path,
    layout: Layout,
    began: float,
    changes: list[Change] | None,
) -> Iterator[Event]:
    """Trains to the end; `changes` are the fields changed by resuming, None for a new run."""
    try:
        # The folder is not touched before the checkpoint is known to belong to this data.
        yield from _restore(trainer, folder, changes)
        if changes is None:
            begin_run(folder, experiment)
        truncate_metrics(folder, trainer.step)
        if changes:
            # Before experiment.json is replaced, so that a kill in between leaves no change unrecorded.
            write_changes(folder, trainer.step, changes)
            begin_run(folder, experiment)
        task.tokenizer.save(folder / "tokenizer.json")
        started = _started(trainer, experiment, task, folder, layout)
        # Signals are caught from before the first event that says that there is something to save.
        with StopRequest() as stop:
            yield started
            yield from _run_to_end(trainer, experiment, task, folder, stop, began)
    finally:
        trainer.close()


def _run_to_end(
    trainer: Trainer, experiment: Experiment, task: Task, folder: Path, stop: StopRequest, began: float
) -> Iterator[Event]:
    yield from trainer.steps(stop)
    if not stop.requested():
        split, evaluation = yield from trainer.final_evaluation(stop)
    if stop.number is not None:
        yield Stopped(trainer.step, stop.number)
        return
    pretrained.save_model(
        folder,
        task.config,
        trainer.params(),
        task.tokenizer,
        kind=experiment.resolved_objective.kind,
        head=task.head,
        extra={"experiment": experiment.to_dict()} | task_classes(task),
    )
    yield Finished(trainer.step, str(folder), evaluation, split, time.monotonic() - began)


def _with_log_messages(events: Iterator[Event], collector: LogCollector) -> Iterator[Event]:
    """Yields the events, and before each of them the log messages since the last one.

    Messages of layers before `Started` are dropped: they come from the initialisation, whose shapes are not
    those of the run. So are those before `Sampled`, which come from the model as it writes.
    """
    without = LAYER_PACKAGES
    for event in events:
        is_sample = isinstance(event, Sampled)
        yield from _as_events(collector.take(without=LAYER_PACKAGES if is_sample else without))
        without = () if isinstance(event, Started) else without
        yield event


def _as_events(lines: list[tuple[int, str]]) -> Iterator[Event]:
    for level, line in lines:
        yield Warned(line) if level >= logging.WARNING else Noted(line)


def _restore(trainer: Trainer, folder: Path, changes: list[Change] | None) -> Iterator[Event]:
    """Restores the trainer from the last undamaged checkpoint, or initialises it."""
    checkpoint, lines = last_good(folder / CHECKPOINTS)
    yield from map(Warned, lines)
    if checkpoint is None:
        trainer.begin()
        if changes is not None and lines:
            yield Warned("no undamaged checkpoint is left: the run starts over")
    else:
        fields = {change.field for change in changes or ()}
        trainer.restore(checkpoint, has_moved="run.init" in fields)
        if lines:
            yield Warned(f"the run continues from checkpoint {checkpoint.step}")


def _started(trainer: Trainer, experiment: Experiment, task: Task, folder: Path, layout: Layout) -> Started:
    run, train_plan = experiment.run, task.splits["train"].plan
    return Started(
        folder=str(folder),
        params=models.num_params(task.config, experiment.resolved_objective.kind, task.head),
        step=trainer.step,
        steps=run.steps,
        tokens_per_step=run.batch_size * train_plan.row_length,
        devices=layout.describe(),
        epochs=run.steps * run.batch_size / train_plan.num_rows,
        notes=task.notes,
    )


def _check_divides(experiment: Experiment, layout: Layout) -> None:
    """Refuses a batch that cannot be divided over the devices and into micro-batches."""
    batch_size, accumulation = experiment.run.batch_size, experiment.optimizer.accumulation
    parts = len(layout.devices) * accumulation
    if batch_size % parts:
        raise ConfigError(
            f"run.batch_size is a multiple of {len(layout.devices)} devices x {accumulation} micro-batches: "
            f"got {batch_size}, take {max(1, batch_size // parts) * parts}"
        )
