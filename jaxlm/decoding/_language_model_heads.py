"""Heads of language models by name: GPT-2's, BERT's, and one linear map."""

import difflib
from typing import Any

import flax.linen as nn

from jaxlm import models
from jaxlm.errors import UsageError

# By name: the parts of a head, and the published sizes if there are any.
HEADS: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 50257, "width": 768, "head": "linear", "head_bias": False},
    "bert": {
        "vocab_size": 30522,
        "width": 768,
        "head": models.TransformHead(activation="gelu", epsilon=1e-12),
        "head_bias": True,
    },
    "linear": {"vocab_size": None, "width": None, "head": "linear", "head_bias": True},
}


def language_model_head(
    name: str,
    *,
    vocab_size: int | None = None,
    width: int | None = None,
    table_owner: nn.Module | None = None,
) -> models.TokenHead:
    """Returns a head: a module that maps vectors `[... D]` to float32 logits `[... V]`.

    "gpt2" is `vectors @ kernel.T`; "bert" is `norm(gelu(dense(vectors))) @ kernel.T + bias`, with the exact
    GELU and a LayerNorm of epsilon 1e-12; "linear" is `vectors @ kernel.T + bias`. The head's parameters have
    the same names as in a loaded model with such a head, `loaded.params["head"]`.

    Args:
      name: "gpt2", "bert" or "linear", as described above.
      vocab_size: V, the number of ids; None: the published number, 50257 for "gpt2" and 30522 for "bert".
      width: D, the width of the vectors; None: 768, for "gpt2" and "bert".
      table_owner: a module of the same model, such as the embedder, whose method `token_table()` returns the
        token embedding `[V D]`. The head then uses this table as its kernel (tied weights). None: the head
        has a kernel of its own.

    Raises:
      UsageError: if the name is unknown, or a size of a "linear" head is missing.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import language_model_head
      >>> head = language_model_head("linear", vocab_size=7, width=8)
      >>> params = head.init(jax.random.key(0), jnp.ones((2, 8)))["params"]
      >>> head.apply({"params": params}, jnp.ones((2, 8))).shape
      (2, 7)
      >>> language_model_head("bort")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: language_model_head is one of gpt2, bert, linear: got 'bort'; did you ...

    References:
      Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805.
    """
    if name not in HEADS:
        near = difflib.get_close_matches(str(name), HEADS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"language_model_head is one of {', '.join(HEADS)}: got {name!r}{hint}")
    options = dict(HEADS[name])
    sizes = {"vocab_size": vocab_size, "width": width}
    options |= {field: size for field, size in sizes.items() if size is not None}
    missing = [field for field in sizes if options[field] is None]
    if missing:
        raise UsageError(f"the head {name!r} has no published size: got no {' and no '.join(missing)}")
    # A config needs attention heads, although this module has none; 1 divides every width.
    config = models.TransformerConfig(num_heads=1, tie_embeddings=table_owner is not None, **options)
    return models.TokenHead(config, table_owner)
