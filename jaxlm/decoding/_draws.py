"""Which token is chosen: the likeliest one, or one drawn with bits that belong to the prompt."""

import jax
import jax.numpy as jnp

from jaxlm.typing import Array, Float, Int, Key, UInt32


def choose_tokens(
    logits: Float[Array, "B V"],
    rng: Key[Array, ""] | None,
    names: UInt32[Array, "B 2"],
    steps: Int[Array, " B"],
) -> Int[Array, " B"]:
    """Returns a token a row: without a key the likeliest, with one a draw from the softmax of the logits.

    The draw is `argmax(logits + Gumbel noise)`, the noise a function of the key, the row's name and its step
    alone: a prompt draws the same in any batch.

    Args:
      logits: `Float[B V]`, -inf where a token is cut.
      rng: PRNG key, consumed together with `names` and `steps`; None: no draw.
      names: `UInt32[B 2]`, as `Prompts` has them.
      steps: `Int[B]`, how many tokens the row has been given.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding._draws import choose_tokens
      >>> logits, names = jnp.array([[0.0, 1.0]] * 2), jnp.zeros((2, 2), jnp.uint32)
      >>> choose_tokens(logits, None, names, jnp.array([0, 1])).tolist()
      [1, 1]

    References:
      Maddison et al., "A* Sampling", 2014, https://arxiv.org/abs/1411.0030 (the Gumbel-max trick).
    """
    if rng is None:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def noise(name: Array, step: Array) -> Array:
        key = rng
        for part in (name[0], name[1], step):
            key = jax.random.fold_in(key, part)
        return jax.random.gumbel(key, logits.shape[1:], jnp.float32)

    return jnp.argmax(logits + jax.vmap(noise)(names, steps), axis=-1).astype(jnp.int32)
