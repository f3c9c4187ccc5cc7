"""Many texts written by canonical stems: ids and the tree's slots on the host, the rest in one call a byte.

Letters: `B` texts, `S` slots of a tree, `V` vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding.bytes._beam_texts import GeneratedBytes, finished_text
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._choice import ByteChoice
from jaxlm.decoding.bytes._forecasts import NO_FIRST_BYTE
from jaxlm.decoding.bytes._stem_readings import StemReading, read_stems
from jaxlm.decoding.bytes._tree_loop import (
    NO_SLOT,
    TreeLoop,
    TreeResult,
    TreeStems,
    TreeStep,
    TreeVocabulary,
    compact_tree_loop,
    continue_tree_loop,
    empty_step,
    slot_log_prob,
    start_tree_loop,
)
from jaxlm.decoding.bytes._tree_text import StemInsertion, first_text
from jaxlm.decoding.bytes._trie import NO_NODE
from jaxlm.errors import UsageError

# Pyramids of the live stems of all texts that are written together take at most so many bytes.
_PYRAMID_BYTES, _MOST_TEXTS = 1 << 28, 64
# Slots for stems that are no part of the longest one, besides two for each that may be live.
_SPARE_SLOTS = 32


def write_with_trees(
    byte_model: ByteModel,
    texts: Sequence[bytes],
    choice: ByteChoice,
    max_new_bytes: int,
    stops: Sequence[bytes],
) -> list[GeneratedBytes]:
    """Returns what a model writes after each prompt, by the canonical stems of the text.

    Args:
      byte_model: the model.
      texts: the prompts.
      choice: how bytes are chosen; names for each text.
      max_new_bytes: the most new bytes of each.
      stops: bytes that end a text.

    Raises:
      UsageError: if a prompt cannot be read by the model, or no byte can follow a text.
    """
    if not byte_model.opening_ids and not all(texts):
        raise UsageError(NO_FIRST_BYTE)
    num_stems = byte_model.settings.max_stems + 2
    pyramid = 8 * ops.bucket(len(byte_model.trie.token_ids)) * num_stems
    size = 1 << (max(1, min(_PYRAMID_BYTES // pyramid, _MOST_TEXTS)).bit_length() - 1)
    names, results = np.asarray(choice.names), []
    for begin in range(0, len(texts), size):
        own = choice._replace(names=names[begin : begin + size])
        group = _TreeTexts(byte_model, texts[begin : begin + size], own, max_new_bytes, stops)
        results += group.written()
    return results


class _TreeTexts:
    """Texts that are written together, one row of the device's arrays each."""

    def __init__(
        self,
        byte_model: ByteModel,
        prompts: Sequence[bytes],
        choice: ByteChoice,
        max_new_bytes: int,
        stops: Sequence[bytes],
    ) -> None:
        self.byte_model, self.max_new_bytes, self.stops = byte_model, max_new_bytes, stops
        self.num_rows = ops.bucket(len(prompts))
        names = np.pad(choice.names, ((0, self.num_rows - len(prompts)), (0, 0)))
        self.choice = choice._replace(names=jnp.asarray(names))
        self.vocabulary = TreeVocabulary(
            byte_model.trie,
            jnp.asarray(np.array(byte_model.eos_ids, np.int32)),
            jnp.asarray(byte_model.first_log_probs),
        )
        self.texts, stems = [], []
        for prompt, reading in zip(prompts, _readings(byte_model, prompts), strict=True):
            text, own = first_text(byte_model, prompt, reading)
            self.texts.append(text)
            stems.append(own)
        most = max(text.depths[node] for text, own in zip(self.texts, stems, strict=True) for node, _ in own)
        longest = min(most + 1 + max_new_bytes, models.longest_text(byte_model.model.config))
        spare = 2 * byte_model.settings.max_stems + _SPARE_SLOTS
        self.loop = self._started(stems, ops.fine_bucket(longest + spare))

    def written(self) -> list[GeneratedBytes]:
        """Returns the texts, when all of them have ended."""
        while running := [row for row, text in enumerate(self.texts) if text.ended_by is None]:
            self._make_room(running)
            inserted = self._insertions(running)
            self.loop, result = continue_tree_loop(
                self.byte_model.model,
                self.byte_model.params,
                self.vocabulary,
                self.loop,
                self._step(running, inserted),
                self.choice,
                self._allowed(inserted),
                max_stems=self.byte_model.settings.max_stems,
            )
            self._take(jax.device_get(result), running, inserted)
        return [
            finished_text(
                text.prompt,
                bytes(text.data),
                np.array(text.chosen, np.float32),
                text.ended_by,
                self.stops,
                dropped=0.0 - float(np.expm1(text.log_kept)),
            )
            for text in self.texts
            if text.ended_by is not None
        ]

    def _insertions(self, running: Sequence[int]) -> dict[int, StemInsertion]:
        """The next stem that the model reads, of the texts that have one; each gets a slot."""
        inserted = {}
        for row in running:
            text = self.texts[row]
            if text.insertions:
                inserted[row] = text.insertions.pop(0)
                text.slots[inserted[row].node] = text.free.pop()
        return inserted

    def _step(self, running: Sequence[int], inserted: dict[int, StemInsertion]) -> TreeStep:
        step = empty_step(self.num_rows, self.loop.tree.num_slots)
        for row in running:
            text = self.texts[row]
            step.bytes[row], step.utf8[row] = text.byte, text.utf8
            step.steps[row], step.bytes_left[row] = len(text.data), self.max_new_bytes - len(text.data)
        for row, (node, trie_node) in inserted.items():
            text = self.texts[row]
            parent = text.parents[node]
            step.parents[row] = -1 if parent < 0 else text.slots[parent]
            step.tokens[row], step.slots[row] = text.tokens[node], text.slots[node]
            step.trie_nodes[row] = trie_node
            if step.parents[row] not in text.live or not np.isnan(text.log_probs[node]):
                step.bases[row] = self._log_prob(row, node) - text.log_prob
        return step

    def _log_prob(self, row: int, node: int) -> float:
        """The log-prob of a stem whose parent is not live."""
        text = self.texts[row]
        parent = text.parents[node]
        if not np.isnan(text.log_probs[node]) or parent < 0:
            return text.log_probs[node]
        token = text.tokens[node]
        if text.slots[parent] < 0:
            return text.log_probs[parent] + float(self.byte_model.first_log_probs[token])
        model, params = self.byte_model.model, self.byte_model.params
        own = slot_log_prob(model, params, self.loop.tree, *map(np.int32, (row, text.slots[parent], token)))
        return text.log_probs[parent] + float(own)

    def _take(self, result: TreeResult, running: Sequence[int], inserted: dict[int, StemInsertion]) -> None:
        """Gives the texts what the device said, and plans the next step of those that go on."""
        chosen = []
        slots, symbols, utf8 = (array.tolist() for array in (result.slots, result.symbols, result.utf8))
        for row in running:
            text = self.texts[row]
            if row in inserted and np.isnan(text.log_probs[inserted[row].node]):
                text.log_probs[inserted[row].node] = text.log_prob + float(result.bases[row])
            text.log_prob += float(result.totals[row])
            text.log_kept += float(result.kept[row])
            text.live, text.byte = set(slots[row]) - {NO_SLOT}, -1
            if text.insertions:
                continue
            if not result.can_go_on[row]:
                tail = (text.prompt + text.data)[-20:]
                raise UsageError(f"no byte can follow {tail!r}: every one has probability 0")
            text.utf8 = utf8[row]
            text.add(symbols[row], float(result.log_probs[row]), self.max_new_bytes, self.stops)
            if text.ended_by is None:
                chosen.append(text)
        all_ids = self.byte_model.encoder.encode_batch([text.tail for text in chosen]) if chosen else []
        for text, ids in zip(chosen, all_ids, strict=True):
            text.follow(self.byte_model, text.tail[-1], ids)

    def _make_room(self, running: Sequence[int]) -> None:
        """Makes trees compact, and larger where that does not help, if a text has no slot for a new stem."""
        if not self._is_full(running):
            return
        self.loop, slots = compact_tree_loop(self.loop)
        num_slots = self.loop.tree.num_slots
        for text, own in zip(self.texts, np.asarray(slots).tolist(), strict=False):
            text.moved(own, num_slots)
            text.plan_parents()
        if self._is_full(running):
            self._grow()

    def _is_full(self, running: Sequence[int]) -> bool:
        return any(self.texts[row].insertions and not self.texts[row].free for row in running)

    def _grow(self) -> None:
        """Reads the live stems again, into trees with more slots."""
        slots, nodes = np.asarray(self.loop.slots).tolist(), np.asarray(self.loop.nodes).tolist()
        stems = []
        for row, text in enumerate(self.texts):
            number = {slot: node for node, slot in enumerate(text.slots)}
            own = zip(slots[row], nodes[row], strict=True)
            stems.append([(number[slot], node) for slot, node in own if node >= 0])
            text.clear_slots()
        self.loop = self._started(stems, 2 * self.loop.tree.num_slots)
        for text in self.texts:
            text.plan_parents()

    def _started(self, stems: Sequence[Sequence[tuple[int, int]]], num_slots: int) -> TreeLoop:
        """The device's arrays; of each text its live stems, each a node and the trie's node behind it."""
        size = self.byte_model.settings.max_stems + 2
        needed = [
            sorted({node for stem, _ in own for node in text.path(stem)})
            for text, own in zip(self.texts, stems, strict=True)
        ]
        length = ops.fine_bucket(max(1, *map(len, needed)))
        num_slots = max(num_slots, length + 1)
        parents, tokens = (np.full((self.num_rows, length), -1, np.int32) for _ in range(2))
        shape = (self.num_rows, size)
        arrays = TreeStems(
            np.full(shape, -1, np.int32), np.full(shape, NO_NODE, np.int32), np.zeros(shape, np.float32)
        )
        for row, (text, own, nodes) in enumerate(zip(self.texts, stems, needed, strict=True)):
            for slot, node in enumerate(nodes):
                parent = text.parents[node]
                text.slots[node], tokens[row, slot] = slot, text.tokens[node]
                parents[row, slot] = -1 if parent < 0 else text.slots[parent]
            for place, (node, trie_node) in enumerate(own):
                arrays.slots[row, place], arrays.nodes[row, place] = text.slots[node], trie_node
                arrays.bases[row, place] = text.log_probs[node] - text.log_prob
            text.live = {text.slots[node] for node, _ in own}
            text.free = list(range(num_slots - 1, len(nodes) - 1, -1))
        model, params = self.byte_model.model, self.byte_model.params
        allowed = self._allowed_stems(stems, size)
        return start_tree_loop(
            model, params, self.vocabulary, parents, tokens, arrays, allowed, num_slots=num_slots
        )

    def _allowed(self, inserted: dict[int, StemInsertion]) -> np.ndarray | None:
        """Which ids are canonical behind each new stem, `Bool[B V]`; None: all count."""
        if self.byte_model.settings.probability != "canonical":
            return None
        allowed = np.ones((self.num_rows, len(self.byte_model.token_bytes)), np.bool_)
        for row, (node, _) in inserted.items():
            allowed[row] = self.byte_model.can_follow(self.texts[row].tokens[node])
        return allowed

    def _allowed_stems(self, stems: Sequence[Sequence[tuple[int, int]]], size: int) -> np.ndarray | None:
        if self.byte_model.settings.probability != "canonical":
            return None
        allowed = np.ones((self.num_rows, size, len(self.byte_model.token_bytes)), np.bool_)
        for row, (text, own) in enumerate(zip(self.texts, stems, strict=True)):
            for place, (node, _) in enumerate(own):
                last = None if node == text.root else text.tokens[node]
                allowed[row, place] = self.byte_model.can_follow(last)
        return allowed


def _readings(byte_model: ByteModel, prompts: Sequence[bytes]) -> list[StemReading | None]:
    """What the model says behind the stems of each prompt; None where there is nothing to read."""
    numbers = [number for number, prompt in enumerate(prompts) if byte_model.prefix + prompt]
    readings: list[Any] = [None] * len(prompts)
    for number, reading in zip(
        numbers, read_stems(byte_model, [prompts[number] for number in numbers]), strict=True
    ):
        readings[number] = reading
    return readings
