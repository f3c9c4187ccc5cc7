"""What a run trains, as a record."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from jaxlm import models
from jaxlm.errors import ConfigError
from jaxlm.training.losses import (
    HeadSums,
    LossFunction,
    LossInputs,
    Setting,
    loss_function,
    token_evaluation,
    token_loss,
    token_summary,
    with_unigrams,
)

# Fields of an experiment that objectives read or not.
READ_FIELDS = frozenset({"input_noise", "target_noise", "spans", "label_smoothing", "z_loss"})


def _as_it_is(setting: Setting) -> Setting:
    return setting


def _no_check(experiment: Any) -> None:
    del experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """What a run trains: a kind of model, what it reads and predicts of a batch, its loss and its scores.

    One of your own goes wherever a name of `OBJECTIVES` does: `Experiment(objective=...)`, `evaluate`.

    Attributes:
      name: what experiment.json calls it; one of your own has a name that is not in `OBJECTIVES`.
      kind: of the model.
      prepare: `prepare(rng, batch, step, plan) -> LossInputs`, compiled with the step. `rng` is the run's key
        of masks, the same at every step: what is drawn belongs to (epoch, example, offset), so that batches,
        devices and resuming change no draw. `step` counts batches, and is 0 in evaluations.
      loss: `loss(head: HeadCall, inputs, config)`, the sum `loss_sum`, each loss times its weight, and
        further sums by name, of what the model made of `inputs`; `config` is the experiment's `LossConfig`.
      evaluation: the same in evaluations, where more may be counted. None: `token_evaluation` where `loss` is
        `token_loss`, else `loss`.
      plan: makes the last argument of `prepare` of a `Setting`; by default that is the setting itself.
      check: refuses with a ConfigError an experiment that contradicts the objective.
      summary: `summary(setting, *, train, is_whole)` makes a function of an evaluation's sums over a split to
        the scores that are shown and written.
      labels: which labels of records it learns: "classes", "numbers", or None for none.
      noise_rate: the share of tokens to corrupt where the experiment gives none. Above 0, corrupting the text
        is part of the objective, and evaluations do it as well; else they read clean text.
      reads: which of `READ_FIELDS` it reads; options that are not read are refused.
      reference: where it can be imported from, "module:NAME", for whoever opens its run without having it at
        hand; None: it is given, by the experiment's file.

    Raises:
      ConfigError: if the name is empty or the reference is none.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.training import Objective, token_loss
      >>> from jaxlm.training import prepare_next
      >>> objective = Objective(name="clean", kind=models.CAUSAL_LM, prepare=prepare_next, reads=frozenset())
      >>> objective.loss is token_loss, objective.labels
      (True, None)
    """

    name: str
    kind: models.ModelKind
    prepare: Callable[..., LossInputs]
    loss: HeadSums = token_loss
    evaluation: HeadSums | None = None
    plan: Callable[[Setting], Any] = _as_it_is
    check: Callable[[Any], None] = _no_check
    summary: Callable[..., Callable[..., Any]] = token_summary
    labels: Literal["classes", "numbers"] | None = None
    noise_rate: float = 0.0
    reads: frozenset[str] = READ_FIELDS
    reference: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"an objective has a name: got {self.name!r}")
        if self.reference is not None and self.reference.count(":") != 1:
            raise ConfigError(f"a reference is module:NAME: got {self.reference!r}")
        if not isinstance(self.kind, models.ModelKind):
            raise ConfigError(f"an objective trains a ModelKind: got {self.kind!r}")

    def bound(self, setting: Setting, *, log_unigrams: np.ndarray | None = None) -> LossFunction:
        """Returns the loss on a model and its data, as a step differentiates or an evaluation sums it.

        Args:
          setting: model and data.
          log_unigrams: of a baseline, see `token_loss_function`.

        Raises:
          ValueError: if there is nothing to predict, or the setting contradicts the objective.
        """
        plan, sums = self.plan(setting), self.loss
        if setting.is_evaluation:
            usual = token_evaluation if self.loss is token_loss else self.loss
            sums = self.evaluation or usual
        return loss_function(
            lambda rng, batch, step: self.prepare(rng, batch, step, plan),
            with_unigrams(partial(sums, config=setting.loss), log_unigrams),
            deterministic=setting.is_evaluation,
            splits_dropout=self.kind.sequence_outputs,
        )
