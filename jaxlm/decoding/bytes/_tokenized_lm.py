"""A causal LM over tokens as a state, under the names of genlm-bytes."""

from collections.abc import Sequence

import numpy as np

from jaxlm.decoding import CachedLM, LMState, TokenState, initial_state
from jaxlm.decoding.bytes._probs import LazyLogProbs
from jaxlm.errors import UsageError
from jaxlm.io import matches_type


class StatefulTokenizedLM(LMState):
    """A causal LM over tokens as a state, under the names of `genlm-bytes`; it holds a `TokenState`.

    Attributes:
      model: a `CachedLM`.
      n_calls: how many distributions this state and those that it follows from were asked for, at the time
        when the state was made, and this state since then.
      max_context_length: the model sees the last `max_context_length` ids, in this state and in those that
        follow from it; None: all of them.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM
      >>> from jaxlm.decoding.bytes import StatefulTokenizedLM
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> state = StatefulTokenizedLM.initial(CachedLM(model, params, bos_id=1), max_context_length=8)
      >>> longer = state << 3
      >>> longer.context, longer.max_context_length, len(longer.logp_next()), longer.n_calls
      ([1, 3], 8, 7, 1)
    """

    def __init__(
        self,
        model: CachedLM,
        context: Sequence[int],
        n_calls: int = 0,
        max_context_length: int | None = None,
    ) -> None:
        """Makes a state.

        Args:
          model: a `CachedLM`.
          context: ids that were read.
          n_calls: how many distributions were asked for before.
          max_context_length: the model sees the last `max_context_length` ids; None: all of them.

        Raises:
          UsageError: if the model is no `CachedLM`, an id is outside the vocabulary, or a number is out of
            range.
        """
        if not isinstance(model, CachedLM):
            raise UsageError(f"the model of a token state is a CachedLM: got {type(model).__name__}")
        if not matches_type(n_calls, int) or n_calls < 0:
            raise UsageError(f"n_calls is a whole number from 0: got {n_calls!r}")
        self._state = initial_state(model, context, max_context_length)
        self.n_calls = n_calls

    @classmethod
    def initial(
        cls,
        model: CachedLM,
        initial_context: Sequence[int] | None = None,
        max_context_length: int | None = None,
    ) -> "StatefulTokenizedLM":
        """Returns the state before the first token of a text.

        Args:
          model: a `CachedLM`.
          initial_context: ids that are read first; None: the model's begin-of-sequence token, if it has one.
          max_context_length: the model sees the last `max_context_length` ids; None: all of them.

        Raises:
          UsageError: as the constructor.
        """
        if initial_context is None:
            bos_id = model.bos_id if isinstance(model, CachedLM) else None
            initial_context = [] if bos_id is None else [bos_id]
        return cls(model, initial_context, max_context_length=max_context_length)

    @property
    def model(self) -> CachedLM:
        """The model and its cache."""
        return self._state.lm

    @property
    def context(self) -> list[int]:
        """The ids read so far, including those before the window."""
        return list(self._state.context)

    @property
    def max_context_length(self) -> int | None:
        """How many ids the model sees; None: all of them."""
        return self._state.max_context_length

    @property
    def token_state(self) -> TokenState:
        """The same context as `TokenState`."""
        return self._state

    def __lshift__(self, token: int) -> "StatefulTokenizedLM":
        """Returns the state after one more token; this one does not change.

        Args:
          token: its id.

        Raises:
          UsageError: if the token is not an id of the model's vocabulary.
        """
        longer = StatefulTokenizedLM.__new__(StatefulTokenizedLM)
        longer._state, longer.n_calls = self._state << token, self.n_calls
        return longer

    def logp_next(self) -> LazyLogProbs:
        """Returns the log-probs of the next token, in nats; `await` on them shares calls of the device."""
        self.n_calls += 1
        vocab_size = self.model.model.config.vocab_size
        return LazyLogProbs(self._state.logp_next, self._state.logp_next_async, num_slots=vocab_size)

    async def logp_next_async(self) -> np.ndarray:
        """Returns the log-probs `Float32[V]` of the next token, in nats."""
        return (await self.logp_next()).log_probs

    def __repr__(self) -> str:
        return f"StatefulTokenizedLM({self._state!r}, n_calls={self.n_calls})"
