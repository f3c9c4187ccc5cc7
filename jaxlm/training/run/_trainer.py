"""The trainer: the state of a run in this process, and its steps, evaluations and checkpoints."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxlm import data, models, pretrained, tokenizers
from jaxlm.devices import Layout, fetch, first_replica
from jaxlm.errors import UsageError, WorkError
from jaxlm.training.losses import unigram_log_probs
from jaxlm.training.run._checkpoints import (
    CHECKPOINTS,
    Checkpoint,
    CheckpointWriter,
    load_arrays,
)
from jaxlm.training.run._continuation import check_checkpoint, key_impl, remedy_after_divergence
from jaxlm.training.run._events import Compiled, Evaluated, Event, Progress, Sampled, Saved, Warned
from jaxlm.training.run._experiment import Experiment
from jaxlm.training.run._initial import init_fingerprint, initial_weights
from jaxlm.training.run._metrics import MetricsWindow, append_line
from jaxlm.training.run._signals import StopRequest
from jaxlm.training.run._task import Task, evaluation_setting, setting_of, task_classes
from jaxlm.training.step import (
    DETERMINISTIC,
    EvaluationResult,
    Evaluator,
    TrainState,
    compile_unless_cancelled,
    freeze,
    init_state,
    last_layers,
    make_optimizer,
    make_train_step,
    sample_rows_evenly,
)


class TrainingError(WorkError):
    """Training cannot continue. The message is one line and says what can be done."""


# Writes a text with a model, to show a person what it has learnt.
SampleWriter = Callable[[pretrained.Loaded], str]


class Trainer:
    """A run in this process: the training state on the devices, and counts and metrics on the host.

    Args:
      experiment: what to compute.
      task: its prepared data.
      folder: of the run.
      layout: of the devices.
      write_sample: writes a text after each evaluation on the validation split; None: nothing does.

    Attributes:
      step: batches consumed.
    """

    def __init__(
        self,
        experiment: Experiment,
        task: Task,
        folder: Path,
        layout: Layout,
        write_sample: SampleWriter | None = None,
    ) -> None:
        run, trained = experiment.run, last_layers(experiment.trained_depth, experiment.run.train_last)
        optimizer = make_optimizer(experiment.optimizer, run.steps, trained=trained)
        self.step = self._saved_step = 0
        self._run, self._task, self._folder, self._layout = run, task, folder, layout
        self._options = DETERMINISTIC if run.deterministic else {}
        self._learning_rate = experiment.optimizer.learning_rate
        self._objective = experiment.resolved_objective
        self._setting = setting_of(experiment, task, self._rows(experiment.optimizer.accumulation))
        self._model = models.build(task.config, self._objective.kind, task.head)
        self._init = partial(init_state, self._model, optimizer, jax.random.key(run.seed))
        self._initial = partial(initial_weights, experiment, task)
        self._train_step = layout.parallel(
            make_train_step(
                freeze(self._objective.bound(self._setting), trained),
                self._model.apply,
                optimizer,
                experiment.optimizer.schedule(run.steps),
                clip_norm=experiment.optimizer.clip_norm,
                accumulation=experiment.optimizer.accumulation,
            ),
            (False, True),
            is_reduced=True,
            donate=(0,),
        )
        self._evaluators = self._make_evaluators()
        self._writer = CheckpointWriter(
            folder / CHECKPOINTS, keep_last=run.keep_last, keep_best=run.keep_best
        )
        self._write_sample = write_sample
        self._state: TrainState | None = None
        self._init_fingerprint: str | None = None
        extra = {"experiment": experiment.to_dict()} | task_classes(task)
        self._describe = partial(
            pretrained.save_description,
            config=task.config,
            tokenizer=task.tokenizer,
            kind=self._objective.kind,
            head=task.head,
            extra=extra,
        )
        self._loaded = partial(
            pretrained.Loaded,
            task.config,
            self._objective.kind,
            self._model,
            tokenizer=task.tokenizer,
            extra=extra,
            head=task.head,
        )
        self._window, self._bad_steps, self._bad_in_row = MetricsWindow(), 0, 0
        self._owes_evaluation = self._owes_save = False
        self._pending: tuple[int, dict[str, Any]] | None = None
        self._clock: float | None = None

    def begin(self) -> None:
        """Sets the initial state: drawn parameters, or those of the model that `run.init` names."""
        state = self._init()
        if self._run.init is not None:
            begun = self._initial(state.params)
            state, self._init_fingerprint = state._replace(params=begun.params), begun.fingerprint
        self._state = self._layout.replicate(state)

    def restore(self, checkpoint: Checkpoint, *, has_moved: bool = False) -> None:
        """Restores parameters, optimiser and counts from a checkpoint.

        Args:
          checkpoint: of the run.
          has_moved: whether `run.init` is another path than when the run started.

        Raises:
          UsageError: if the checkpoint was made with other data, PRNG keys, classes or initial weights, or is
            beyond the run's steps.
        """
        check_checkpoint(checkpoint, self._task, self._folder, self._run.steps)
        self._init_fingerprint = checkpoint.meta.get("init")
        if has_moved and init_fingerprint(self._run.init, self._objective) != self._init_fingerprint:
            raise UsageError(
                f"run.init={self._run.init!r} does not hold the model that {self._folder} began with: leave "
                "it out to continue, or train in a new folder"
            )
        shapes = jax.eval_shape(self._init)
        arrays = load_arrays(checkpoint, _stored(shapes))
        state = TrainState(**arrays, rng=jax.random.key(self._run.seed))
        self._state = self._layout.replicate(state)
        self.step = self._saved_step = checkpoint.step
        self._bad_steps, self._bad_in_row = int(arrays["skipped"]), int(arrays["bad_in_row"])
        self._window = MetricsWindow(**checkpoint.meta["window"])
        # A signal saves at once, without the evaluation that may be due at this step: it is made up for now.
        unscored = checkpoint.meta["validation_loss"] is None
        self._owes_evaluation = unscored and self._is_due(self._run.eval_every)

    def steps(self, stop: StopRequest) -> Iterator[Event]:
        """Trains until the end of the run or a stop request, saves, and yields events.

        Args:
          stop: asks to stop after the current step.
        """
        if self._owes_evaluation:
            yield from self._pause(stop)
        with contextlib.closing(self._train_batches()) as batches:
            yield from self._train(batches, stop)
        yield from self._report()
        if self._saved_step < self.step:
            yield from self._pause(stop)
        yield from self._saved(wait=True)

    def _train_batches(self) -> Generator[data.Batch, None, None]:
        cache, plan = self._task.splits["train"]
        batches = data.Batches(cache, plan, batch_size=self._run.batch_size, seed=self._run.seed)
        return batches.iterate(self.step)

    def _train(self, batches: Iterator[data.Batch], stop: StopRequest) -> Iterator[Event]:
        train_step = None
        while self.step < self._run.steps and not stop.requested():
            batch = self._layout.divide(next(batches))
            if train_step is None:
                train_step = compile_unless_cancelled(
                    stop.requested, self._train_step, self._state, batch, options=self._options
                )
                if train_step is None:
                    return
                yield Compiled(self.step)
            self._state, metrics = train_step(self._state, batch)
            self.step += 1
            # The metrics of the step before are fetched while the devices compute this one.
            yield from self._report()
            self._pending = self.step, metrics
            yield from self._saved(wait=False)
            due = self._is_due(self._run.eval_every) or self._is_due(self._run.save_every)
            if due or self._owes_save:
                yield from self._pause(stop)

    def final_evaluation(self, stop: StopRequest) -> Iterator[Event]:
        """Evaluates the whole test split: yields the event, and returns the split's name and the evaluation.

        Args:
          stop: cancels the evaluation, which is then None.
        """
        evaluation = self._evaluate("test", stop)
        if evaluation is not None:
            append_line(self._folder, evaluation.line(self.step, "test"))
            yield Evaluated(self.step, "test", evaluation)
        return "test", evaluation

    def params(self) -> Any:
        """Returns the parameters on the host."""
        return fetch(self._running_state().params)

    def close(self) -> None:
        """Waits until a checkpoint that is being written is complete."""
        self._writer.close()

    def _is_due(self, every: int) -> bool:
        return self.step == self._run.steps or (every > 0 and self.step % every == 0)

    def _report(self) -> Iterator[Event]:
        """Fetches the metrics of the last step, unless that was done before, and yields `Progress`."""
        if self._pending is None:
            return
        (step, computed), self._pending = self._pending, None
        metrics = fetch(computed)
        now = time.monotonic()
        self._window = self._window.add(metrics, None if self._clock is None else now - self._clock)
        self._clock = now
        learning_rate = float(metrics["learning_rate"])
        self._bad_in_row = int(metrics["bad_in_row"])
        if metrics["bad"]:
            yield from self._report_bad_step(step)
        yield Progress(
            step=step,
            steps=self._run.steps,
            loss=self._window.loss,
            accuracy=self._window.accuracy,
            learning_rate=learning_rate,
            tokens_per_second=self._window.tokens_per_second,
            bad_steps=self._bad_steps,
        )
        if step % self._run.log_every == 0 or step == self._run.steps:
            append_line(self._folder, self._window.line(step, learning_rate))
            self._window = MetricsWindow()

    def _report_bad_step(self, step: int) -> Iterator[Event]:
        self._bad_steps += 1
        if self._bad_in_row >= self._run.max_bad_steps:
            good = step - self._bad_in_row
            remedy = remedy_after_divergence(self._folder, good, self._saved_step, self._learning_rate)
            raise TrainingError(
                f"{self._bad_in_row} batches in a row up to step {step} gave a loss or a gradient that is "
                f"not finite; {remedy}"
            )
        if self._bad_in_row == 1:
            yield Warned(f"the loss or the gradient of batch {step} is not finite: it changes no parameter")

    def _pause(self, stop: StopRequest) -> Iterator[Event]:
        """Evaluates if that is due, and saves.

        While batches are not finite nothing is saved before the end: the parameters may be the cause, and the
        earlier checkpoints are those from which to continue with a lower rate.
        """
        yield from self._report()
        loss = None
        if not stop.requested() and self._is_due(self._run.eval_every):
            evaluation = self._evaluate("validation", stop, most=self._run.eval_batches)
            if evaluation is not None:
                append_line(self._folder, evaluation.line(self.step, "validation"))
                yield Evaluated(self.step, "validation", evaluation)
                loss = evaluation.loss if math.isfinite(evaluation.loss) else None
                yield from self._sample()
        is_last = stop.requested() or self.step == self._run.steps
        self._owes_save = self._bad_in_row > 0 and not is_last
        if self._owes_save:
            return
        meta = {
            "validation_loss": loss,
            "window": self._window._asdict(),
            "data": self._task.fingerprint,
            "classes": list(self._task.label_names),
            "keys": key_impl(),
            "init": self._init_fingerprint,
        }
        self._saved_step = self.step
        done = self._writer.save(self.step, fetch(_stored(self._running_state())), meta, add=self._describe)
        yield from (Saved(one.step, str(one.folder)) for one in done)
        self._clock = time.monotonic()

    def _sample(self) -> Iterator[Event]:
        """Writes a text with the present model, and yields the event."""
        if self._write_sample is None:
            return
        text = self._write_sample(self._loaded(params=first_replica(self._running_state().params)))
        append_line(self._folder, {"step": self.step, "sample": text})
        yield Sampled(self.step, text)

    def _saved(self, *, wait: bool) -> Iterator[Event]:
        yield from (Saved(one.step, str(one.folder)) for one in self._writer.finished(wait=wait))

    def _eval_batches(self, split: str, most: int) -> Iterator[data.Batch]:
        cache, plan = self._task.splits[split]
        size = self._run.batch_size
        return data.eval_batches(cache, sample_rows_evenly(plan, most * size), size)

    def _make_evaluators(self) -> dict[str, Evaluator]:
        task, objective, held_out = self._task, self._objective, ("validation", "test")
        unigrams = None
        if objective.kind.question is not None:
            forbidden = tokenizers.special_mask(task.tokenizer, task.config.vocab_size)
            train = task.splits["train"].cache
            unigrams = unigram_log_probs(train, forbidden, unless_seen=objective.kind.causal)
        # One program evaluates both splits of a language model; labels are constants of a program.
        together = [("test",), ("validation",)] if objective.labels else [held_out]
        evaluators = {}
        for names in together:
            splits, is_noisy = [task.splits[name] for name in names], objective.noise_rate > 0
            setting = evaluation_setting(self._setting, splits, self._rows(1), is_noisy=is_noisy)
            loss = objective.bound(setting, log_unigrams=unigrams)
            evaluator = Evaluator(loss, self._model.apply, self._layout, options=self._options)
            evaluators |= dict.fromkeys(names, evaluator)
        return evaluators

    def _evaluate(self, split: str, stop: StopRequest, *, most: int = 0) -> EvaluationResult | None:
        """Returns the scores on at most `most` batches of a split; 0: all of it."""
        task, objective = self._task, self._objective
        setting = self._setting._replace(splits=(task.splits[split],))
        means = objective.summary(setting, train=task.splits["train"].cache, is_whole=not most)
        return self._evaluators[split](
            self._running_state().params,
            self._eval_batches(split, most),
            summarize=means,
            cancelled=stop.requested,
        )

    def _running_state(self) -> TrainState:
        if self._state is None:
            raise AssertionError("a trainer has no state before begin() or restore()")
        return self._state

    def _rows(self, parts: int) -> int:
        """Returns the rows of a micro-batch on one device, if its share of a batch has `parts` of them."""
        return self._run.batch_size // (len(self._layout.devices) * parts)


def _stored(state: TrainState) -> dict[str, Any]:
    """Returns the fields of a state that a checkpoint stores: all but the key, which the seed gives."""
    return {name: value for name, value in state._asdict().items() if name != "rng"}
