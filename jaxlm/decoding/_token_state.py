"""A language model as a state: what has been read, and what may come next."""

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np

from jaxlm.decoding._cached_lm import CachedLM
from jaxlm.decoding._token_tree import Node
from jaxlm.errors import UsageError
from jaxlm.io import fits


@dataclasses.dataclass(frozen=True)
class TokenState:
    """A context under a causal LM; `state << token` is another state, and the first stays what it is.

    States that begin alike share what the model has computed of their beginning, whoever made them.

    Attributes:
      lm: the model and its cache.
      context: ids read so far.
      max_context_length: the model sees the last so many of them; None: all.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxlm import models
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
    context: tuple[int, ...]
    max_context_length: int | None = None
    _node: Node | None = dataclasses.field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._node is None:
            object.__setattr__(self, "_node", self.lm.node(self._seen()))

    def __lshift__(self, token: int) -> "TokenState":
        """Returns the state after one more token.

        Raises:
          ValueError: if it is no id of the model's vocabulary.
        """
        context = (*self.context, _checked(token, self.lm))
        limit = self.max_context_length
        slides = limit is not None and len(context) > limit
        # A window that slides moves every token to another position: nothing of the parent's can be used.
        node = None if slides else self.lm.node(context[-1:], after=self._node)
        return TokenState(self.lm, context, limit, node)

    def logp_next(self) -> np.ndarray:
        """Returns the log-probs `Float32[V]` of the next token, in nats.

        Raises:
          ValueError: if nothing has been read, or more than the model's context holds.
        """
        return self.lm.log_probs([self._ready()])[0]

    async def logp_next_async(self) -> np.ndarray:
        """Returns the same; awaits that are under way at once share calls of the device.

        Raises:
          ValueError: as `logp_next`.
        """
        return await self.lm.log_probs_async(self._ready())

    def _seen(self) -> tuple[int, ...]:
        return self.context if self.max_context_length is None else self.context[-self.max_context_length :]

    def _ready(self) -> Node:
        size, limit = self._node.depth, self.lm.model.config.max_length
        if size == 0:
            raise UsageError(
                "nothing has been read, and this model has no token that begins texts: "
                "give an initial_context or a first token"
            )
        if size > limit:
            raise UsageError(
                f"the context is {size} tokens long and the model reads at most {limit} (its max_length); "
                "give a max_context_length"
            )
        return self._node


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
    context = tuple(_checked(token, lm) for token in initial_context)
    return TokenState(lm, context, max_context_length)


def _checked(token: int, lm: CachedLM) -> int:
    vocab_size = lm.model.config.vocab_size
    try:
        id = operator.index(token)  # whole numbers of every kind, and nothing that is cut to one
    except TypeError:
        id = -1
    if not 0 <= id < vocab_size:
        raise UsageError(f"ids lie in 0..{vocab_size - 1}: got {token!r}")
    return id
