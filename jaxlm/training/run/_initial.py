"""Runs that start from a pretrained model: which weights they take, and what has to match."""

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
# Fields of the model's config that may differ: they do not change what the weights mean.
MAY_DIFFER = (
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
# A far lower learning rate than for training from scratch: the weights should stay near the model's.
FINE_TUNING = OptimizerConfig(learning_rate=5e-5, warmup=0.1)


def experiment_from_model(
    name: str, experiment: Experiment | None = None, *, objective: str | None = None
) -> Experiment:
    """Returns the experiment that trains a model further: with its transformer, tokenizer and objective.

    An experiment of classification or regression keeps its own objective, and its head is drawn anew. If the
    experiment leaves the head as it is by default and the model is a Hugging Face model, the head is that of
    its family's class for sequence classification, so that `convert` can write the trained model. A body
    without a head is trained as a causal LM if it is causal, else as a masked LM.

    Args:
      name: the pretrained model: a folder, or any other name that `pretrained.load` takes.
      experiment: the data, optimiser and length of the run. None: the default experiment, with a learning
        rate of 5e-5.
      objective: the name of the objective in place of the experiment's; None: the experiment's.

    Raises:
      ModelNotFoundError: if there is no model of this name.
      ModelError: if the model cannot be read.
      ConfigError: if the model has no tokenizer, or is an encoder-decoder and the objective is for another
        kind of model.
    """
    experiment = experiment or Experiment(optimizer=FINE_TUNING)
    if objective is not None:
        experiment = dataclasses.replace(experiment, objective=objective)
    trained = experiment.resolved_objective
    model = pretrained.inspect(name, kind=_own_kind(name, trained))
    folder, config = os.path.abspath(model.folder), model.config
    own = model.kind
    if own.head is None:
        own = models.CAUSAL_LM if config.causal else models.MASKED_LM
    if trained.name in OBJECTIVES and not trained.labels:
        trained = objective_of(own) or trained
    if model.kind.encoder and not trained.kind.encoder:
        raise ConfigError(
            f"{name} is an encoder-decoder and is trained as one: got objective={trained.name!r}; leave it "
            "out, or take a masked or causal LM"
        )
    head = model.head if trained.kind == model.kind and model.head is not None else experiment.head
    if trained.kind.sequence_outputs and head == models.HeadConfig():
        head = model.usual_head or head
    tokenizer = _tokenizer(model.folder)
    # For an encoder-decoder the tokenizer's file decides, which may put nothing around a text.
    may_end = trained.kind.encoder or tokenizer.specials.ends is not None
    rows = experiment.data.row_length
    rows = min(rows, config.max_length) if isinstance(config.position, models.TABLE_POSITIONS) else rows
    return dataclasses.replace(
        experiment,
        objective=trained,
        data=dataclasses.replace(
            experiment.data, row_length=rows, ends=may_end and pretrained.has_end_tokens(model.extra)
        ),
        tokenizer=tokenizers.TokenizerConfig(path=folder, rows=config.vocab_size),
        model=dataclasses.replace(config, param_dtype="float32"),
        head=head,
        run=dataclasses.replace(experiment.run, init=folder),
    )


class InitialWeights(NamedTuple):
    """The initial parameters of a run that starts from a pretrained model.

    Attributes:
      params: the run's parameters.
      fingerprint: of the pretrained model's weights.
    """

    params: dict[str, Any]
    fingerprint: str


def init_fingerprint(name: str | None, objective: Objective) -> str | None:
    """Returns the `InitialWeights.fingerprint` of a model; None where no model is named."""
    return name and pretrained.weights_fingerprint(_opened(name, objective).params)


def initial_params(experiment: Experiment, task: Task, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's initial parameters: the pretrained model's, completed by randomly drawn ones.

    The body is the pretrained model's. The head is the pretrained model's if it was trained with the same
    objective; else it is drawn, but for layers that a Hugging Face folder has (`pretrained.head_start`).

    Args:
      experiment: the experiment of the run; its `run.init` names the pretrained model.
      task: the experiment's prepared data.
      drawn: randomly drawn parameters of the run's model, which are used where the pretrained model has none.

    Raises:
      ConfigError: if the run's transformer or tokenizer differs from the pretrained model's.
    """
    return initial_weights(experiment, task, drawn).params


def initial_weights(experiment: Experiment, task: Task, drawn: Mapping[str, Any]) -> InitialWeights:
    """Returns the parameters of `initial_params`, and the fingerprint of the pretrained model's weights.

    Args:
      experiment: see `initial_params`.
      task: see `initial_params`.
      drawn: see `initial_params`.

    Raises:
      ConfigError: if the run's transformer or tokenizer differs from the pretrained model's.
    """
    name = experiment.run.init
    if name is None:
        raise ConfigError("run.init names the model that a run goes on from: got None")
    loaded = _opened(name, experiment.resolved_objective)
    where = f"run.init={name!r}"
    differ = io.differences(_defining_fields(loaded.config), _defining_fields(task.config))[:5]
    if differ:
        raise ConfigError(
            f"{where} is another transformer, the fields that differ (there and here): {'; '.join(differ)}; "
            "leave them out to take those of the model"
        )
    if loaded.tokenizer is not None and loaded.tokenizer != task.tokenizer:
        raise ConfigError(
            f"{where} was trained with another tokenizer; leave tokenizer.path out to take its own"
        )
    params = _stacked_as(loaded.params, loaded.config, task.config)
    head = _head(loaded, params, experiment.resolved_objective.kind)
    head = _begun_head(name, loaded, task, drawn) if head is None else head
    if head is None:
        reason = "is a body" if loaded.kind.head is None else f"was trained as {loaded.kind.name}"
        LOG.info("the head is drawn: %s %s", name, reason)
    bodies = {name: params[name] for name in models.BODIES if name in params}
    begun = {**drawn, **bodies, **(head or {})}
    _check_same_shapes(where, begun, drawn)
    return InitialWeights(begun, pretrained.weights_fingerprint(loaded.params))


def _opened(name: str, objective: Objective) -> pretrained.Loaded:
    return pretrained.load(name, dtype="float32", kind=_own_kind(name, objective))


def _own_kind(name: str, objective: Objective) -> models.ModelKind | None:
    """Returns the objective's kind where it is not in `KINDS` and the model's files name it; else None."""
    is_own = objective.kind.name not in models.KINDS
    return objective.kind if is_own and pretrained.kind_name(name) == objective.kind.name else None


def _tokenizer(folder: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.load_tokenizer(folder)
    except FileNotFoundError as error:
        raise ConfigError(f"a run that starts from a model needs the model's tokenizer: {error}") from error


def _defining_fields(config: models.TransformerConfig) -> dict[str, Any]:
    values = models.to_dict(config.resolved())
    return {name: value for name, value in values.items() if name not in MAY_DIFFER}


def _stacked_as(
    params: dict[str, Any], there: models.TransformerConfig, here: models.TransformerConfig
) -> dict[str, Any]:
    if there.scan_layers == here.scan_layers:
        return params
    return models.stack_blocks(params) if here.scan_layers else models.unstack_blocks(params)


def _head(
    loaded: pretrained.Loaded, params: Mapping[str, Any], kind: models.ModelKind
) -> dict[str, Any] | None:
    """Returns the model's parameters outside its body if they are a head of this kind, else None."""
    if isinstance(loaded.head, Mapping):
        named = [name for name, head in loaded.head.items() if head == kind.name]
        if len(named) != 1:
            return None
        params = models.head_params(params, named[0])
    elif loaded.kind != kind:
        return None
    # A tied output without a bias has no parameters of its own.
    return {name: tree for name, tree in params.items() if name not in models.BODIES}


def _begun_head(
    name: str, loaded: pretrained.Loaded, task: Task, drawn: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Returns a drawn sequence head with the layers that a Hugging Face folder has; None if it has none."""
    if not isinstance(task.head, models.HeadConfig) or "huggingface" not in loaded.extra:
        return None
    layers = pretrained.head_start(name, task.head)
    if not layers:
        return None
    LOG.info("the head begins with layers of %s: %s", name, ", ".join(layers))
    return {"head": {**drawn["head"], **layers}}


def _check_same_shapes(where: str, begun: Mapping[str, Any], drawn: Mapping[str, Any]) -> None:
    shapes = [jax.tree.map(lambda leaf: leaf.shape, dict(tree)) for tree in (begun, drawn)]
    differ = io.differences(*shapes)[:3]
    if differ:
        raise ConfigError(f"{where} has another head (there and here): {'; '.join(differ)}; leave head out")
