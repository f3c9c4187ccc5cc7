"""The protocol of a language model as a state, for symbols of any kind: tokens, or bytes."""

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

_State = TypeVar("_State", bound="LMState")


@runtime_checkable
class LMState(Protocol):
    """A context that a language model has read, and the distribution of the next symbol. It is immutable.

    A symbol is a number: for token states an id, for byte states a byte or the number that ends a text.
    `state << symbol` is the state after one more symbol. The cost of `<<` does not depend on the context's
    length, and the model may compute nothing until `logp_next` is called. `await (state << symbol)` is the
    same state.

    Example:
      >>> import asyncio
      >>> import dataclasses
      >>> import numpy as np
      >>> from jaxlm.decoding import LMState
      >>> @dataclasses.dataclass(frozen=True)
      ... class Uniform(LMState):
      ...     context: tuple[int, ...] = ()
      ...     def __lshift__(self, symbol): return Uniform((*self.context, symbol))
      ...     def logp_next(self): return np.full(4, np.log(0.25), np.float32)
      ...     async def logp_next_async(self): return self.logp_next()
      >>> async def read(state):
      ...     state = await (state << 2)
      ...     return await (state << 3)
      >>> state = asyncio.run(read(Uniform()))
      >>> state.context, state.logp_next().shape, isinstance(state, LMState)
      ((2, 3), (4,), True)
    """

    @property
    def context(self) -> Sequence[int]:
        """The symbols read so far; each access collects them anew, in time proportional to their number."""
        ...

    def __lshift__(self: _State, symbol: int) -> _State:
        """Returns the state after one more symbol.

        Args:
          symbol: the number of the symbol.

        Raises:
          UsageError: if the model has no such symbol.
        """
        ...

    def __await__(self: _State) -> Generator[Any, None, _State]:
        """Returns the state itself, so that the result of `<<` can be awaited; computes nothing."""
        yield from ()
        return self

    def logp_next(self) -> np.ndarray:
        """Returns for each symbol the log-probability that it is the next one: float32, in nats."""
        ...

    async def logp_next_async(self) -> np.ndarray:
        """Returns `logp_next()`; coroutines that wait at the same time may share calls of the device."""
        ...
