"""What the states of a beam share: the model with its cache, and the pyramids of contexts on the device.

Many states are advanced by one program, and the model reads the contexts that they lack in one call. Letters:
`B` rows, `R` contexts in the pool, `P` leaves of a pyramid, `V` vocabulary.
"""

import functools
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding import CachedLM, Sampling
from jaxlm.decoding.bytes._beam_healing import Healed, HealingTrie, heal_candidates
from jaxlm.decoding.bytes._beam_settings import BeamSettings
from jaxlm.decoding.bytes._beam_step import (
    NO_BYTE,
    NO_CANDIDATE,
    advance_rows,
    next_byte_rows,
    text_log_probs,
)
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._states import LongContextError
from jaxlm.decoding.bytes._trie import TRIE_ROOT, ByteTrie, mass_pyramid, node_log_masses
from jaxlm.typing import Array, Bool, Float, Int

# The pool of pyramids takes so many bytes, unless one state needs more; at most so many contexts.
_POOL_BYTES, _MOST_CONTEXTS = 128 << 20, 1024
# So many distributions over tokens are held at a time.
_CONTEXTS_AT_ONCE = 64


class BeamStep(NamedTuple):
    """The candidates of a state, on the host, and the tokens that would finish them.

    Attributes:
      contexts: the node of each candidate's context in the model's cache; None: there is no candidate.
      nodes: `Int[candidates]` trie nodes, -1: there is no candidate.
      bases: `Float[candidates]` log-prob of each context, relative to `log_prob`.
      log_prob: nats of all bytes so far; at most the true one.
      log_kept: the log of the share of the probability that was never left out, at most 0.
      parents: `Int[extensions]` the candidate that each extension finishes.
      tokens: `Int[extensions]` its id.
      extension_bases: `Float[extensions]`, -inf: there is no extension.
      is_text: whether ids that end a text are read as their bytes, as in a prompt.
    """

    contexts: tuple[Any, ...]
    nodes: np.ndarray
    bases: np.ndarray
    log_prob: float
    log_kept: float
    parents: np.ndarray
    tokens: np.ndarray
    extension_bases: np.ndarray
    is_text: bool = False


class BeamEngine:
    """A model over tokens as a beam over bytes: shared by all states that come from one first state."""

    def __init__(
        self,
        lm: CachedLM,
        trie: ByteTrie,
        settings: BeamSettings,
        *,
        opening_ids: Sequence[int],
        eos_ids: Sequence[int] = (),
        first_log_probs: np.ndarray | None = None,
    ) -> None:
        """Makes an engine.

        Args:
          lm: the model and its cache.
          trie: of the bytes of its tokens.
          settings: of the beam.
          opening_ids: ids before every text.
          eos_ids: ids that end a text.
          first_log_probs: `Float32[V]` of the first id of a text, if there is no opening.
        """
        self.lm, self.trie, self.settings = lm, trie, settings
        self.opening_ids, self._first_log_probs = tuple(opening_ids), first_log_probs
        self.eos_ids = jnp.asarray(tuple(eos_ids), jnp.int32)
        self.sampling = jax.tree.map(jnp.asarray, settings.token_sampling)
        self.eos_has_bytes = bool((np.asarray(trie.leaf_of_token)[np.asarray(eos_ids, int)] >= 0).any())
        self.num_duplicates = int(np.asarray(trie.num_exact).max())
        self.num_extensions = settings.num_extensions
        self.size = settings.num_candidates + settings.reserve
        self.host_trie = HealingTrie(trie)
        num_leaves = ops.bucket(len(trie.token_ids))
        num_slots = self.size + self.num_extensions
        fitting = min(_POOL_BYTES // (8 * num_leaves), _MOST_CONTEXTS)
        self._num_rows = max(fitting, num_slots)
        self._most_states = max(1, min(self._num_rows // num_slots, _CONTEXTS_AT_ONCE))
        self._pool = jnp.zeros((self._num_rows, 2 * num_leaves), jnp.float32)
        self._ends = jnp.zeros((self._num_rows,), jnp.float32)
        self._rows: OrderedDict[tuple[Any, bool], int] = OrderedDict()

    def first_step(self, *, is_text: bool = False) -> BeamStep:
        """Returns the step before the first byte: one candidate at the root.

        Args:
          is_text: whether ids that end a text are read as their bytes.
        """
        nodes, bases = np.full(self.size, NO_CANDIDATE, np.int32), np.full(self.size, -np.inf, np.float32)
        nodes[0], bases[0] = TRIE_ROOT, 0
        context = self.lm.node(self.opening_ids)
        nothing = np.zeros(self.num_extensions, np.int32)
        return BeamStep(
            (context, *[None] * (self.size - 1)),
            nodes,
            bases,
            0.0,
            0.0,
            nothing,
            nothing,
            np.full(self.num_extensions, -np.inf, np.float32),
            is_text,
        )

    def advance(self, steps: Sequence[BeamStep], bytes: Sequence[int]) -> list[BeamStep]:
        """Returns the steps after a byte each.

        Args:
          steps: of one or more states.
          bytes: one for each.

        Raises:
          LongContextError: if a context is longer than the model reads.
        """
        size = self._most_states
        return [
            step
            for begin in range(0, len(steps), size)
            for step in self._advance(steps[begin : begin + size], bytes[begin : begin + size])
        ]

    def is_full(self, step: BeamStep) -> bool:
        """Whether an extension of a candidate is longer than what the model reads.

        Args:
          step: of a state.
        """
        limit = models.longest_text(self.lm.model.config)
        extended = step.parents[np.isfinite(step.extension_bases)].tolist()
        return any(step.contexts[parent].depth >= limit for parent in extended)

    def empty_step(self, step: BeamStep, log_prob: float) -> BeamStep:
        """Returns the step after another one in which no candidate is left.

        Args:
          step: the one before.
          log_prob: of the text so far.
        """
        first = self.first_step(is_text=step.is_text)
        return first._replace(
            contexts=(None,) * self.size,
            nodes=np.full_like(first.nodes, NO_CANDIDATE),
            bases=np.full_like(first.bases, -np.inf),
            log_prob=log_prob,
            log_kept=step.log_kept,
        )

    def node_mass(self, context: Any, node: int, *, is_text: bool) -> float:
        """Returns the log-prob that the next token after a context begins with a node's bytes.

        Args:
          context: its node in the model's cache.
          node: of the trie.
          is_text: whether ids that end a text are read as their bytes.
        """
        key = (context, is_text and self.eos_has_bytes)
        pyramid = self._pool[self._read([key])[key]]
        return float(node_log_masses(self.trie, pyramid, jnp.asarray(node, jnp.int32)))

    def log_weights(self, steps: Sequence[BeamStep]) -> np.ndarray:
        """Returns the log-probs `Float32[B 257]` of each next byte and the end, relative to `log_prob`.

        Args:
          steps: of B states.

        Raises:
          LongContextError: if a context is longer than the model reads.
        """
        size = self._most_states
        parts = [self._log_weights(steps[begin : begin + size]) for begin in range(0, len(steps), size)]
        return np.concatenate(parts) if parts else np.zeros((0, NUM_BYTES + 1), np.float32)

    def token_log_probs(self, context: Any, *, is_text: bool) -> np.ndarray:
        """Returns the log-probs `Float32[V]` of the next token as text.

        Args:
          context: its node in the model's cache.
          is_text: whether ids that end a text are read as their bytes.
        """
        known = self.lm.log_probs([context])[0] if context.depth else self._first_log_probs
        log_probs = jnp.asarray(known)[None]
        as_text, _ = text_log_probs(log_probs, self.sampling, self.eos_ids, jnp.asarray([is_text]))
        return np.asarray(as_text)[0]

    def _advance(self, steps: Sequence[BeamStep], bytes: Sequence[int]) -> list[BeamStep]:
        contexts = [self._slot_contexts(step) for step in steps]
        rows, nodes, bases = self._slot_arrays(steps, contexts)
        settings = self.settings
        letters = np.full(len(rows), NO_BYTE, np.int32)
        letters[: len(bytes)] = bytes
        candidates, extensions = jax.device_get(
            advance_rows(
                self.trie,
                self._pool,
                rows,
                nodes,
                bases,
                letters,
                np.float32(settings.log_threshold),
                num_candidates=settings.num_candidates,
                num_extensions=self.num_extensions,
                num_duplicates=self.num_duplicates,
                reserve=settings.reserve,
            )
        )
        results = []
        for row, (step, own) in enumerate(zip(steps, contexts, strict=True)):
            if not np.isfinite(candidates.total[row]) and settings.heal and letters[row] >= 0:
                healed = heal_candidates(self, step, int(letters[row]))
                results.append(
                    self.empty_step(step, -np.inf) if healed is None else self._healed_step(step, healed)
                )
                continue
            results.append(
                BeamStep(
                    tuple(own[slot] if slot >= 0 else None for slot in candidates.slots[row].tolist()),
                    candidates.nodes[row],
                    candidates.bases[row],
                    step.log_prob + float(candidates.total[row]),
                    step.log_kept + float(candidates.kept[row]) + float(extensions.kept[row]),
                    extensions.parents[row],
                    extensions.tokens[row],
                    extensions.bases[row],
                    step.is_text,
                )
            )
        return results

    def _log_weights(self, steps: Sequence[BeamStep]) -> np.ndarray:
        rows, nodes, bases = self._slot_arrays(steps, [self._slot_contexts(step) for step in steps])
        weights = next_byte_rows(self.trie, self._pool, self._ends, rows, nodes, bases)
        return np.asarray(weights)[: len(steps)]

    def _slot_contexts(self, step: BeamStep) -> list[Any]:
        """The contexts of candidates and extensions; None where there is neither."""
        extended = [
            self.lm.node((token,), after=step.contexts[parent]) if np.isfinite(base) else None
            for parent, token, base in zip(
                step.parents.tolist(), step.tokens.tolist(), step.extension_bases.tolist(), strict=True
            )
        ]
        return [*step.contexts, *extended]

    def _slot_arrays(
        self, steps: Sequence[BeamStep], contexts: Sequence[list[Any]]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pool's rows, trie nodes and bases of all slots, padded to a power of two of states."""
        number = self._read(
            (context, step.is_text and self.eos_has_bytes)
            for step, own in zip(steps, contexts, strict=True)
            for context in own
            if context is not None
        )
        shape = (ops.bucket(len(steps)), self.size + self.num_extensions)
        rows, nodes = np.zeros(shape, np.int32), np.full(shape, NO_CANDIDATE, np.int32)
        bases = np.full(shape, -np.inf, np.float32)
        for row, (step, own) in enumerate(zip(steps, contexts, strict=True)):
            is_text = step.is_text and self.eos_has_bytes
            rows[row] = [0 if context is None else number[context, is_text] for context in own]
            nodes[row, : self.size] = step.nodes
            nodes[row, self.size :] = np.where(np.isfinite(step.extension_bases), TRIE_ROOT, NO_CANDIDATE)
            bases[row] = np.concatenate([step.bases, step.extension_bases])
        return rows, nodes, bases

    def _read(self, wanted: Iterable[tuple[Any, bool]]) -> dict[tuple[Any, bool], int]:
        """The pool's row of each context, after the model has read those that are not in the pool."""
        unique = dict.fromkeys(wanted)
        missing = [context for context in unique if context not in self._rows]
        for context in unique:
            if context in self._rows:
                self._rows.move_to_end(context)
        limit = models.longest_text(self.lm.model.config)
        longest = max((node.depth for node, _ in missing), default=0)
        if longest > limit:
            raise LongContextError(
                f"the text is {longest} tokens long and the model reads at most {limit} (its max_length)"
            )
        for begin in range(0, len(missing), _CONTEXTS_AT_ONCE):
            self._store(missing[begin : begin + _CONTEXTS_AT_ONCE])
        return {context: self._rows[context] for context in unique}

    def _log_probs(self, contexts: Sequence[Any]) -> jax.Array:
        """The log-probs `Float32[M V]` behind contexts; about the empty one the model is not asked."""
        others = [context for context in contexts if context.depth]
        if len(others) == len(contexts):
            return self.lm.log_probs_batch(contexts)
        if self._first_log_probs is None:
            raise AssertionError("without an opening, the log-probs of the first id are given")
        rows = iter(self.lm.log_probs_batch(others) if others else ())
        first = jnp.asarray(self._first_log_probs)
        return jnp.stack([next(rows) if context.depth else first for context in contexts])

    def _store(self, missing: list[tuple[Any, bool]]) -> None:
        # Sizes are rounded up by repeating a context, whose place is outside the pool.
        filler = ops.bucket(len(missing)) - len(missing)
        log_probs = self._log_probs([node for node, _ in missing] + [missing[-1][0]] * filler)
        rows = np.full(len(missing) + filler, self._num_rows, np.int32)
        for index, context in enumerate(missing):
            if len(self._rows) < self._num_rows:
                row = len(self._rows)
            else:
                _, row = self._rows.popitem(last=False)
            self._rows[context] = rows[index] = row
        is_text = np.array([text for _, text in missing] + [False] * filler)
        try:
            self._pool, self._ends = _store_pyramids(
                self.trie, self._pool, self._ends, log_probs, rows, self.eos_ids, is_text, self.sampling
            )
        except BaseException:  # the call was given the pool's memory
            self._rows.clear()
            self._pool, self._ends = (
                jnp.zeros(array.shape, array.dtype) for array in (self._pool, self._ends)
            )
            raise

    def _healed_step(self, step: BeamStep, healed: Healed) -> BeamStep:
        """The step of the one candidate that healing gives, with its extensions."""
        alone = self.first_step(is_text=step.is_text)
        bases = alone.bases.copy()
        nodes = alone.nodes.copy()
        bases[0], nodes[0] = healed.base, healed.node
        alone = alone._replace(
            contexts=(healed.context, *alone.contexts[1:]),
            nodes=nodes,
            bases=bases,
            log_prob=step.log_prob,
            log_kept=step.log_kept,
        )
        # Where nothing is left the share that is kept is not known, and the healed path alone counts.
        return self._advance([alone], [NO_BYTE])[0]


@functools.partial(jax.jit, donate_argnames=("pool", "ends"))
def _store_pyramids(
    trie: ByteTrie,
    pool: Float[Array, "R blocks"],
    ends: Float[Array, " R"],
    log_probs: Float[Array, "M V"],
    rows: Int[Array, " M"],
    eos_ids: Int[Array, " eos"],
    is_text: Bool[Array, " M"],
    sampling: Sampling,
) -> tuple[Float[Array, "R blocks"], Float[Array, " R"]]:
    as_text, ending = text_log_probs(log_probs, sampling, eos_ids, is_text)
    pool = pool.at[rows].set(mass_pyramid(trie, as_text), mode="drop")
    return pool, ends.at[rows].set(ending, mode="drop")
