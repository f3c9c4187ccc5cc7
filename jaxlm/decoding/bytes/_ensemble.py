"""Several models over bytes as one: their tokenizers may differ, since all of them say what the next byte is.

Letters: `E` members; `A` any axes between members and slots. Slots are the 256 bytes and the text's end.
"""

import asyncio
import functools
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.decoding.bytes._probs import NUM_BYTES, ByteLogProbs
from jaxlm.decoding.bytes._states import StatefulByteLM, as_bytes
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float


class EnsembleByteState(StatefulByteLM):
    """A text that several models over bytes have read, and their pooled distribution of the next byte.

    `ensemble_state` makes the first state. A state is immutable; `state << byte` gives the byte to every
    member.

    Attributes:
      members: the states of the models.
      weights: `Float[E]` of the members.
      pooling: "mixture" or "product", as `pool_log_probs` says.
    """

    def __init__(self, members: Sequence[StatefulByteLM], weights: np.ndarray, pooling: str) -> None:
        """Makes a state; users call `ensemble_state`.

        Args:
          members: the states of the models.
          weights: `Float[E]`.
          pooling: "mixture" or "product".
        """
        self.members, self.weights, self.pooling = tuple(members), weights, pooling

    @property
    def context(self) -> bytes:
        """The bytes that the first member has read."""
        return self.members[0].context

    def __repr__(self) -> str:
        weights = ", ".join(f"{weight:.3g}" for weight in self.weights)
        return f"EnsembleByteState({self.pooling} of {len(self.members)}, weights {weights})"

    def __lshift__(self, symbol: int) -> Any:
        """Returns the state after one more byte.

        Args:
          symbol: a number that every member takes.

        Raises:
          UsageError: as the members.
        """
        members = [member << symbol for member in self.members]
        if any(map(inspect.iscoroutine, members)):
            return self._awaited_members(members)
        return self._with(members)

    def prune(self) -> "EnsembleByteState":
        """Returns the state of pruned members."""
        return self._with([member.prune() for member in self.members])

    def prefill(self, context: bytes | str | Iterable[int]) -> "EnsembleByteState":
        """Returns the state after all these bytes, which each member reads in its own way.

        Args:
          context: bytes; a string stands for its UTF-8.

        Raises:
          UsageError: as the members.
        """
        context = as_bytes(context)
        return self._with([member.prefill(context) for member in self.members])

    async def prefill_async(self, context: bytes | str | Iterable[int]) -> "EnsembleByteState":
        """Returns the state after all these bytes, as `prefill`; the members read at the same time."""
        context = as_bytes(context)
        return self._with(await asyncio.gather(*(member.prefill_async(context) for member in self.members)))

    def logp_next(self) -> Any:
        """Returns the pooled log-probs of the next byte and of the text's end, in nats.

        They are a view of 257 slots; if a member's `logp_next` is a coroutine function, they are a coroutine.
        """
        views = [member.logp_next() for member in self.members]
        if any(map(inspect.iscoroutine, views)):
            return self._awaited_views(views)
        return ByteLogProbs(lambda: self._pooled(views), lambda: self._gathered(views))

    def _with(self, members: Sequence[StatefulByteLM]) -> "EnsembleByteState":
        return EnsembleByteState(members, self.weights, self.pooling)

    def _pooled(self, views: Sequence[Any]) -> np.ndarray:
        rows = np.stack([_slots(view) for view in views])
        return np.asarray(pool_log_probs(rows, self.weights.astype(np.float32), pooling=self.pooling))

    async def _gathered(self, views: Sequence[Any]) -> np.ndarray:
        return self._pooled(await asyncio.gather(*map(_awaited, views)))

    # One after the other, and not gathered: without an event loop there is nothing that would run them.
    async def _awaited_views(self, views: Sequence[Any]) -> ByteLogProbs:
        return ByteLogProbs(self._pooled([await _awaited(view) for view in views]))

    async def _awaited_members(self, members: Sequence[Any]) -> "EnsembleByteState":
        return self._with([await _awaited(member) for member in members])


def ensemble_state(
    members: Iterable[StatefulByteLM],
    weights: Sequence[float] | None = None,
    *,
    pooling: str = "mixture",
) -> EnsembleByteState:
    """Returns several models over bytes as one, whatever their tokenizers are.

    Args:
      members: at least one state. They may have read different texts, such as other instructions.
      weights: one above 0 for each member; None: the same for all, and 1 in all. The weights of a mixture are
        divided by their sum, those of a product are exponents.
      pooling: "mixture", the weighted mean of the members' distributions, or "product", the normalised
        product of their powers: a byte needs the consent of all.

    Raises:
      UsageError: if there is no member, a weight is missing or not above 0, or the pooling is another.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import ByteLogProbs, StatefulByteLM, ensemble_state
      >>> class Constant(StatefulByteLM):
      ...     "Writes the same two bytes with the same probabilities for ever."
      ...     def __init__(self, **probs): self.probs = probs
      ...     def __lshift__(self, byte): return self
      ...     def logp_next(self):
      ...         log_probs = np.full(257, -np.inf)
      ...         for byte, prob in self.probs.items():
      ...             log_probs[ord(byte)] = np.log(prob)
      ...         return ByteLogProbs(log_probs)
      >>> members = [Constant(a=0.5, b=0.5), Constant(b=0.25, c=0.75)]
      >>> ensemble_state(members).logp_next()
      ByteLogProbs(b'b': 0.375, b'c': 0.375, b'a': 0.25)
      >>> ensemble_state(members, pooling="product").greedy(b"a", steps=3)
      b'abbb'
    """
    members = tuple(members)
    if not members or not all(isinstance(member, StatefulByteLM) for member in members):
        kinds = ", ".join(type(member).__name__ for member in members)
        raise UsageError(f"the members of an ensemble are byte states, at least one: got {kinds or 'none'}")
    if pooling not in _POOLINGS:
        raise UsageError(f"members are pooled as a {' or a '.join(_POOLINGS)}: got {pooling!r}")
    chosen = np.full(len(members), 1 / len(members)) if weights is None else np.array(weights, np.float64)
    if chosen.shape != (len(members),) or not (np.isfinite(chosen) & (chosen > 0)).all():
        raise UsageError(f"each of the {len(members)} members has a weight above 0: got {weights}")
    chosen.flags.writeable = False
    return EnsembleByteState(members, chosen, pooling)


@functools.partial(jax.jit, static_argnames="pooling")
def pool_log_probs(
    log_probs: Float[Array | np.ndarray, "E *A slots"],
    weights: Float[Array | np.ndarray, " E"],
    *,
    pooling: str = "mixture",
) -> Float[Array, "*A slots"]:
    """Returns one normalised distribution of several, in nats; it can be called inside compiled functions.

    A mixture is the mean of the distributions with weights that are divided by their sum. A product is the
    product of their powers, whose exponents are the weights. Where no slot is left, all log-probs are -inf.

    Args:
      log_probs: `[E, ..., slots]`, the members' log-probs.
      weights: `[E]`, all above 0.
      pooling: "mixture" or "product".

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes import pool_log_probs
      >>> log_probs = jnp.log(jnp.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]))
      >>> pooled = pool_log_probs(log_probs, jnp.array([0.5, 0.5]), pooling="product")
      >>> jnp.exp(pooled).tolist()
      [0.0, 1.0, 0.0]
    """
    log_probs, weights = jnp.asarray(log_probs), jnp.asarray(weights)
    pooled = _POOLINGS[pooling](log_probs, weights.reshape(-1, *[1] * (log_probs.ndim - 1)))
    total = _log_sum_exp(pooled, axis=-1)
    return jnp.where(total == -jnp.inf, -jnp.inf, pooled - jnp.where(total == -jnp.inf, 0.0, total))


def _mixture(log_probs: Array, weights: Array) -> Array:
    return _log_sum_exp(jnp.log(weights) + log_probs, axis=0)[0]


def _product(log_probs: Array, weights: Array) -> Array:
    return (weights * log_probs).sum(0)


_POOLINGS = {"mixture": _mixture, "product": _product}


def _log_sum_exp(values: Array, axis: int) -> Array:
    """Log-sum-exp that keeps the axis; -inf, and a gradient of 0, where there is no mass."""
    largest = jax.lax.stop_gradient(values.max(axis, keepdims=True))
    largest = jnp.where(largest == -jnp.inf, 0.0, largest)
    sums = jnp.exp(values - largest).sum(axis, keepdims=True)
    return jnp.where(sums > 0, largest + jnp.log(jnp.where(sums > 0, sums, 1.0)), -jnp.inf)


def _slots(view: Any) -> np.ndarray:
    """The 257 log-probs of a view; of 258, the one for the end of a token is left out."""
    values = np.asarray(view, np.float32)
    if values.shape == (NUM_BYTES + 2,):
        values = np.delete(values, NUM_BYTES)
    if values.shape != (NUM_BYTES + 1,):
        raise UsageError(f"a distribution over bytes has 257 slots, or 258: got shape {values.shape}")
    return values


async def _awaited(item: Any) -> Any:
    return await item if inspect.isawaitable(item) else item
