"""A causal LM as a state: the tokens that have been read, and what may come next."""

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
from jaxlm.io import fits


@dataclasses.dataclass(frozen=True, repr=False)
class TokenState(LMState):
    """A context under a causal LM; `state << token` is another state, and the first stays what it is.

    `initial` makes the first one. States that begin alike share what the model has computed of their
    beginning, whoever made them; those of one model and window are equal if their contexts are. A pickled
    state takes its model along, and what has been read is read anew.

    Attributes:
      lm: the model and its cache.
      node: the name of the context in `lm`.
      max_context_length: the model sees the last so many tokens; None: all.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM, initial
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> state = initial(CachedLM(model, params), [1, 2])
      >>> longer = state << 3
      >>> state.context, longer.context, longer.logp_next().shape
      ((1, 2), (1, 2, 3), (7,))
    """

    lm: CachedLM
    node: Node
    max_context_length: int | None = None

    @property
    def context(self) -> tuple[int, ...]:
        """The ids read so far, those that a window has left behind included."""
        return tuple(node.token for node in self.node.path())[::-1]

    def __repr__(self) -> str:
        window = "" if self.max_context_length is None else f", max_context_length={self.max_context_length}"
        return f"TokenState(context={self.context}{window})"

    def __reduce__(self) -> tuple:
        return initial, (self.lm, self.context, self.max_context_length)

    def __lshift__(self, token: int) -> "TokenState":
        """Returns the state after one more token, in the same time whatever the context's length.

        Raises:
          UsageError: if it is no id of the model's vocabulary.
        """
        node = self.lm.node((_checked(token, self.lm),), after=self.node)
        return TokenState(self.lm, node, self.max_context_length)

    def logp_next(self) -> np.ndarray:
        """Returns the log-probs `Float32[V]` of the next token, in nats.

        Raises:
          UsageError: if nothing has been read, or more than the model's context holds.
        """
        return self.lm.log_probs([self._ready()])[0]

    async def logp_next_async(self) -> np.ndarray:
        """Returns the same; awaits that are under way at once share calls of the device.

        Raises:
          UsageError: as `logp_next`.
        """
        return await self.lm.log_probs_async(self._ready())

    def _ready(self) -> Node:
        """The node of what the model sees.

        A window that slides moves every token to another position: nothing of the parent's can be used.
        """
        size, window, limit = self.node.depth, self.max_context_length, self.lm.model.config.max_length
        if size == 0:
            raise UsageError(
                "nothing has been read, and this model has no token that begins texts: "
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
    """Returns the log-probs `Float32[N V]` of the next token of many states, in nats, on the device.

    What is new of all of them is read together, and no number goes to the host.

    Args:
      states: N states of one `CachedLM`, one at least.

    Raises:
      UsageError: if there is none, they are of several models, or one cannot be asked alone.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM, initial, logp_next_batch
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> state = initial(CachedLM(model, params), [1, 2])
      >>> logp_next_batch([state << token for token in range(5)]).shape
      (5, 7)
    """
    lms = {id(state.lm): state.lm for state in states}
    if len(lms) != 1:
        raise UsageError(f"a batch is of states of one CachedLM: got {len(states)} states of {len(lms)}")
    (lm,) = lms.values()
    return lm.log_probs_batch([state._ready() for state in states])


def initial(
    lm: CachedLM, initial_context: Sequence[int] | None = None, max_context_length: int | None = None
) -> TokenState:
    """Returns the state that texts begin in.

    Args:
      lm: the model.
      initial_context: ids read before; None: the model's begin-of-sequence token, if it has one.
      max_context_length: the model sees the last so many ids, in this state and in all that come of it.

    Raises:
      UsageError: if an id is outside the vocabulary, or the window holds nothing or more than the model's
        context.
    """
    limit = lm.model.config.max_length
    if max_context_length is not None and not (
        fits(max_context_length, int) and 1 <= max_context_length <= limit
    ):
        raise UsageError(
            f"max_context_length lies in 1..{limit}, the model's own context: got {max_context_length}"
        )
    if initial_context is None:
        initial_context = () if lm.bos_id is None else (lm.bos_id,)
    node = lm.node([_checked(token, lm) for token in initial_context])
    return TokenState(lm, node, max_context_length)


def _checked(token: int, lm: CachedLM) -> int:
    vocab_size = lm.model.config.vocab_size
    try:
        id = operator.index(token)  # whole numbers of every kind, and nothing that is cut to one
    except TypeError:
        id = -1
    if not 0 <= id < vocab_size:
        raise UsageError(f"ids lie in 0..{vocab_size - 1}: got {token!r}")
    return id
