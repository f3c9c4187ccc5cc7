"""A text that is written by canonical stems, on the host: its ids, and which of them the model has read.

A node is a stem: an id behind another node. A slot is a place of the device's tree that holds one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxlm import models
from jaxlm.decoding.bytes._beam_texts import EndedBy
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._choice import NO_SYMBOL
from jaxlm.decoding.bytes._host_trie import host_trie
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._stem_readings import StemReading
from jaxlm.decoding.bytes._stem_tree import StemTree, stem_sums, stem_tree
from jaxlm.decoding.bytes._tree_loop import NO_SLOT
from jaxlm.decoding.bytes._trie import NO_NODE, TRIE_ROOT
from jaxlm.decoding.bytes._utf8 import utf8_state


class StemInsertion(NamedTuple):
    """A stem that the model has to read: its node, and the trie's node of the bytes behind it."""

    node: int
    trie_node: int


class TreeText:
    """A text that is being written: its stems, which of them the model has read, and the bytes so far."""

    def __init__(self, prompt: bytes, tree: StemTree, log_probs: Sequence[float], tail: bytes) -> None:
        """Makes it.

        Args:
          prompt: the bytes that are given.
          tree: its stems.
          log_probs: of each stem.
          tail: the bytes behind the anchor.
        """
        self.prompt, self.tail, self.anchor = prompt, tail, tree.anchor
        self.tokens, self.parents = tree.tokens.tolist(), tree.parents.tolist()
        self.depths: list[int] = tree.depths.tolist()
        self.log_probs = list(log_probs)
        self.root = tree.root
        self.slots: list[int] = []
        self.clear_slots()
        self.children = {
            (parent, token): node
            for node, (parent, token) in enumerate(zip(self.parents, self.tokens, strict=True))
        }
        self.free: list[int] = []
        self.live: set[int] = set()
        self.data, self.chosen = bytearray(), []
        self.utf8 = utf8_state(prompt)
        self.byte, self.insertions = -1, []
        self.log_prob = self.log_kept = 0.0
        self.ended_by: EndedBy | None = None

    def path(self, node: int) -> Iterator[int]:
        """Yields a node and its ancestors that have tokens.

        Args:
          node: a number of a stem.
        """
        while node >= 0 and self.tokens[node] >= 0:
            yield node
            node = self.parents[node]

    def follow(self, byte_model: ByteModel, byte: int, ids: tuple[int, ...] | None) -> None:
        """Plans the step after one more byte, of which `tail` has the canonical ids.

        Args:
          byte_model: the model.
          byte: the last of `tail`.
          ids: those of `tail`; None: there are none.
        """
        steps, values = host_trie(byte_model), byte_model.token_bytes
        self.byte, node, end, path = byte, self.anchor, 0, [self.anchor]
        for id in ids or ():
            end += len(values[id] or b"")
            child = self.children.get((node, id))
            if child is None:
                child = self._new_node(node, id)
                rest = self.tail[end:]
                self.insertions.append(StemInsertion(child, steps.descend(rest) if rest else TRIE_ROOT))
            node = child
            path.append(node)
        self.plan_parents()
        count, num_bytes = byte_model.encoder.fixed(self.tail, ids)
        if count:
            self.anchor, self.tail = path[count], self.tail[num_bytes:]
        if any(
            self.depths[node] >= models.longest_text(byte_model.model.config) for node, _ in self.insertions
        ):
            self.ended_by = "length"

    def _new_node(self, parent: int, token: int) -> int:
        node = self.children[parent, token] = len(self.tokens)
        self.tokens.append(token)
        self.parents.append(parent)
        self.depths.append(self.depths[parent] + 1)
        self.slots.append(NO_SLOT)
        self.log_probs.append(float("nan"))
        return node

    def plan_parents(self) -> None:
        """Reads again what the new stems follow, where compaction has removed it."""
        planned = {insertion.node for insertion in self.insertions}
        for parent in {self.parents[node] for node in planned} - planned:
            lost = [node for node in self.path(parent) if self.slots[node] == NO_SLOT]
            self.insertions[:0] = [StemInsertion(node, NO_NODE) for node in reversed(lost)]

    def clear_slots(self) -> None:
        """Notes that no node is in the tree; the context without a token needs no slot."""
        self.slots = [NO_SLOT if token >= 0 else -1 for token in self.tokens]

    def moved(self, slots: Sequence[int], num_slots: int) -> None:
        """Notes where the nodes are after the tree was made compact.

        Args:
          slots: the new slot of each old one, -1 where the node was removed.
          num_slots: how many slots the tree has.
        """
        self.slots = [slots[slot] if slot >= 0 else slot for slot in self.slots]
        self.slots = [
            NO_SLOT if slot < 0 and token >= 0 else slot
            for slot, token in zip(self.slots, self.tokens, strict=True)
        ]
        self.live = {slots[slot] if slot >= 0 else slot for slot in self.live}
        self.free = sorted(set(range(num_slots)).difference(self.slots), reverse=True)

    def add(self, symbol: int, log_prob: float, max_new_bytes: int, stops: Sequence[bytes]) -> None:
        """Adds a byte that was chosen, or ends the text.

        Args:
          symbol: the byte, 256 for the end, or -1 where none may be chosen.
          log_prob: of the symbol.
          max_new_bytes: the most new bytes.
          stops: bytes that end a text.
        """
        if symbol == NO_SYMBOL:
            self.ended_by = "length"
            return
        self.chosen.append(log_prob)
        if symbol == NUM_BYTES:
            self.ended_by = "end"
            return
        self.data.append(symbol)
        if any(self.data.endswith(stop) for stop in stops):
            self.ended_by = "stop_string"
        elif len(self.data) == max_new_bytes:
            self.ended_by = "length"
        else:
            self.tail += bytes([symbol])


def first_text(
    byte_model: ByteModel, prompt: bytes, reading: StemReading | None
) -> tuple[TreeText, list[tuple[int, int]]]:
    """Returns a text before its first new byte, and its live stems: a node and the trie's node behind it.

    Args:
      byte_model: the model.
      prompt: the bytes that are given.
      reading: what the model says behind its stems; None: there is nothing to read.
    """
    if reading is None:
        tree = stem_tree(byte_model.encoder, b"", byte_model.opening_ids)
        text = TreeText(prompt, tree, [0.0] * tree.num_nodes, b"")
        return text, [(tree.root, TRIE_ROOT)]
    tree, data = reading.tree, reading.data
    sums = stem_sums(tree, reading.masses, reading.columns, len(data), byte_model.settings.max_stems)
    text = TreeText(prompt, tree, sums.nodes.tolist(), data[int(tree.ends[tree.anchor]) :])
    text.log_prob = float(sums.prefixes[-1]) if sums.live else 0.0
    text.log_kept = float(sums.kept[-1])
    steps = host_trie(byte_model)
    return text, [(node, steps.descend(data[int(tree.ends[node]) :])) for node in sums.live]
