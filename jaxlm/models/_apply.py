"""Calls of a model's methods on its parameters, with the types that they return.

linen's `Module.apply` returns a result, or a result and changed variables: a type checker cannot know which.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxlm.models._cache import Cache
from jaxlm.models._inputs import Inputs
from jaxlm.models._interventions import Intervention
from jaxlm.models._sites import Site
from jaxlm.models._transformer import Output
from jaxlm.typing import Array, Float, Int


def apply_model(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: Inputs,
    *,
    cache: Cache | None = None,
    slots: Int[Array, "B L"] | None = None,
    interventions: Sequence[Intervention] = (),
    intermediates: Collection[Site] = (),
    deterministic: bool = True,
    rngs: dict[str, jax.Array] | None = None,
) -> Output:
    """Returns what a model computes before its head, `model.apply({"params": params}, inputs, ...)`.

    Args:
      model: a linen module of any kind in `models.KINDS`.
      params: the model's parameters, its "params" collection.
      inputs: the tokens that the model reads, with their segments and positions.
      cache: keys and values of earlier tokens, from `empty_cache` or an earlier call; None: nothing is
        cached.
      slots: `Int[B L]`, the index of the cache entry (slot) that each token is written to. None: the first L
        slots of an empty cache.
      interventions: changes of the values at sites, applied in this order.
      intermediates: the sites whose values are returned in `Output.intermediates`; static.
      deterministic: whether dropout is off.
      rngs: PRNG keys by the name of their linen stream; dropout needs a key "dropout". None: no keys.

    Raises:
      TypeError: if the model returns something other than an `Output`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> model = models.build(models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> inputs = models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> models.apply_model(model, params, inputs).hidden.shape
      (1, 3, 8)
    """
    variables = {"params": params}
    output = model.apply(
        variables,
        inputs,
        cache=cache,
        slots=slots,
        interventions=interventions,
        intermediates=intermediates,
        deterministic=deterministic,
        rngs=rngs,
    )
    if not isinstance(output, Output):
        raise TypeError(f"a model returns an Output: got {type(output).__name__} from {type(model).__name__}")
    return output


def apply_head(
    model: nn.Module, params: Mapping[str, Any], hidden: Float[Array, "*batch D"]
) -> Float[Array, "*batch V"]:
    """Returns the logits that a language model's head makes of hidden vectors, `model.logits(hidden)`.

    Args:
      model: a language model.
      params: the model's parameters, its "params" collection.
      hidden: `Float[... D]`, hidden vectors at any selection of positions of `Output.hidden`.

    Raises:
      TypeError: if the model's `logits` returns no array.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> model = models.build(models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> params = model.init(jax.random.key(0), jnp.array([[1, 2, 3]]))["params"]
      >>> models.apply_head(model, params, jnp.zeros((1, 8))).shape
      (1, 7)
    """
    return _array(model.apply({"params": params}, hidden, method="logits"), model)


def apply_token_vectors(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    segments: Int[Array, "B L"] | None = None,
) -> Float[Array, "B L D"]:
    """Returns the embeddings that a model reads for tokens, `model.token_vectors(tokens, segments)`.

    Args:
      model: a model with a token embedding.
      params: the model's parameters, its "params" collection.
      tokens: `Int[B L]` token ids.
      segments: `Int[B L]`, 0 for padding; None: each row is one segment without padding.

    Raises:
      TypeError: if the model's `token_vectors` returns no array.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> model = models.build(models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> params = model.init(jax.random.key(0), tokens)["params"]
      >>> models.apply_token_vectors(model, params, tokens).shape
      (1, 3, 8)
    """
    arguments = (tokens,) if segments is None else (tokens, segments)
    return _array(model.apply({"params": params}, *arguments, method="token_vectors"), model)


def _array(value: Any, model: nn.Module) -> Array:
    if not isinstance(value, jax.Array):
        raise TypeError(f"expected an array, got {type(value).__name__} from {type(model).__name__}")
    return value
