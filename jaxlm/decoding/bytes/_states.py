"""Language models over bytes as states: what a user may subclass, and what follows from two methods.

A subclass of `StatefulByteLM` defines `<<` and `logp_next`, as plain methods or as coroutine functions. It
inherits `prefill`, `greedy` and `sample`, each in a form that waits and in one that is awaited.
"""

import asyncio
import inspect
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import numpy as np

from jaxlm.decoding import LMState
from jaxlm.decoding.bytes._probs import NUM_BYTES, ByteLogProbs
from jaxlm.errors import UsageError
from jaxlm.io import matches_type

Draw = Callable[..., int | None]
_State = TypeVar("_State", bound="StatefulByteLM")
_Result = TypeVar("_Result")
# What a generation yields: a state or a distribution, or something that is awaited for one.
_Walk = Generator[Any, Any, bytes]


class LongContextError(UsageError):
    """A context has more tokens than the model reads."""


def sample_dict(probs: dict[int | None, float], rng: jax.Array) -> int | None:
    """Returns a key of the dict, drawn with the probability that is its value.

    Args:
      probs: probabilities, or any weights that are not negative and not all 0.
      rng: PRNG key, consumed.

    Raises:
      UsageError: if the weights have no sum that is finite and above 0.

    Example:
      >>> import jax
      >>> from jaxlm.decoding.bytes import sample_dict
      >>> sample_dict({97: 0.0, 98: 1.0}, jax.random.key(0))
      98
    """
    weights = np.fromiter(probs.values(), np.float64, len(probs))
    total = weights.sum()
    if not (np.isfinite(total) and total > 0 and (weights >= 0).all()):
        raise UsageError(f"weights of a draw are not negative and have a finite sum above 0: got {total}")
    # 24 random bits of a float32 would make rare bytes rarer, so that two words are drawn.
    high, low = np.asarray(jax.random.bits(rng, (2,)), np.uint64).tolist()
    threshold = ((high << 21) ^ (low >> 11)) / 2**53 * total
    index = int(np.searchsorted(np.cumsum(weights), threshold, side="right"))
    # Rounding of the sum must not choose a key of weight 0 behind the last one.
    return list(probs)[min(index, int(np.flatnonzero(weights)[-1]))]


class StatefulByteLM(LMState, ABC):
    """A language model over bytes after some bytes. It is immutable: `state << byte` is another state.

    A subclass defines `<<` and `logp_next`; both may be coroutine functions. `await` works on what both of
    them return in either case. Symbols 0 to 255 are bytes; the last slot of a distribution ends the text.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import ByteLogProbs, StatefulByteLM
      >>> class Alphabet(StatefulByteLM):
      ...     "After a byte comes the next one; after `e` the text ends."
      ...     def __init__(self, last=96): self.last = last
      ...     def __lshift__(self, byte): return Alphabet(byte)
      ...     def logp_next(self):
      ...         log_probs = np.full(257, -np.inf)
      ...         log_probs[256 if self.last == ord("e") else self.last + 1] = 0
      ...         return ByteLogProbs(log_probs)
      >>> Alphabet().greedy(b"ab", steps=2), Alphabet().greedy(b"ab", steps=100)
      (b'abcd', b'abcde')
    """

    @property
    def context(self) -> bytes:
        """The bytes read so far, of models that store them.

        Raises:
          AttributeError: if the state does not store them.
        """
        raise AttributeError(f"a state of {type(self).__name__} does not store the bytes that it has read")

    @abstractmethod
    def __lshift__(self, symbol: int) -> Any:
        """Returns the state after one more byte.

        Args:
          symbol: the byte, 0 to 255.
        """

    @abstractmethod
    def logp_next(self) -> Any:
        """Returns the log-probs of the next byte and of the text's end, `ByteLogProbs`, in nats."""

    async def logp_next_async(self) -> Any:
        """Returns `logp_next()`, computed; coroutines that wait together may share calls of the device."""
        return await _awaited(self.logp_next())

    @classmethod
    def logp_next_many(cls, states: Sequence["StatefulByteLM"]) -> list[ByteLogProbs]:
        """Returns `logp_next` of many states, computed; they may share calls of the device.

        Args:
          states: of this class.
        """

        async def together() -> list[ByteLogProbs]:
            return await asyncio.gather(*(state.logp_next_async() for state in states))

        return in_own_loop(together())

    @classmethod
    def are_full(cls, states: Sequence["StatefulByteLM"]) -> list[bool]:
        """Returns of which states the model can read no more bytes; without such a limit of none.

        Args:
          states: of this class.
        """
        return [False for _ in states]

    def prune(self: _State) -> _State:
        """Returns the state without what is too unlikely to be followed; by default the state itself."""
        return self

    def prefill(self: _State, context: bytes | str | Iterable[int]) -> _State:
        """Returns the state after all these bytes.

        Args:
          context: bytes; a string stands for its UTF-8.

        Raises:
          UsageError: if a number is not a byte, or a method of the state waits for an event loop.
        """
        return _run(self._read(as_bytes(context)))

    async def prefill_async(self: _State, context: bytes | str | Iterable[int]) -> _State:
        """Returns the state after all these bytes, as `prefill`."""
        return await _run_async(self._read(as_bytes(context)))

    def greedy(self, context: bytes | str | Iterable[int], steps: int) -> bytes:
        """Returns the context and the likeliest next byte, again and again, until the text ends.

        It also ends where the model can read no more.

        Args:
          context: bytes that are read first; a string stands for its UTF-8.
          steps: the most bytes that are added.

        Raises:
          UsageError: if `steps` is not a whole number from 0, a number of the context is not a byte, the
            model reads no more than the context, no byte can follow, or a method of the state waits for an
            event loop.
        """
        context, steps = as_bytes(context), _checked_steps(steps)
        return _run(_write(self.prefill(context), context, steps, _likeliest))

    async def greedy_async(self, context: bytes | str | Iterable[int], steps: int) -> bytes:
        """Returns what `greedy` returns; coroutines that wait together may share calls of the device."""
        context, steps = as_bytes(context), _checked_steps(steps)
        return await _run_async(_write(await self.prefill_async(context), context, steps, _likeliest))

    def sample(
        self,
        context: bytes | str | Iterable[int],
        steps: int,
        draw: Draw = sample_dict,
        *,
        rng: jax.Array | None = None,
    ) -> bytes:
        """Returns the context and bytes that are drawn after it, until the text ends.

        It also ends where the model can read no more.

        Args:
          context: bytes that are read first; a string stands for its UTF-8.
          steps: the most bytes that are added.
          draw: chooses a slot from the probabilities of all slots, a dict. It is called with the dict and, if
            `rng` is given, with a key of its own for every step.
          rng: PRNG key, consumed; None: `draw` is called with the dict alone, which `sample_dict` refuses.

        Raises:
          UsageError: as `greedy`, and if the default draw is used without a key or a draw is no slot.
        """
        context, steps = as_bytes(context), _checked_steps(steps)
        choose = _chooser(draw, rng)
        return _run(_write(self.prefill(context), context, steps, choose))

    async def sample_async(
        self,
        context: bytes | str | Iterable[int],
        steps: int,
        draw: Draw = sample_dict,
        *,
        rng: jax.Array | None = None,
    ) -> bytes:
        """Returns what `sample` returns; coroutines that wait together may share calls of the device.

        Args:
          context: the bytes before the text, or a str for its UTF-8 bytes.
          steps: the number of bytes to draw at most.
          draw: chooses a symbol of a dict from symbols to probabilities.
          rng: the key that `sample_dict` draws with.
        """
        context, steps = as_bytes(context), _checked_steps(steps)
        choose = _chooser(draw, rng)
        return await _run_async(_write(await self.prefill_async(context), context, steps, choose))

    def _read(self: _State, context: bytes) -> Generator[Any, Any, _State]:
        state = self
        for byte in context:
            state = yield state.prune() << byte
        return state


def in_own_loop(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Returns the result of a coroutine, in an event loop of its own, also where one is running already.

    Args:
      coroutine: it awaits nothing of another loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(max_workers=1) as worker:
        return worker.submit(asyncio.run, coroutine).result()


def as_bytes(context: bytes | str | Iterable[int]) -> bytes:
    """Returns bytes; a string stands for its UTF-8, other iterables hold numbers of 0 to 255.

    Args:
      context: bytes, a string or numbers.

    Raises:
      UsageError: if it is none of these, a string cannot be written in UTF-8, or a number is not a byte.
    """
    if isinstance(context, str):
        try:
            return context.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"half a surrogate pair cannot be written in UTF-8: got {context!r:.60}"
            ) from error
    if isinstance(context, (bytes, bytearray, memoryview)):
        return bytes(context)
    try:
        return bytes([checked_byte(number) for number in context])
    except TypeError:
        raise UsageError(f"a context is bytes, a string or numbers of 0 to 255: got {context!r}") from None


def checked_byte(symbol: int) -> int:
    """Returns the number of a byte as an int.

    Raises:
      UsageError: if it is not one of 0 to 255.
    """
    try:
        byte = operator.index(symbol)
    except TypeError:
        byte = -1
    if isinstance(symbol, (bool, np.bool_)) or not 0 <= byte < NUM_BYTES:
        raise UsageError(f"bytes lie in 0..{NUM_BYTES - 1}: got {symbol!r}")
    return byte


def _checked_steps(steps: int) -> int:
    if not matches_type(steps, int) or steps < 0:
        raise UsageError(f"steps is a whole number from 0: got {steps!r}")
    return steps


def _write(
    state: StatefulByteLM, context: bytes, steps: int, choose: Callable[[ByteLogProbs, int], int]
) -> _Walk:
    written = bytearray(context)
    for step in range(steps):
        try:
            log_probs = yield state.logp_next()
            largest = np.max(log_probs.log_probs)
        except LongContextError:
            if step == 0:
                raise
            break
        if not np.isfinite(largest):
            raise UsageError(f"no byte can follow {bytes(written[-20:])!r}: every one has probability 0")
        symbol = choose(log_probs, step)
        if symbol == log_probs.end:
            break
        written.append(checked_byte(symbol))
        if step + 1 < steps:
            state = yield state.prune() << symbol
    return bytes(written)


def _likeliest(log_probs: ByteLogProbs, step: int) -> int:
    del step
    return log_probs.argmax()


def _chooser(draw: Draw, rng: jax.Array | None) -> Callable[[ByteLogProbs, int], int]:
    if rng is None and draw is sample_dict:
        raise UsageError("a draw needs a key: give rng, such as jax.random.key(0), or a draw of your own")

    def choose(log_probs: ByteLogProbs, step: int) -> int:
        keys = () if rng is None else (jax.random.fold_in(rng, step),)
        symbol = draw(log_probs.probs(), *keys)
        if symbol is None or symbol not in range(log_probs.num_slots):
            raise UsageError(f"a draw returns one of the keys that it is given, but not None: got {symbol!r}")
        return symbol

    return choose


def _run(walk: Generator[Any, Any, _Result]) -> _Result:
    """The result of a walk, whose steps are computed here and now."""
    try:
        item = next(walk)
        while True:
            item = walk.send(_finished(item) if inspect.iscoroutine(item) else item)
    except StopIteration as ended:
        return ended.value


async def _run_async(walk: Generator[Any, Any, _Result]) -> _Result:
    try:
        item = next(walk)
        while True:
            try:
                value = await _awaited(item)
            except LongContextError as error:
                item = walk.throw(error)
            else:
                item = walk.send(value)
    except StopIteration as ended:
        return ended.value


async def _awaited(item: Any) -> Any:
    return await item if inspect.isawaitable(item) else item


def _finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return _finished(ended.value) if inspect.iscoroutine(ended.value) else ended.value
    coroutine.close()
    raise UsageError(
        "a method of this state waits for an event loop: use prefill_async, greedy_async or sample_async"
    )
