"""A causal LM as a state: the tokens read so far, and the distribution of the next one."""

import dataclasses
import itertools
import operator
from collections.abc import Sequence

import jax
import numpy as np

from jaxlm.decoding._cached_lm import CachedLM
from jaxlm.decoding._lm_state import LMState
from jaxlm.decoding._token_tree import Node
from jaxlm.errors import UsageError
from jaxlm.io import matches_type


@dataclasses.dataclass(frozen=True, repr=False)
class TokenState(LMState):
    """A context that a causal LM reads; `state << token` is a new state, and the old one does not change.

    `initial_state` makes the state to begin with. All states of a `CachedLM` share the keys and values of
    common prefixes. Two states of one `CachedLM` with the same `max_context_length` are equal if their
    contexts are equal. A pickled state contains its model, and the copy reads its context again.

    Attributes:
      lm: the model and its cache.
      node: the node that stands for the context in `lm`.
      max_context_length: how many of the last tokens the model sees; None: it sees the whole context.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM, initial_state
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> state = initial_state(CachedLM(model, params), [1, 2])
      >>> longer = state << 3
      >>> state.context, longer.context, longer.logp_next().shape
      ((1, 2), (1, 2, 3), (7,))
    """

    lm: CachedLM
    node: Node
    max_context_length: int | None = None

    @property
    def context(self) -> tuple[int, ...]:
        """All ids read so far, also the ids that the model no longer sees because of `max_context_length`."""
        return tuple(node.token for node in self.node.path())[::-1]

    def __repr__(self) -> str:
        window = "" if self.max_context_length is None else f", max_context_length={self.max_context_length}"
        return f"TokenState(context={self.context}{window})"

    def __reduce__(self) -> tuple:
        return initial_state, (self.lm, self.context, self.max_context_length)

    def __lshift__(self, token: int) -> "TokenState":
        """Returns the state after one more token; the time does not depend on the context's length.

        Args:
          token: the token's id.

        Raises:
          UsageError: if the token is not an id of the model's vocabulary.
        """
        node = self.lm.node((_checked_id(token, self.lm),), after=self.node)
        return TokenState(self.lm, node, self.max_context_length)

    def logp_next(self) -> np.ndarray:
        """Returns the log-probs `Float32[V]` of the next token, in nats.

        Raises:
          UsageError: if no token has been read, or more tokens than the model's context holds.
        """
        return self.lm.log_probs([self._visible_node()])[0]

    async def logp_next_async(self) -> np.ndarray:
        """Returns `logp_next()`; coroutines that wait at the same time share calls of the device.

        Raises:
          UsageError: if no token has been read, or more tokens than the model's context holds.
        """
        return await self.lm.log_probs_async(self._visible_node())

    def _visible_node(self) -> Node:
        """The node of the tokens that the model sees.

        When a window slides, every token gets another position, so that no cached keys can be used.
        """
        size, window, limit = self.node.depth, self.max_context_length, self.lm.model.config.max_length
        if size == 0:
            raise UsageError(
                "no token has been read, and this model has no token that begins texts: "
                "give an initial_context or a first token"
            )
        if window is not None and size > window:
            last = itertools.islice(self.node.path(), window)
            return self.lm.node([node.token for node in last][::-1])
        if size > limit:
            raise UsageError(
                f"the context is {size} tokens long and the model reads at most {limit} (its max_length); "
                "give a max_context_length"
            )
        return self.node


def logp_next_batch(states: Sequence[TokenState]) -> jax.Array:
    """Returns the log-probs of the next token of B states, in nats: `Float32[B V]`, on the device.

    The new tokens of all states are read together, and no number goes to the host.

    Args:
      states: B >= 1 states of one `CachedLM`.

    Raises:
      UsageError: if there is no state, the states belong to several `CachedLM`s, or `logp_next` of one of the
        states raises it.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM, initial_state, logp_next_batch
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> state = initial_state(CachedLM(model, params), [1, 2])
      >>> logp_next_batch([state << token for token in range(5)]).shape
      (5, 7)
    """
    lms = {id(state.lm): state.lm for state in states}
    if len(lms) != 1:
        raise UsageError(f"a batch is of states of one CachedLM: got {len(states)} states of {len(lms)}")
    (lm,) = lms.values()
    return lm.log_probs_batch([state._visible_node() for state in states])


def initial_state(
    lm: CachedLM, initial_context: Sequence[int] | None = None, max_context_length: int | None = None
) -> TokenState:
    """Returns the state before the first token of a text.

    Args:
      lm: the causal LM and its cache.
      initial_context: the ids that are read first; None: the `bos_id` of `lm`, or no id if that is None.
      max_context_length: how many of the last ids the model sees, in this state and in every state that
        follows from it; None: it sees all ids.

    Raises:
      UsageError: if an id is outside the vocabulary, or `max_context_length` is below 1 or above the model's
        context.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM, initial_state
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> initial_state(CachedLM(model, params, bos_id=1)).context
      (1,)
    """
    limit = lm.model.config.max_length
    if max_context_length is not None and not (
        matches_type(max_context_length, int) and 1 <= max_context_length <= limit
    ):
        raise UsageError(
            f"max_context_length lies in 1..{limit}, the model's own context: got {max_context_length}"
        )
    if initial_context is None:
        initial_context = () if lm.bos_id is None else (lm.bos_id,)
    node = lm.node([_checked_id(token, lm) for token in initial_context])
    return TokenState(lm, node, max_context_length)


def _checked_id(token: int, lm: CachedLM) -> int:
    vocab_size = lm.model.config.vocab_size
    try:
        id = operator.index(token)  # any type of whole number, but nothing that would be rounded
    except TypeError:
        id = -1
    if not 0 <= id < vocab_size:
        raise UsageError(f"ids lie in 0..{vocab_size - 1}: got {token!r}")
    return id
