"""Runs that go on from a model: what they take of it, and what must be the same."""

import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxlm import io, models, pretrained, tokenizers
from jaxlm.errors import ConfigError
from jaxlm.training.objectives import OBJECTIVES, Objective, objective_of
from jaxlm.training.run._experiment import Experiment
from jaxlm.training.run._task import Task
from jaxlm.training.step import OptimizerConfig

LOG = logging.getLogger(__name__)
# Fields that change how a model is trained or computed, and nothing of what it is.
FREE = (
    "embedding_dropout",
    "attention_dropout",
    "attention_output_dropout",
    "mlp_dropout",
    "init_std",
    "dtype",
    "param_dtype",
    "scan_layers",
    "remat",
    "attention_implementation",
    "require_fused",
)
# Far below what a model is trained from nothing with: it should stay near what it has learned.
FINE_TUNING = OptimizerConfig(learning_rate=5e-5, warmup=0.1)


def experiment_from_model(name: str, experiment: Experiment | None = None) -> Experiment:
    """Returns the experiment that goes on from a model: its transformer, its tokenizer, its objective.

    An experiment of classification or regression keeps its objective, and draws its head. So does one that
    goes on from a body without a head, which otherwise becomes a masked LM, or a causal one if it is causal.

    Args:
      name: the model, as for `pretrained.load`.
      experiment: data, optimiser and length of the run; None: the default with a learning rate of 5e-5.

    Raises:
      ModelNotFoundError: if there is no model.
      ModelError: if it cannot be read.
      ConfigError: if it has no tokenizer, or is an encoder-decoder where labels are asked for.
    """
    experiment = experiment or Experiment(optimizer=FINE_TUNING)
    objective = experiment.resolved_objective
    found = pretrained.inspect(name, kind=_own_kind(name, objective))
    folder, config = os.path.abspath(found.folder), found.config
    own = found.kind
    if own.head is None:
        own = models.CAUSAL_LM if config.causal else models.MASKED_LM
    if objective.name in OBJECTIVES and not objective.labels:
        objective = objective_of(own) or objective
    if found.kind.encoder and not objective.kind.encoder:
        raise ConfigError(
            f"{name} is an encoder-decoder and goes on as one: got objective={objective.name!r}; leave it "
            "out, or take a masked or causal LM"
        )
    head = found.head if objective.kind == found.kind and found.head is not None else experiment.head
    tokenizer = _tokenizer(found.folder)
    # What an encoder-decoder's file puts around a text may be nothing, as it is elsewhere then.
    may_end = objective.kind.encoder or tokenizer.specials.ends is not None
    rows = experiment.data.row_length
    rows = min(rows, config.max_length) if isinstance(config.position, models.TABLE_POSITIONS) else rows
    return dataclasses.replace(
        experiment,
        objective=objective,
        data=dataclasses.replace(
            experiment.data, row_length=rows, ends=may_end and pretrained.has_end_tokens(found.extra)
        ),
        tokenizer=tokenizers.TokenizerConfig(path=folder, rows=config.vocab_size),
        model=dataclasses.replace(config, param_dtype="float32"),
        head=head,
        run=dataclasses.replace(experiment.run, init=folder),
    )


class InitialWeights(NamedTuple):
    """What a run begins with.

    Attributes:
      params: its parameters.
      fingerprint: of the weights of the model that they were taken from.
    """

    params: dict[str, Any]
    fingerprint: str


def init_fingerprint(name: str | None, objective: Objective) -> str | None:
    """Returns the `InitialWeights.fingerprint` of a model; None where no model is named."""
    return name and pretrained.weights_fingerprint(_opened(name, objective).params)


def initial_params(experiment: Experiment, task: Task, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters that a run begins with: the model's, and drawn ones where it has none.

    The body is the model's; so is the head, if it was trained with the same objective.

    Args:
      experiment: `run.init` names the model.
      task: what the experiment means on its data.
      drawn: parameters of the run's own model.

    Raises:
      ValueError: if the run's transformer or its tokenizer is not the model's.
    """
    return initial_weights(experiment, task, drawn).params


def initial_weights(experiment: Experiment, task: Task, drawn: Mapping[str, Any]) -> InitialWeights:
    """Returns what `initial_params` does, and the fingerprint of the model's weights."""
    name = experiment.run.init
    if name is None:
        raise ConfigError("run.init names the model that a run goes on from: got None")
    loaded = _opened(name, experiment.resolved_objective)
    where = f"run.init={name!r}"
    found = io.differences(_essence(loaded.config), _essence(task.config))[:5]
    if found:
        raise ConfigError(
            f"{where} is another transformer, the fields that differ (there and here): {'; '.join(found)}; "
            "leave them out to take the model's"
        )
    if loaded.tokenizer is not None and loaded.tokenizer != task.tokenizer:
        raise ConfigError(
            f"{where} was trained with another tokenizer; leave tokenizer.path out to take its own"
        )
    params = _stacked_as(loaded.params, loaded.config, task.config)
    head = _head(loaded, params, experiment.resolved_objective.kind)
    if head is None:
        told = "is a body" if loaded.kind.head is None else f"was trained as {loaded.kind.name}"
        LOG.info("the head is drawn: %s %s", name, told)
    bodies = {name: params[name] for name in models.BODIES if name in params}
    begun = {**drawn, **bodies, **(head or {})}
    _check_same_shapes(where, begun, drawn)
    return InitialWeights(begun, pretrained.weights_fingerprint(loaded.params))


def _opened(name: str, objective: Objective) -> pretrained.Loaded:
    return pretrained.load(name, dtype="float32", kind=_own_kind(name, objective))


def _own_kind(name: str, objective: Objective) -> models.ModelKind | None:
    """The objective's kind, where a model's files name it and it is none of ours."""
    is_own = objective.kind.name not in models.KINDS
    return objective.kind if is_own and pretrained.kind_name(name) == objective.kind.name else None


def _tokenizer(folder: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.load(folder)
    except FileNotFoundError as error:
        raise ConfigError(f"a run goes on with its model's own tokenizer: {error}") from error


def _essence(config: models.TransformerConfig) -> dict[str, Any]:
    values = models.to_dict(config.resolved())
    return {name: value for name, value in values.items() if name not in FREE}


def _stacked_as(
    params: dict[str, Any], there: models.TransformerConfig, here: models.TransformerConfig
) -> dict[str, Any]:
    if there.scan_layers == here.scan_layers:
        return params
    return models.stack_blocks(params) if here.scan_layers else models.unstack_blocks(params)


def _head(
    loaded: pretrained.Loaded, params: Mapping[str, Any], kind: models.ModelKind
) -> dict[str, Any] | None:
    """What the model has beside its body, if that is a head of this kind; None where it is not."""
    if isinstance(loaded.head, Mapping):
        named = [name for name, head in loaded.head.items() if head == kind.name]
        if len(named) != 1:
            return None
        params = models.head_params(params, named[0])
    elif loaded.kind != kind:
        return None
    # A tied output without a bias has no parameters of its own.
    return {name: tree for name, tree in params.items() if name not in models.BODIES}


def _check_same_shapes(where: str, begun: Mapping[str, Any], drawn: Mapping[str, Any]) -> None:
    shapes = [jax.tree.map(lambda leaf: leaf.shape, dict(tree)) for tree in (begun, drawn)]
    found = io.differences(*shapes)[:3]
    if found:
        raise ConfigError(f"{where} has another head (there and here): {'; '.join(found)}; leave head out")
