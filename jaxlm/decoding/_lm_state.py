"""What every language model as a state offers, whatever its symbols are: tokens, or bytes."""

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

_State = TypeVar("_State", bound="LMState")


@runtime_checkable
class LMState(Protocol):
    """What has been read under a language model, and what may come next. It never changes.

    A symbol is a number: of token states an id, of byte states a byte or what stands for the text's end.
    `state << symbol` is the state after one more, and costs the same however much has been read; what the
    model computes for it may wait until somebody asks. `await (state << symbol)` is that state, too.

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
        """The symbols read so far, collected when asked for."""
        ...

    def __lshift__(self: _State, symbol: int) -> _State:
        """Returns the state after one more symbol.

        Raises:
          UsageError: if the model has no such symbol.
        """
        ...

    def __await__(self: _State) -> Generator[Any, None, _State]:
        """Returns the state itself, for those who await what `<<` returns; it computes nothing."""
        yield from ()
        return self

    def logp_next(self) -> np.ndarray:
        """Returns the log-probs `Float32` of the next symbol, one a symbol, in nats."""
        ...

    async def logp_next_async(self) -> np.ndarray:
        """Returns the same; awaits that are under way at once may share calls of the device."""
        ...
