"""The distribution of the next byte as a view, which is computed when somebody looks at it."""

from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, TypeVar

import numpy as np

from jaxlm.errors import UsageError
from jaxlm.typing import Float

NUM_BYTES = 256
# The symbol that ends a text, in distributions of 257 slots; in those of 258 it is 257.
END_OF_TEXT = NUM_BYTES

_View = TypeVar("_View", bound="LazyLogProbs")


class LazyLogProbs:
    """Log-probs of the next symbol, in nats. They are computed when a value is asked for, and only once.

    `await view` returns the view after computing it; coroutines that wait together share calls of the device.
    NumPy takes the view for the array.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import LazyLogProbs
      >>> view = LazyLogProbs(lambda: np.log(np.array([0.25, 0.75], np.float32)), num_slots=2)
      >>> len(view), round(view[1], 3), view.argmax(), np.exp(view).round(2).tolist()
      (2, -0.288, 1, [0.25, 0.75])
    """

    def __init__(
        self,
        log_probs: np.ndarray | Callable[[], np.ndarray],
        log_probs_async: Callable[[], Awaitable[np.ndarray]] | None = None,
        *,
        num_slots: int | None = None,
    ) -> None:
        """Makes a view.

        Args:
          log_probs: `Float[num_slots]`, or a function that computes them.
          log_probs_async: the same as a coroutine function; None: awaiting calls `log_probs`.
          num_slots: how many symbols there are, if `log_probs` is a function; None: as many as an array has.

        Raises:
          UsageError: if an array is not of `num_slots` numbers.
        """
        self._compute, self._compute_async = (None, None)
        self._values: np.ndarray | None = None
        if callable(log_probs):
            if num_slots is None:
                raise UsageError("a view of a function needs its num_slots: got None")
            self._compute, self._compute_async = log_probs, log_probs_async
        else:
            num_slots = np.size(log_probs) if num_slots is None else num_slots
            self._values = _checked_values(log_probs, num_slots)
        self.num_slots = num_slots

    @property
    def log_probs(self) -> Float[np.ndarray, " num_slots"]:
        """All values as a read-only array `Float32[num_slots]`."""
        if self._values is None:
            self._set(self._compute() if self._compute is not None else None)
        return self._required()

    def argmax(self) -> int:
        """Returns the likeliest symbol, the first of several."""
        return int(np.argmax(self.log_probs))

    def __await__(self: _View) -> Generator[Any, None, _View]:
        if self._values is None:
            if self._compute_async is None:
                self._set(self.log_probs)
            else:
                self._set((yield from self._compute_async().__await__()))
        return self

    def __len__(self) -> int:
        return self.num_slots

    def __iter__(self) -> Iterator[float]:
        return iter(self.log_probs.tolist())

    def __getitem__(self, slot: int) -> float:
        """Returns the log-prob of a symbol.

        Args:
          slot: its number.

        Raises:
          UsageError: if there is no such slot.
        """
        if isinstance(slot, (bool, np.bool_)) or not isinstance(slot, (int, np.integer)):
            raise UsageError(f"a symbol is a whole number: got {slot!r}")
        if not 0 <= slot < self.num_slots:
            raise UsageError(f"symbols lie in 0..{self.num_slots - 1}: got {slot}")
        return float(self.log_probs[slot])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.log_probs, dtype=dtype) if copy else np.asarray(self.log_probs, dtype=dtype)

    def _set(self, values: np.ndarray | None) -> None:
        if values is None:
            raise AssertionError("a view without values has no function that computes them")
        self._values = _checked_values(values, self.num_slots)

    def _required(self) -> np.ndarray:
        if self._values is None:
            raise AssertionError("the values of this view were not computed")
        return self._values


class ByteLogProbs(LazyLogProbs):
    """Log-probs of the next byte, in nats: slots 0 to 255 are bytes, the last slot ends the text.

    There are 257 slots, or 258, of which number 256 is then the end of a token, as in `genlm-bytes`; no byte
    model of this package uses it.

    Attributes:
      end: the number of the slot that ends the text: 256 of 257 slots, 257 of 258.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import ByteLogProbs
      >>> probs = np.zeros(257)
      >>> probs[[ord("a"), ord("b"), 256]] = 0.5, 0.3, 0.2
      >>> with np.errstate(divide="ignore"):
      ...     view = ByteLogProbs(np.log(probs))
      >>> view
      ByteLogProbs(b'a': 0.5, b'b': 0.3, end: 0.2)
      >>> round(view.materialize()[97], 3), view.end, view.argmax()
      (-0.693, 256, 97)
    """

    def __init__(
        self,
        log_probs: np.ndarray | Callable[[], np.ndarray],
        log_probs_async: Callable[[], Awaitable[np.ndarray]] | None = None,
        *,
        num_slots: int | None = None,
    ) -> None:
        """Makes a view.

        Args:
          log_probs: `Float[257]` or `Float[258]`, or a function that computes them.
          log_probs_async: the same as a coroutine function; None: awaiting calls `log_probs`.
          num_slots: 257 or 258; None: as many as an array has, and 257 for a function.

        Raises:
          UsageError: if there are neither 257 nor 258 slots.
        """
        if num_slots is None:
            num_slots = NUM_BYTES + 1 if callable(log_probs) else np.size(log_probs)
        if num_slots not in (NUM_BYTES + 1, NUM_BYTES + 2):
            raise UsageError(f"a distribution over bytes has 257 slots, or 258: got {num_slots}")
        super().__init__(log_probs, log_probs_async, num_slots=num_slots)

    @property
    def end(self) -> int:
        """The number of the slot that ends the text."""
        return self.num_slots - 1

    def materialize(self) -> dict[int | None, float]:
        """Returns the log-prob of every slot by its number; of 258 slots, the end of a token is None."""
        values = dict[int | None, float](enumerate(self.log_probs.tolist()))
        if self.num_slots == NUM_BYTES + 2:
            values = {None if slot == NUM_BYTES else slot: value for slot, value in values.items()}
        return values

    def probs(self) -> dict[int | None, float]:
        """Returns the probability of every slot by its number, as `materialize`."""
        with np.errstate(under="ignore"):
            return dict(
                zip(self.materialize(), np.exp(self.log_probs.astype(np.float64)).tolist(), strict=True)
            )

    def top(self, count: int) -> dict[int, float]:
        """Returns the log-probs of the likeliest slots, likeliest first, without those of probability 0.

        Args:
          count: the most slots that are returned.
        """
        order = np.argsort(-self.log_probs, kind="stable")[:count].tolist()
        return {slot: self[slot] for slot in order if self[slot] > -np.inf}

    def pretty(self, count: int = 10) -> str:
        """Returns the likeliest slots as a text of one line each: the byte and its probability.

        Args:
          count: the most lines.

        Example:
          >>> import numpy as np
          >>> from jaxlm.decoding.bytes import ByteLogProbs
          >>> print(ByteLogProbs(np.log(np.full(257, 1 / 257))).pretty(2))
          b'\\x00'  0.0039
          b'\\x01'  0.0039
        """
        rows = {self._name(slot): np.exp(value) for slot, value in self.top(count).items()}
        width = max(map(len, rows), default=0)
        return "\n".join(f"{name:{width}}  {prob:.4f}" for name, prob in rows.items())

    def __repr__(self) -> str:
        top = self.top(5)
        parts = [f"{self._name(slot)}: {np.exp(value):.3g}" for slot, value in top.items()]
        more = ", ..." if np.isfinite(self.log_probs).sum() > len(top) else ""
        return f"ByteLogProbs({', '.join(parts)}{more})"

    def _name(self, slot: int) -> str:
        if slot < NUM_BYTES:
            return repr(bytes([slot]))
        return "end" if slot == self.end else "end of token"


def _checked_values(values: np.ndarray, num_slots: int) -> np.ndarray:
    """The values as a read-only float32 array."""
    array = np.array(values, np.float32)
    if array.shape != (num_slots,):
        raise UsageError(f"a view of {num_slots} slots takes as many log-probs: got shape {array.shape}")
    array.flags.writeable = False
    return array
