"""Which tokens may not be chosen, and which must be: what a model's makers ask of every text."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxlm.typing import Array, Float, Int

NO_ID = -1


class Rules(NamedTuple):
    """Ids by what is asked of them; numbers, so that others compile nothing.

    Attributes:
      forbidden: `Int[N]` ids that are never chosen.
      first: `Int[]` the id of every text's first token, -1: any.
      last: `Int[]` the id of the token at which a text is as long as it may be, -1: any.
    """

    forbidden: Int[Array, " N"]
    first: Int[Array, ""]
    last: Int[Array, ""]


def make_rules(forbidden: tuple[int, ...], first: int | None, last: int | None) -> Rules | None:
    """Returns the rules; None where nothing is asked, which costs nothing.

    Example:
      >>> make_rules((), None, None) is None, make_rules((5,), None, 2).last.item()
      (True, 2)
    """
    if not forbidden and first is None and last is None:
        return None
    ends = (jnp.asarray(NO_ID if id is None else id, jnp.int32) for id in (first, last))
    return Rules(jnp.asarray(forbidden, jnp.int32), *ends)


def permitted(
    scores: Float[Array, "B V"], rules: Rules | None, steps: Int[Array, " B"], limits: Int[Array, " B"]
) -> Float[Array, "B V"]:
    """Returns scores with -inf where a token may not be chosen; one that must be has 0 and is alone.

    Args:
      scores: `Float[B V]` logits or log-probs.
      rules: None: all may be.
      steps: `Int[B]` how many tokens a text has.
      limits: `Int[B]` how many it may have.

    Example:
      >>> rules, steps, limits = make_rules((1,), None, 2), jnp.array([0, 4]), jnp.array([5, 5])
      >>> permitted(jnp.array([[0.5, 0.7, 0.2]] * 2), rules, steps, limits).round(1).tolist()
      [[0.5, -inf, 0.2...], [-inf, -inf, 0.0]]
    """
    if rules is None:
        return scores
    scores = scores.at[:, rules.forbidden].set(-jnp.inf, mode="drop")
    forced = jnp.where(steps == 0, rules.first, NO_ID)
    forced = jnp.where((steps == limits - 1) & (rules.last != NO_ID), rules.last, forced)[:, None]
    chosen = jnp.arange(scores.shape[1], dtype=jnp.int32)[None] == forced
    alone = jnp.where(chosen, jnp.zeros_like(scores), -jnp.inf)
    return jnp.where(forced == NO_ID, scores, alone)
