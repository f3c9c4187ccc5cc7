"""A beam over bytes as a state: the likeliest tokenizations of a text, summed."""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.decoding import RequestBatcher
from jaxlm.decoding.bytes._beam_engine import BeamEngine, BeamStep
from jaxlm.decoding.bytes._beam_step import NO_BYTE
from jaxlm.decoding.bytes._forecasts import NO_FIRST_BYTE
from jaxlm.decoding.bytes._probs import END_OF_TEXT, NUM_BYTES, ByteLogProbs
from jaxlm.decoding.bytes._states import LongContextError, StatefulByteLM, as_bytes, checked_byte
from jaxlm.errors import UsageError


class BeamCandidate(NamedTuple):
    """A tokenization that a beam follows.

    Attributes:
      tokens: ids, after those that open every text.
      partial: the bytes after them, of a token that is not finished.
      log_prob: nats of the tokens and of all tokens that begin with the partial bytes.

    Example:
      >>> from jaxlm.decoding.bytes import BeamCandidate
      >>> candidate = BeamCandidate(tokens=(116, 111), partial=b" b", log_prob=-7.5)
      >>> candidate.tokens, candidate.partial
      ((116, 111), b' b')
    """

    tokens: tuple[int, ...]
    partial: bytes
    log_prob: float


class BeamByteState(StatefulByteLM):
    """A text under a model over tokens, as a beam of its likeliest tokenizations. It is immutable.

    `beam_state` makes the first state. `state << byte` computes nothing; the model is asked when a
    distribution or a probability is. A beam is never larger than its settings say, so that `prune` returns
    the state itself. `log_prob` is at most the true log-probability, and equal to it where nothing was left
    out.

    `prefill` reads a token that ends texts as its bytes, if it has any; everywhere else it ends the text.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import BeamSettings, beam_state, make_byte_model
      >>> config = models.TransformerConfig(
      ...     vocab_size=260, width=8, depth=1, num_heads=2, causal=True, max_length=32
      ... )
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> byte_model = make_byte_model(pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {}))
      >>> state = beam_state(byte_model, BeamSettings(num_candidates=3)).prefill(b"to b")
      >>> longer = state << ord("e")
      >>> longer.context, len(longer.logp_next()), state.context, longer.dropped
      (b'to be', 257, b'to b', 0.0)
    """

    def __init__(
        self,
        engine: "SharedBeam",
        step: BeamStep | None,
        text: "_Text | None",
        pending: "_Follows | None" = None,
    ) -> None:
        """Makes a state; users call `beam_state`.

        Args:
          engine: what all states of a beam share.
          step: its candidates; None: they follow from `pending`.
          text: the bytes read so far; None: there are none.
          pending: the state before, and what follows it.
        """
        self._engine, self._step, self._text, self._pending = engine, step, text, pending
        self._distribution: np.ndarray | None = None

    @property
    def context(self) -> bytes:
        """The bytes read so far; each access collects them."""
        letters, text = bytearray(), self._text
        while text is not None:
            if text.symbol != END_OF_TEXT:
                letters.append(text.symbol)
            text = text.before
        return bytes(letters[::-1])

    @property
    def has_ended(self) -> bool:
        """Whether the text has ended."""
        return self._text is not None and self._text.symbol == END_OF_TEXT

    @property
    def log_prob(self) -> float:
        """Nats of the bytes read so far, and of the text's end if it has ended; at most the true ones."""
        return self._engine.step(self).log_prob

    @property
    def dropped(self) -> float:
        """The share of the probability that was left out on the way, in [0, 1]; 0: `log_prob` is exact.

        Shares of single bytes add up as they are found: what was left out might have become likelier or less
        likely since. Healing, which leaves one candidate, is not counted.
        """
        return 0.0 - float(np.expm1(self._engine.step(self).log_kept))

    @property
    def candidates(self) -> list[BeamCandidate]:
        """The tokenizations that the beam follows, likeliest first."""
        return self._engine.candidates(self)

    def __lshift__(self, symbol: int) -> "BeamByteState":
        """Returns the state after one more byte, or after the end of the text, 256.

        Args:
          symbol: 0 to 255, or 256.

        Raises:
          UsageError: if there is no such symbol or the text has ended.
        """
        if self.has_ended:
            raise UsageError(f"the text has ended: got another symbol, {symbol!r}")
        if not isinstance(symbol, (int, np.integer)) or symbol != END_OF_TEXT:
            symbol = checked_byte(symbol)
        text = _Text(self._text, int(symbol))
        return BeamByteState(self._engine, None, text, _Follows(self, int(symbol), None))

    def logp_next(self) -> ByteLogProbs:
        """Returns the log-probs of the next byte and of the text's end, in nats, relative to their sum.

        All are -inf where no candidate is left, or the text has ended.
        """
        return ByteLogProbs(
            lambda: self._engine.distributions([self])[0], lambda: self._engine.distribution_async(self)
        )

    async def logp_next_async(self) -> ByteLogProbs:
        """Returns `logp_next()`, computed; coroutines that wait together share calls of the device."""
        return await self.logp_next()

    @classmethod
    def logp_next_many(cls, states: Sequence[StatefulByteLM]) -> list[ByteLogProbs]:
        """Returns `logp_next` of many states, computed; those of one beam share calls of the device.

        Args:
          states: of any beams.
        """
        for beam, own in _by_beam(states).items():
            beam.distributions(own)
        return [ByteLogProbs(state.logp_next().log_probs) for state in states]

    @classmethod
    def are_full(cls, states: Sequence[StatefulByteLM]) -> list[bool]:
        """Returns of which states a candidate has as many tokens as the model reads: one more is too many.

        Args:
          states: of any beams.
        """
        full: set[BeamByteState] = set()
        for beam, own in _by_beam(states).items():
            beam.settle(own)
            full.update(state for state in own if beam.beam.is_full(_required_step(state)))
        return [state in full for state in states]

    def prefill(self, context: bytes | str | Iterable[int]) -> "BeamByteState":
        """Returns the state after all these bytes, in which no token ends the text.

        Args:
          context: bytes; a string stands for its UTF-8.

        Raises:
          UsageError: if a number is not a byte or the text has ended.
        """
        state = self._with_ends_as_text(True)
        for byte in as_bytes(context):
            state = state << byte
        return state._with_ends_as_text(False)

    async def prefill_async(self, context: bytes | str | Iterable[int]) -> "BeamByteState":
        """Returns the state after all these bytes, as `prefill`, which computes nothing."""
        return self.prefill(context)

    def __repr__(self) -> str:
        return f"BeamByteState({self.context!r}{', ended' if self.has_ended else ''})"

    def _with_ends_as_text(self, is_text: bool) -> "BeamByteState":
        if not self._engine.beam.eos_has_bytes:
            return self
        return BeamByteState(self._engine, None, self._text, _Follows(self, NO_BYTE, is_text))


class _Text(NamedTuple):
    """A symbol after a text."""

    before: "_Text | None"
    symbol: int


class _Follows(NamedTuple):
    """What a state follows from: a state and a symbol; or -1 and whether ids that end a text are text now."""

    before: BeamByteState
    symbol: int
    is_text: bool | None


class SharedBeam:
    """What all states of a beam share: it computes candidates and distributions of many states together."""

    def __init__(self, beam: BeamEngine) -> None:
        """Makes it.

        Args:
          beam: the engine.
        """
        self.beam = beam
        self._lock = threading.RLock()
        self._batcher = RequestBatcher(self.distributions)

    def step(self, state: BeamByteState) -> BeamStep:
        """Returns the candidates of a state."""
        self.settle([state])
        return _required_step(state)

    def settle(self, states: Sequence[BeamByteState]) -> None:
        """Computes the candidates of states that were made by `<<`, a byte of all of them at a time.

        Args:
          states: of this beam.
        """
        with self._lock:
            chains = [chain for state in dict.fromkeys(states) if (chain := _unsettled(state))]
            while chains:
                earliest = dict.fromkeys(chain.pop() for chain in chains)
                # Chains of states with a common beginning meet the same states again.
                self._settle_next([state for state in earliest if state._step is None])
                chains = [chain for chain in chains if chain]

    def _settle_next(self, states: list[BeamByteState]) -> None:
        """Computes the candidates of states that follow from settled ones."""
        beam, going_on, steps = self.beam, [], []
        for state in states:
            before, _, is_text = _required_pending(state)
            step = _required_step(before)
            if state.has_ended:
                log_prob = step.log_prob + float(beam.log_weights([step])[0, END_OF_TEXT])
                _settle(state, beam.empty_step(step, log_prob))
            elif is_text is not None:
                # The extensions stay: a token that ends with the prompt is text, even one that ends texts.
                _settle(state, step._replace(is_text=is_text))
            else:
                going_on.append(state)
                steps.append(step)
        symbols = [_required_pending(state).symbol for state in going_on]
        for state, step in zip(going_on, beam.advance(steps, symbols), strict=True):
            _settle(state, step)

    def distributions(self, states: Sequence[BeamByteState]) -> list[np.ndarray]:
        """Returns the log-probs `Float32[257]` of the next symbol after each state.

        Args:
          states: of this beam.

        Raises:
          UsageError: if no byte was read, and no token begins texts.
        """
        if not self.beam.opening_ids and any(state._text is None for state in states):
            raise UsageError(NO_FIRST_BYTE)
        with self._lock:
            self.settle(states)
            unique = dict.fromkeys(states)
            missing = [state for state in unique if state._distribution is None and not state.has_ended]
            joint = self.beam.log_weights([_required_step(state) for state in missing])
            for state, weights in zip(missing, joint, strict=True):
                total = np.logaddexp.reduce(weights.astype(np.float64))
                state._distribution = (weights - (total if np.isfinite(total) else 0)).astype(np.float32)
        nothing = np.full(NUM_BYTES + 1, -np.inf, np.float32)
        return [nothing if state._distribution is None else state._distribution for state in states]

    async def distribution_async(self, state: BeamByteState) -> np.ndarray:
        """Returns the distribution of one state; coroutines that wait at the same time share calls."""
        if state._distribution is not None:
            return state._distribution
        try:
            return await self._batcher.log_probs(state)
        except LongContextError:
            # It may be another of the states that waited that is too long.
            return self.distributions([state])[0]

    def candidates(self, state: BeamByteState) -> list[BeamCandidate]:
        """Returns the tokenizations that a state follows."""
        with self._lock:
            return self._candidates(self.step(state), state.context)

    def _candidates(self, step: BeamStep, text: bytes) -> list[BeamCandidate]:
        opening = len(self.beam.opening_ids)
        results = []
        for context, node, base in zip(step.contexts, step.nodes.tolist(), step.bases.tolist(), strict=True):
            if context is None:
                continue
            tokens = tuple(ancestor.token for ancestor in context.path())[::-1][opening:]
            partial = text[len(text) - self.beam.host_trie.depth(node) :]
            log_prob = step.log_prob + base + self.beam.node_mass(context, node, is_text=step.is_text)
            results.append(BeamCandidate(tokens, partial, log_prob))
        return sorted(results, key=lambda candidate: -candidate.log_prob)


def _by_beam(states: Sequence[StatefulByteLM]) -> dict[SharedBeam, list[BeamByteState]]:
    beams: dict[SharedBeam, list[BeamByteState]] = {}
    for state in states:
        if not isinstance(state, BeamByteState):
            raise UsageError(f"states of a beam are BeamByteState: got {type(state).__name__}")
        beams.setdefault(state._engine, []).append(state)
    return beams


def _unsettled(state: BeamByteState) -> list[BeamByteState]:
    """The state and those before it whose candidates are not computed, the earliest last."""
    chain = []
    while state._step is None:
        chain.append(state)
        state = _required_pending(state).before
    return chain


def _settle(state: BeamByteState, step: BeamStep) -> None:
    state._step, state._pending = step, None


def _required_pending(state: BeamByteState) -> _Follows:
    if state._pending is None:
        raise AssertionError("a state without candidates follows from no other")
    return state._pending


def _required_step(state: BeamByteState) -> BeamStep:
    if state._step is None:
        raise AssertionError("the candidates of this state were not computed")
    return state._step
