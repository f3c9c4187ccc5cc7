"""The parts of a language model's head, to compute logits in tiles or for some ids only."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jaxlm.typing import Array, Float


class HeadProjection(NamedTuple):
    """The parts of a token head: logits are `apply_softcap(features(hidden) @ kernel.T + bias, softcap)`.

    Attributes:
      features: a function `Float[... D] -> Float[... D]`, the layers before the product with the kernel.
        Gradients reach the parameters of these layers through it.
      kernel: `Float[V D]`, the output kernel in the dtype of the parameters; for a tied head the token
        embedding.
      bias: `Float[V]` in the dtype of the parameters; None: nothing is added.
      softcap: the bound of the logits, which `ops.apply_softcap` applies; None: the logits have no bound.
    """

    features: Callable[[Float[Array, "*batch D"]], Float[Array, "*batch D"]]
    kernel: Float[Array, "V D"]
    bias: Float[Array, " V"] | None
    softcap: float | None


def head_projection(apply_fn: Callable[..., Any], params: Any) -> HeadProjection:
    """Returns the parts of a token head, from which the logits of some ids or positions can be computed.

    Args:
      apply_fn: `model.apply` of a `MaskedLM`, a `CausalLM` or a `Seq2SeqLM`; for a `MultiHeadModel`,
        `functools.partial(model.apply, head=name)`.
      params: the model's parameters.

    Example:
      >>> from jaxlm.models import head_projection
      >>> import jax, jax.numpy as jnp
      >>> from jaxlm import models, ops
      >>> model = models.MaskedLM(models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> variables = model.init(jax.random.key(0), jnp.array([[1, 2, 3]]))
      >>> head = head_projection(model.apply, variables["params"])
      >>> hidden = jnp.ones((4, 8))
      >>> logits = ops.apply_softcap(ops.linear(head.features(hidden), head.kernel, head.bias), head.softcap)
      >>> bool((logits == model.apply(variables, hidden, method="logits")).all())
      True
    """
    variables = {"params": params}
    kernel, bias = apply_fn(variables, method="output_weights")
    softcap = apply_fn(variables, method="output_softcap")
    return HeadProjection(partial(apply_fn, variables, method="features"), kernel, bias, softcap)
