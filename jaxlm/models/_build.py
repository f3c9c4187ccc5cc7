"""Builds a model from a config and a kind."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm.models._config import TransformerConfig
from jaxlm.models._kinds import Heads, as_kind
from jaxlm.models._model_kind import MASKED_LM, KindOrName


def build(config: TransformerConfig, kind: KindOrName = MASKED_LM, head: Heads = None) -> nn.Module:
    """Returns the model, a linen module, for a config and a kind of model.

    Args:
      config: the config of the transformer. Its `vocab_size` is known and its `causal` fits the kind.
      kind: a `ModelKind`, or the name of one: "masked_lm", "causal_lm" or "seq2seq_lm" (without `head`),
        "classification" or "regression" (with a `HeadConfig`), "joint" (with a mapping from names to
        "masked_lm", "causal_lm" or a `HeadConfig`), or "body" (hidden states only, without `head`).
      head: the config of the head: None, a `HeadConfig` or a mapping, as the kind needs it.

    Raises:
      ConfigError: if the kind is unknown or contradicts config or head, or `vocab_size` is None.

    Example:
      >>> from jaxlm.models import TransformerConfig, build
      >>> type(build(TransformerConfig(vocab_size=7), "masked_lm")).__name__
      'MaskedLM'
      >>> from jaxlm.models import HeadConfig
      >>> build(TransformerConfig(vocab_size=7), "regression", HeadConfig(num_outputs=1)).head_config.pooling
      'mean'
    """
    kind = as_kind(kind)
    config.required_vocab_size()
    return kind.make(config, head)


def num_params(config: TransformerConfig, kind: KindOrName = MASKED_LM, head: Heads = None) -> int:
    """Returns the number of parameters, including the head's, without allocating them.

    Args:
      config: the config of the transformer, with a known `vocab_size`.
      kind: the kind of model, a `ModelKind` or a name such as "masked_lm".
      head: the config of the head: None, a `HeadConfig` or a mapping, as the kind needs it.

    Example:
      >>> from jaxlm.models import TransformerConfig, num_params
      >>> num_params(TransformerConfig(vocab_size=10, width=8, depth=1, num_heads=1, max_length=4))
      1098
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(build(config, kind, head).init, jax.random.key(0), tokens)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
