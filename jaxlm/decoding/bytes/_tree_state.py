"""A byte model as a state: the bytes read so far, and the next one, for one step of the model a byte."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from jaxlm import models
from jaxlm.decoding.bytes._asking import Asking, run_asking, run_asking_async, run_askings
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._forecasts import NO_FIRST_BYTE, next_masses
from jaxlm.decoding.bytes._probs import END_OF_TEXT, ByteLogProbs
from jaxlm.decoding.bytes._states import LongContextError, StatefulByteLM, as_bytes, checked_byte
from jaxlm.decoding.bytes._stem_tree import log_sum
from jaxlm.decoding.bytes._tree_reading import TreeReading, advanced, read_together
from jaxlm.errors import UsageError

# So many bytes that were read without a look at the distribution are read in one pass, fewer step by step.
READ_TOGETHER = 8


class TreeByteState(StatefulByteLM):
    """A byte model after some bytes; `state << byte` is another state, and this one does not change.

    `tree_state` makes the first one. The model reads one token a byte, whatever the number of stems; states
    of a `ByteModel` share keys and values, and coroutines that wait together share calls of the device.

    Attributes:
      byte_model: the model.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model, tree_state
      >>> config = models.TransformerConfig(
      ...     vocab_size=260, width=8, depth=1, num_heads=2, causal=True, max_length=32
      ... )
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> state = tree_state(make_byte_model(loaded)).prefill(b"to b")
      >>> longer = state << ord("e")
      >>> longer.context, len(longer.logp_next()), state.context
      (b'to be', 257, b'to b')
    """

    def __init__(
        self,
        byte_model: ByteModel,
        data: bytes,
        *,
        before: "TreeByteState | None" = None,
        has_ended: bool = False,
    ) -> None:
        """Makes a state; `tree_state` and `<<` are what users call.

        Args:
          byte_model: the model.
          data: the bytes read so far, with the tokenizer's prefix.
          before: the state without the last byte; None: all bytes are read together.
          has_ended: whether the text has ended behind the bytes.
        """
        self.byte_model = byte_model
        self._data, self._before, self._has_ended = data, before, has_ended
        self._reading: TreeReading | None = None
        self._joint: np.ndarray | None = None
        self._rows: np.ndarray | None = None

    @property
    def context(self) -> bytes:
        """The bytes read so far."""
        return self._data[len(self.byte_model.prefix) :]

    @property
    def has_ended(self) -> bool:
        """Whether the end of the text was read."""
        return self._has_ended

    @property
    def log_prob(self) -> float:
        """The log-probability of the bytes read so far, as a prefix of texts or as a whole text, in nats."""
        if self._has_ended and self._before is not None:
            return float(self._before.joint_next()[END_OF_TEXT])
        reading = run_asking(self.byte_model, self._read())
        return reading.log_prob - reading.base

    @property
    def dropped(self) -> float:
        """The share of the mass that was lost because more than `max_stems` stems were live."""
        return float(-np.expm1(run_asking(self.byte_model, self._read()).kept)) + 0.0

    def __repr__(self) -> str:
        ended = ", has_ended=True" if self._has_ended else ""
        return f"TreeByteState(context={self.context!r}{ended})"

    def __reduce__(self) -> tuple:
        return _unpickled, (self.byte_model, self._data, self._has_ended)

    def __lshift__(self, symbol: int) -> "TreeByteState":
        """Returns the state after one more byte; nothing is computed before it is asked for.

        Args:
          symbol: the byte, 0 to 255, or 256 for the end of the text.

        Raises:
          UsageError: if it is no such number, or the text has ended.
        """
        if self._has_ended:
            raise UsageError(f"the text has ended, and nothing follows its end: got {symbol!r}")
        is_end = isinstance(symbol, (int, np.integer)) and symbol == END_OF_TEXT
        new = b"" if is_end else bytes([checked_byte(symbol)])
        return TreeByteState(self.byte_model, self._data + new, before=self, has_ended=is_end)

    def prefill(self, context: bytes | str | Iterable[int]) -> "TreeByteState":
        """Returns the state after all these bytes, which the model reads in one pass.

        Args:
          context: bytes; a string stands for its UTF-8.

        Raises:
          UsageError: if a number is not a byte, no token can write one of the bytes, or the model reads fewer
            tokens.
        """
        state = self._after(context)
        run_asking(state.byte_model, state._read())
        return state

    async def prefill_async(self, context: bytes | str | Iterable[int]) -> "TreeByteState":
        """Returns the state after all these bytes, as `prefill`."""
        state = self._after(context)
        await run_asking_async(state.byte_model, state._read())
        return state

    def logp_next(self) -> ByteLogProbs:
        """Returns the log-probs of the next byte and of the text's end, in nats, which sum to 1.

        The mass of the bytes is more than that of what may follow: ids that end with the last byte and are
        not canonical are not followed. So this is the joint probability, renormalised.
        """
        return ByteLogProbs(
            lambda: self._normalised(run_asking(self.byte_model, self._next())), self._logp_next_async
        )

    @classmethod
    def logp_next_many(cls, states: Sequence[StatefulByteLM]) -> list[ByteLogProbs]:
        """Returns `logp_next` of many states, computed; those of one model share calls of the device.

        Args:
          states: of any byte models.
        """
        own = _tree_states(states)
        run_askings([(state.byte_model, state._next()) for state in own])
        return [ByteLogProbs(state._normalised(run_asking(state.byte_model, state._next()))) for state in own]

    @classmethod
    def are_full(cls, states: Sequence[StatefulByteLM]) -> list[bool]:
        """Returns of which states the model can read no more bytes: their last id is one too many for it.

        Args:
          states: of any byte models.
        """
        own = _tree_states(states)
        return [state._is_full() for state in own]

    async def _logp_next_async(self) -> np.ndarray:
        return self._normalised(await run_asking_async(self.byte_model, self._next()))

    def joint_next(self) -> np.ndarray:
        """Returns log P of the bytes with each next byte, and with the end, `Float64[257]` in nats.

        The first 256 are what `log_prob` is after that byte, unless that byte changes how earlier bytes are
        divided.
        """
        joint = run_asking(self.byte_model, self._next())
        if self._has_ended:
            return joint
        # Where a stem that was left out joins again, it brings no more than what is there: see `StemSums`.
        reading = self._required()
        return np.minimum(joint, reading.log_prob) - reading.base

    def _is_full(self) -> bool:
        try:
            reading = run_asking(self.byte_model, self._read())
        except LongContextError:
            return True
        reads = models.longest_text(self.byte_model.model.config)
        return any(stem.node.depth > reads for stem in reading.stems if stem.forecast is None)

    def _after(self, context: bytes | str | Iterable[int]) -> "TreeByteState":
        new = as_bytes(context)
        if self._has_ended and new:
            raise UsageError(f"the text has ended, and nothing follows its end: got {new[:20]!r}")
        if len(new) < READ_TOGETHER:
            return functools.reduce(TreeByteState.__lshift__, new, self)
        return TreeByteState(self.byte_model, self._data + new)

    def _normalised(self, joint: np.ndarray) -> np.ndarray:
        total = log_sum(joint.tolist())
        return joint - total if total > -np.inf else joint

    def _required(self) -> TreeReading:
        if self._reading is None:
            raise AssertionError("this state was not read yet")
        return self._reading

    def _read(self) -> Asking:
        """Makes the readings of this state and, where they are few, of those before it that have none."""
        if self._has_ended and self._before is not None:
            return (yield from self._before._read())
        states: list[TreeByteState] = [self]
        while states[-1]._reading is None and states[-1]._before is not None:
            states.append(states[-1]._before)
        if states[-1]._reading is None or len(states) > READ_TOGETHER:
            if self._reading is None:
                self._reading, self._before = read_together(self.byte_model, self._data), None
            return self._reading
        for before, state in zip(states[:0:-1], states[-2::-1], strict=True):
            if state._reading is None:
                reading, masses = yield from before._masses()
                state._reading = yield from advanced(self.byte_model, reading, masses, state._data[-1])
                state._before = None
        return self._reading

    def _next(self) -> Asking:
        """The joint log-probs of each next byte and the end, with the prefix: `Float64[257]`."""
        if self._joint is not None:
            return self._joint
        if self._has_ended:
            self._joint = np.full(END_OF_TEXT + 1, -np.inf)
            return self._joint
        if not self.context and not self.byte_model.opening_ids:
            raise UsageError(NO_FIRST_BYTE)
        yield from self._read()
        reading, masses = yield from self._masses()
        joint = np.full(END_OF_TEXT + 1, -np.inf)
        for stem, row in zip(reading.stems, masses, strict=True):
            joint[:END_OF_TEXT] = np.logaddexp(joint[:END_OF_TEXT], stem.log_prob + row)
            if stem.node is reading.closed and stem.forecast is not None:
                joint[END_OF_TEXT] = stem.log_prob + stem.forecast.end
        self._joint = joint
        return joint

    def _masses(self) -> Asking:
        """The reading with the forecasts of its stems, and the masses of each next byte behind each stem."""
        reading = self._required()
        missing = [stem.node for stem in reading.stems if stem.forecast is None]
        if missing:
            asked = iter((yield missing))
            stems = tuple(
                stem._replace(forecast=next(asked)) if stem.forecast is None else stem
                for stem in reading.stems
            )
            self._reading = reading = reading._replace(stems=stems)
        if self._rows is None:
            self._rows = next_masses(self.byte_model, reading.stems)
        return reading, self._rows


def tree_state(byte_model: ByteModel, context: bytes | str = b"") -> TreeByteState:
    """Returns the state after some bytes, before any by default.

    Args:
      byte_model: from `make_byte_model`.
      context: bytes that are read first.

    Raises:
      UsageError: as `TreeByteState.prefill`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model, tree_state
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, causal=True, max_length=32)
      >>> config, tokenizer = models.TransformerConfig(**size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> state = tree_state(make_byte_model(loaded), b"to b")
      >>> state.context, state.log_prob < 0, state.dropped
      (b'to b', True, 0.0)
    """
    state = TreeByteState(byte_model, byte_model.prefix)
    return state.prefill(context) if context else state


def _unpickled(byte_model: ByteModel, data: bytes, has_ended: bool) -> TreeByteState:
    state = TreeByteState(byte_model, data)
    return state << END_OF_TEXT if has_ended else state


def _tree_states(states: Sequence[StatefulByteLM]) -> list[TreeByteState]:
    others = [type(state).__name__ for state in states if not isinstance(state, TreeByteState)]
    if others:
        raise UsageError(f"states of trees are TreeByteState: got {others[0]}")
    return [state for state in states if isinstance(state, TreeByteState)]
