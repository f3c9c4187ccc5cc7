"""Several models over bytes as one: their tokenizers may differ, since all of them say what the next byte is.

Letters: `E` members; `A` any axes between members and slots. Slots are the 256 bytes and the text's end.
"""

import asyncio
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.decoding.bytes._byte_model import ByteModel
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

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import ByteLogProbs, StatefulByteLM, ensemble_state
      >>> class Always(StatefulByteLM):
      ...     "One byte, again and again, with three chances of four; else the other one."
      ...     def __init__(self, byte): self.byte = byte
      ...     def __lshift__(self, byte): return self
      ...     def logp_next(self):
      ...         probs = np.zeros(257)
      ...         probs[[ord("a"), ord("b")]] = 0.25
      ...         probs[self.byte] = 0.75
      ...         with np.errstate(divide="ignore"):
      ...             return ByteLogProbs(np.log(probs))
      >>> state = ensemble_state([Always(ord("a")), Always(ord("b"))], weights=[3.0, 1.0])
      >>> state, (state << ord("a")).logp_next()
      (EnsembleByteState(mixture of 2, weights 3, 1), ByteLogProbs(b'a': 0.625, b'b': 0.375))
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

    @property
    def dropped(self) -> float:
        """The share of the probability that the member left out which lost most; 0 if none counts it."""
        return max(float(getattr(member, "dropped", 0.0)) for member in self.members)

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

    @classmethod
    def logp_next_many(cls, states: Sequence[StatefulByteLM]) -> list[ByteLogProbs]:
        """Returns `logp_next` of many states, computed; members of one kind share calls of the device.

        Args:
          states: ensembles of any members.

        Raises:
          UsageError: if a state is of another class, or as the members.
        """
        groups: dict[tuple, list[EnsembleByteState]] = {}
        for state in states:
            if not isinstance(state, EnsembleByteState):
                raise UsageError(f"states of ensembles are EnsembleByteState: got {type(state).__name__}")
            groups.setdefault(state._kind, []).append(state)
        known: dict[int, ByteLogProbs] = {}
        for own in groups.values():
            asked = [type(column[0]).logp_next_many(column) for column in _columns(own)]
            rows = np.stack([[_slots(view) for view in views] for views in asked])
            filled = rows[:, np.minimum(np.arange(ops.bucket(len(own))), len(own) - 1)]
            first = own[0]
            pooled = pool_log_probs(filled, first.weights.astype(np.float32), pooling=first.pooling)
            views = map(ByteLogProbs, np.asarray(pooled)[: len(own)])
            known.update((id(state), view) for state, view in zip(own, views, strict=True))
        return [known[id(state)] for state in states]

    @classmethod
    def are_full(cls, states: Sequence[StatefulByteLM]) -> list[bool]:
        """Returns of which states a member can read no more bytes.

        Args:
          states: ensembles of any members.
        """
        ensembles = [state for state in states if isinstance(state, EnsembleByteState)]
        members = [member for state in ensembles for member in state.members]
        full: set[int] = set()
        for kind in set(map(type, members)):
            own = [member for member in members if type(member) is kind]
            full.update(id(own[index]) for index in np.flatnonzero(kind.are_full(own)))
        full.update(id(state) for state in ensembles if any(id(member) in full for member in state.members))
        return [id(state) in full for state in states]

    @property
    def _kind(self) -> tuple:
        """The same of ensembles whose members can be asked together."""
        return (self.pooling, self.weights.tobytes(), *map(type, self.members))

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
    chosen = _checked_weights(len(members), weights, pooling)
    if not all(isinstance(member, StatefulByteLM) for member in members):
        kinds = ", ".join(type(member).__name__ for member in members)
        raise UsageError(f"the members of an ensemble of states are byte states: got {kinds}")
    return EnsembleByteState(members, chosen, pooling)


@dataclasses.dataclass(frozen=True)
class ByteEnsemble:
    """Several byte models that write a text together, as `generate_bytes` takes them.

    Their tokenizers may differ. With `ByteGenerationConfig.beam`, one compiled step asks all of them, pools
    what they say, and gives all the same byte.

    Attributes:
      members: the byte models, at least one.
      weights: one above 0 for each; None: the same for all, and 1 in all. Those of a mixture are divided by
        their sum, those of a product are exponents.
      pooling: "mixture" or "product", as for `ensemble_state`.

    Raises:
      TypeError: if a member is no `ByteModel`.
      UsageError: if there is no member, a weight is missing or not above 0, or the pooling is another.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import ByteEnsemble, generate_bytes, make_byte_model
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> ensemble = ByteEnsemble([make_byte_model(loaded)] * 2, pooling="product")
      >>> ensemble.weights
      (0.5, 0.5)
    """

    members: Sequence[ByteModel]
    weights: Sequence[float] | None = None
    pooling: str = "mixture"

    def __post_init__(self) -> None:
        members = tuple(self.members)
        weights = _checked_weights(len(members), self.weights, self.pooling)
        if not all(isinstance(member, ByteModel) for member in members):
            kinds = ", ".join(type(member).__name__ for member in members)
            raise TypeError(f"expected what make_byte_model returns, got {kinds}")
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "weights", tuple(weights.tolist()))

    def state(self, first: Callable[[ByteModel], StatefulByteLM]) -> EnsembleByteState:
        """Returns the state before the first byte of a text.

        Args:
          first: makes that of a member, such as `tree_state`.
        """
        return ensemble_state(map(first, self.members), self.weights, pooling=self.pooling)


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


def _checked_weights(num_members: int, weights: Sequence[float] | None, pooling: str) -> np.ndarray:
    """The weights of members `Float64[E]`, read-only."""
    if not num_members:
        raise UsageError("an ensemble has at least one member: got none")
    if pooling not in _POOLINGS:
        raise UsageError(f"members are pooled as a {' or a '.join(_POOLINGS)}: got {pooling!r}")
    chosen = np.full(num_members, 1 / num_members) if weights is None else np.array(weights, np.float64)
    if chosen.shape != (num_members,) or not (np.isfinite(chosen) & (chosen > 0)).all():
        raise UsageError(f"each of the {num_members} members has a weight above 0: got {weights}")
    chosen.flags.writeable = False
    return chosen


def _log_sum_exp(values: Array, axis: int) -> Array:
    """Log-sum-exp that keeps the axis; -inf, and a gradient of 0, where there is no mass."""
    largest = jax.lax.stop_gradient(values.max(axis, keepdims=True))
    largest = jnp.where(largest == -jnp.inf, 0.0, largest)
    sums = jnp.exp(values - largest).sum(axis, keepdims=True)
    return jnp.where(sums > 0, largest + jnp.log(jnp.where(sums > 0, sums, 1.0)), -jnp.inf)


def _columns(states: Sequence[EnsembleByteState]) -> list[list[StatefulByteLM]]:
    """The first members of all states, the second ones, and so on."""
    return [list(column) for column in zip(*(state.members for state in states), strict=True)]


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
