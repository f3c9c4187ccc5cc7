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
from jaxlm.training.run._events import Event, Finished, Noted, Started, Stopped, Warned
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
from jaxlm.training.run._trainer import Trainer

# The rooms whose modules say what a layer is computed with.
LAYERS = ("jaxlm.ops", "jaxlm.models")


def train(
    experiment: Experiment,
    folder: str | os.PathLike,
    *,
    resume: bool = False,
    devices: Sequence[jax.Device] | None = None,
) -> Iterator[Event]:
    """Trains and yields what happens; draining it runs the training.

    The folder gets experiment.json, tokenizer.json, metrics.jsonl and checkpoints/ while training,
    config.json and model.safetensors at its end. SIGTERM or SIGINT (in the main thread) ends it after the
    step at hand, or while a program is compiled, with a checkpoint of what is not saved yet and `Stopped`. A
    run that was cut off, even by a kill, goes on with `resume=True` from its last good checkpoint, on a CPU
    to the same parameters, bit for bit, as if it had not been. (A GPU adds in an order of its own at each
    run, unless `run.deterministic` is set.)

    A run goes on with other `run.steps`, another learning rate, its decay, weight decay and intervals, and
    with data and an `init` of the same content at another place; metrics.jsonl has a line for each change,
    and the schedule is that of the new settings from the step at which it goes on.

    Args:
      experiment: what to compute.
      folder: of the run; missing or empty, unless `resume`.
      resume: go on with the run in `folder`; one that is empty is begun.
      devices: local devices to divide the batches over; None: all.

    Yields:
      `Started`, `Compiled`, then `Progress` for each step with `Evaluated`, `Saved`, `Noted` and `Warned` in
      between, and last `Finished` or `Stopped`.

    Raises:
      ValueError: if the experiment contradicts itself, its data, its devices or the folder.
      WriteError: if a file cannot be written; `errno.ENOSPC` for no room on disk. Earlier checkpoints stay.
      TrainingError: if too many batches in a row were not finite.

    Example:
      >>> from jaxlm.training import Experiment, train
      >>> next(train(Experiment(), "/dev/null"))
      Traceback (most recent call last):
      jaxlm.errors.UsageError: /dev/null is a file: a run needs a folder of its own
    """
    with LogCollector() as said:
        yield from _run(experiment, Path(folder), resume, local_layout(devices or None), said)


def _run(
    experiment: Experiment, folder: Path, resume: bool, layout: Layout, said: LogCollector
) -> Iterator[Event]:
    began = time.monotonic()
    check_run_folder(folder, experiment, resume=resume)
    _check_divides(experiment, layout)
    task = make_task(experiment)
    yield from _told(said.take())
    with lock_run_folder(folder):
        # Another process may have begun a run here while this one prepared its data.
        begun = check_run_folder(folder, experiment, resume=resume)
        changes = _changes(folder, experiment) if begun else []
        clear_leftovers(folder)
        run = _trained(experiment, task, folder, layout, began, changes if begun else None)
        yield from _with_log_messages(run, said)


def _changes(folder: Path, experiment: Experiment) -> list[Change]:
    return find_changes(load_experiment(folder, objective=experiment.resolved_objective), experiment)[0]


def _trained(
    experiment: Experiment,
    task: Task,
    folder: Path,
    layout: Layout,
    began: float,
    changes: list[Change] | None,
) -> Iterator[Event]:
    """Trains to the end; `changes` are those of a run that is gone on with, None for one that begins."""
    trainer = Trainer(experiment, task, folder, layout)
    try:
        # Nothing in the folder changes before the checkpoint is known to be of this data.
        yield from _restored(trainer, folder, changes)
        if changes is None:
            begin_run(folder, experiment)
        truncate_metrics(folder, trainer.step)
        if changes:
            # Before the experiment that has them, so that a kill between the two leaves none untold.
            write_changes(folder, trainer.step, changes)
            begin_run(folder, experiment)
        task.tokenizer.save(folder / "tokenizer.json")
        started = _started(trainer, experiment, task, folder, layout)
        # From before the first event that says that there is something to save.
        with StopRequest() as stop:
            yield started
            yield from _to_the_end(trainer, experiment, task, folder, stop, began)
    finally:
        trainer.close()


def _to_the_end(
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


def _with_log_messages(events: Iterator[Event], said: LogCollector) -> Iterator[Event]:
    """Yields the events, and before each what was said since the one before.

    What layers say before `Started` is of the shapes that parameters are drawn with, not of the run's.
    """
    left_out = LAYERS
    for event in events:
        yield from _told(said.take(without=left_out))
        left_out = () if isinstance(event, Started) else left_out
        yield event


def _told(lines: list[tuple[int, str]]) -> Iterator[Event]:
    for level, line in lines:
        yield Warned(line) if level >= logging.WARNING else Noted(line)


def _restored(trainer: Trainer, folder: Path, changes: list[Change] | None) -> Iterator[Event]:
    """Puts the trainer where the last good checkpoint was, or at the beginning."""
    checkpoint, lines = last_good(folder / CHECKPOINTS)
    yield from map(Warned, lines)
    if checkpoint is None:
        trainer.begin()
        if changes is not None and lines:
            yield Warned("no good checkpoint is left: the run starts over")
    else:
        fields = {change.field for change in changes or ()}
        trainer.restore(checkpoint, has_moved="run.init" in fields)
        if lines:
            yield Warned(f"the run goes on from checkpoint {checkpoint.step}")


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
