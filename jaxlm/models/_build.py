"""From a config and an objective to a module."""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from jaxlm.errors import ConfigError
from jaxlm.models._body_model import BodyModel
from jaxlm.models._config import TransformerConfig
from jaxlm.models._head_config import HeadConfig
from jaxlm.models._language_models import CausalLM, MaskedLM
from jaxlm.models._multi_head import HeadKind, MultiHeadModel, check_head_kinds
from jaxlm.models._seq2seq import Seq2SeqLM
from jaxlm.models._sequence_model import SequenceModel

ObjectiveName = Literal[
    "masked_lm", "causal_lm", "seq2seq_lm", "classification", "regression", "joint", "body"
]
Model = MaskedLM | CausalLM | Seq2SeqLM | SequenceModel | MultiHeadModel | BodyModel
Heads = HeadConfig | Mapping[str, HeadKind] | None

MODELS = {
    "masked_lm": MaskedLM,
    "causal_lm": CausalLM,
    "seq2seq_lm": Seq2SeqLM,
    "classification": SequenceModel,
    "regression": SequenceModel,
    "joint": MultiHeadModel,
    "body": BodyModel,
}


def build(config: TransformerConfig, objective: ObjectiveName = "masked_lm", head: Heads = None) -> Model:
    """Returns the model of a config and an objective.

    Args:
      config: its `causal` must agree with the objective, and its `vocab_size` be known.
      objective: "masked_lm", "causal_lm" or "seq2seq_lm" (no `head`), "classification" or "regression" (a
        `HeadConfig` with `num_outputs`), "joint" (a mapping of names to "masked_lm", "causal_lm" or a
        `HeadConfig`), or "body" (no head at all: hidden states).
      head: what the objective asks for beside the config.

    Raises:
      ConfigError: if the objective is unknown or contradicts config or head, or `vocab_size` is None.

    Example:
      >>> type(build(TransformerConfig(vocab_size=7), "masked_lm")).__name__
      'MaskedLM'
      >>> build(TransformerConfig(vocab_size=7), "regression", HeadConfig(num_outputs=1)).head_config.pooling
      'mean'
    """
    if objective not in MODELS:
        raise ConfigError(f"objective must be one of {', '.join(MODELS)}: got {objective!r}")
    if config.vocab_size is None:
        raise ConfigError("a model needs vocab_size: got None; set it, or let training take the tokenizer's")
    if objective == "body":
        if head is not None:
            raise ConfigError(f"objective='body' has no head: got {head}; leave head out")
        return BodyModel(config)
    if MODELS[objective] in (MaskedLM, CausalLM, Seq2SeqLM):
        if head is not None:
            raise ConfigError(f"objective={objective!r} has a head of its own: got {head}; leave head out")
        model = MODELS[objective](config)
        model._check()
        return model
    wanted = Mapping if objective == "joint" else HeadConfig
    if not isinstance(head, wanted):
        told = "a mapping of names to heads" if objective == "joint" else "a HeadConfig"
        raise ConfigError(f"objective={objective!r} takes {told} as head: got {head!r}")
    if objective == "joint":
        check_head_kinds(config, head)
    elif head.num_outputs is None:
        raise ConfigError(
            "a sequence head needs num_outputs: got None; set it, or let training take it from the labels"
        )
    return MODELS[objective](config, head)


def num_params(config: TransformerConfig, objective: ObjectiveName = "masked_lm", head: Heads = None) -> int:
    """Returns the number of parameters, the head's included; nothing is allocated.

    Example:
      >>> num_params(TransformerConfig(vocab_size=10, width=8, depth=1, num_heads=1, max_length=4))
      1098
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(build(config, objective, head).init, jax.random.key(0), tokens)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
