"""What a model says behind the stems of texts, from one forward pass over trees of stems.

The stems of a text form a tree with about one node a byte. The model reads all nodes of several trees at
once, each attending to its ancestors, and its head is asked in tiles, so that no array has log-probs of a
whole batch. The trees of a batch are divided over devices.

Letters: `B` trees, `N` nodes, `S` slots, `M` nodes of a tile, `W` bytes of a piece, `K` children of a node,
`V` vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding import TreeCache
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._stem_programs import StemPrograms, stem_programs
from jaxlm.decoding.bytes._stem_tree import StemMasses, StemTree, stem_tree
from jaxlm.decoding.bytes._trie import (
    TRIE_ROOT,
    mass_pyramid,
    next_byte_log_masses,
    node_log_masses,
    nodes_of_bytes,
)
from jaxlm.devices import Layout, local_layout
from jaxlm.errors import UsageError

# By device: nodes that the model reads in one call, slots of a batch, and log-probs of a tile of nodes.
NODES_OF_A_CALL, SLOTS_AT_ONCE = 512, 8192
# All next bytes take a kilobyte for each byte behind a stem.
SLOTS_WITH_NEXT_BYTES = 1024
LOG_PROBS_AT_ONCE = {"cpu": 1 << 21, "gpu": 1 << 25, "tpu": 1 << 25}


class StemReading(NamedTuple):
    """Stems, and what the model says behind each of them.

    Attributes:
      data: the bytes that the stems are of, with the tokenizer's prefix in front.
      tree: the stems.
      masses: behind them.
      columns: of `tree.children()`.
    """

    data: bytes
    tree: StemTree
    masses: StemMasses
    columns: np.ndarray


def read_stems(byte_model: ByteModel, texts: Sequence[bytes]) -> list[StemReading]:
    """Returns what the model says behind every stem of each text, on one device.

    Args:
      byte_model: from `make_byte_model`.
      texts: bytes without the tokenizer's prefix.

    Raises:
      UsageError: as `checked_tree`, and if a text has more tokens than the model reads.
    """
    reads, trees = models.longest_text(byte_model.model.config), []
    for number, text in enumerate(texts):
        which = "the text" if len(texts) == 1 else f"text {number}"
        tree = checked_tree(byte_model, text, which)
        check_tree_fits(tree, reads, which)
        trees.append((byte_model.prefix + text, tree))
    readings = dict(read_trees(byte_model, trees, Layout(local_layout().devices[:1])))
    return [readings[number] for number in range(len(texts))]


def check_tree_fits(tree: StemTree, reads: int, which: str) -> None:
    """Refuses a text that does not fit.

    Args:
      tree: the stems of the text.
      reads: the most tokens that are read at once.
      which: what the message calls the text.

    Raises:
      UsageError: if a stem has more tokens.
    """
    longest = int(tree.depths.max()) + 1
    if longest > reads:
        raise UsageError(
            f"{which} has {longest} tokens with the opening and the model reads at most {reads}: shorten it"
        )


def checked_tree(byte_model: ByteModel, text: bytes, which: str = "the text") -> StemTree:
    """Returns the stems of a text.

    Args:
      byte_model: from `make_byte_model`.
      text: bytes without the tokenizer's prefix.
      which: what a message calls the text.

    Raises:
      UsageError: if the tokenizer's ids do not spell the text.
    """
    data = byte_model.prefix + text
    tree = stem_tree(byte_model.encoder, data, byte_model.opening_ids)
    is_spelled = int(tree.ends.max()) == len(data)
    if not byte_model.producible.issuperset(text) or not (not text or is_spelled or _is_cut(text)):
        raise UsageError(f"{which}: {byte_model.unspelled(text)}")
    return tree


def read_trees(
    byte_model: ByteModel,
    trees: Sequence[tuple[bytes, StemTree]],
    layout: Layout,
    *,
    next_bytes: bool = False,
) -> Iterator[tuple[int, StemReading]]:
    """Yields the number of each tree and what the model says behind its stems; trees of like sizes together.

    Args:
      byte_model: from `make_byte_model`.
      trees: bytes with the tokenizer's prefix in front, and their stems.
      layout: the devices over which the trees of a batch are divided.
      next_bytes: whether the masses of all next bytes are computed.
    """
    num_slots = (SLOTS_WITH_NEXT_BYTES if next_bytes else SLOTS_AT_ONCE) * len(layout.devices)
    for numbers in _batches([tree.num_nodes for _, tree in trees], num_slots):
        # One tree alone is read by one device; a batch is filled up, so that every device has as many.
        own = layout if len(numbers) > 1 else Layout(layout.devices[:1])
        readings = _read_batch(byte_model, [trees[number] for number in numbers], own, next_bytes)
        yield from zip(numbers, readings, strict=True)


def _is_cut(text: bytes) -> bool:
    """Whether bytes are no UTF-8: a text that ends inside a character may have ids with more bytes only."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


def _batches(sizes: Sequence[int], num_slots: int) -> Iterator[list[int]]:
    """Yields the numbers of trees that are read together, those of like sizes."""
    order = sorted(range(len(sizes)), key=lambda number: sizes[number])
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * _num_slots(sizes[number]) > num_slots:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _num_slots(num_nodes: int) -> int:
    """Slots for some nodes: few sizes, and whole calls of the model."""
    slots = ops.fine_bucket(num_nodes)
    return slots if slots <= NODES_OF_A_CALL else -(-slots // NODES_OF_A_CALL) * NODES_OF_A_CALL


def _read_batch(
    byte_model: ByteModel, batch: Sequence[tuple[bytes, StemTree]], layout: Layout, next_bytes: bool
) -> list[StemReading]:
    trees = [tree for _, tree in batch]
    num_nodes, num_devices = max(tree.num_nodes for tree in trees), len(layout.devices)
    num_rows, num_slots = -(-ops.bucket(len(batch)) // num_devices) * num_devices, _num_slots(num_nodes)
    reader = _Reader(byte_model, layout, stem_programs(byte_model.model, layout, next_bytes=next_bytes))
    tree = reader.read_nodes(trees, num_rows, num_slots)
    pieces = [_piece_nodes(byte_model, data, of_tree) for data, of_tree in batch]
    children = [of_tree.children() for of_tree in trees]
    width = ops.bucket(max(nodes.shape[1] for nodes in pieces), smallest=4)
    most = ops.bucket(max(ids.shape[1] for ids, _ in children), smallest=4)
    piece_nodes = _stacked(pieces, (num_rows, num_slots, width))
    child_ids = _stacked([ids for ids, _ in children], (num_rows, num_slots, most))
    computed = reader.masses(tree, trees, piece_nodes, child_ids, num_nodes)
    if not byte_model.opening_ids:
        _set_first(byte_model, trees, computed, piece_nodes[:, 0])
    return [
        StemReading(
            data, of_tree, StemMasses(*(array[row, : of_tree.num_nodes] for array in computed)), columns
        )
        for row, ((data, of_tree), (_, columns)) in enumerate(zip(batch, children, strict=True))
    ]


class _Reader(NamedTuple):
    """A model that reads trees on some devices."""

    byte_model: ByteModel
    layout: Layout
    programs: StemPrograms

    def read_nodes(self, trees: Sequence[StemTree], num_rows: int, num_slots: int) -> TreeCache:
        """The tree cache of all nodes: node i of a tree is in slot i of its row."""
        length, params = min(num_slots, NODES_OF_A_CALL), self.byte_model.on_devices(self.layout)[0]
        # The node of the empty text has no token if there is no opening: it is not read, and is no parent.
        parents = _stacked(
            [np.where(tree.depths > 0, tree.parents, -1) for tree in trees], (num_rows, num_slots)
        )
        tokens = np.maximum(_stacked([tree.tokens for tree in trees], (num_rows, num_slots)), 0)
        slots = np.full((num_rows, num_slots), num_slots, np.int32)
        for row, of_tree in enumerate(trees):
            slots[row, : of_tree.num_nodes] = np.arange(of_tree.num_nodes)
            slots[row, : of_tree.num_nodes][of_tree.depths < 0] = num_slots
        tree = self.programs.empty(num_rows // len(self.layout.devices), num_slots)
        for start in range(0, max(tree.num_nodes for tree in trees), length):
            part = slice(start, start + length)
            news = self.layout.divide([array[:, part] for array in (parents, tokens, slots)])
            tree = self.programs.extend(params, tree, *news)
        return tree

    def masses(
        self,
        tree: TreeCache,
        trees: Sequence[StemTree],
        piece_nodes: np.ndarray,
        child_ids: np.ndarray,
        num_nodes: int,
    ) -> tuple[np.ndarray, ...]:
        """The arrays of `StemMasses` for all rows, computed tile by tile."""
        byte_model, divide = self.byte_model, self.layout.divide
        num_rows, num_slots, _ = piece_nodes.shape
        vocab_size, rows_of_device = len(byte_model.token_bytes), num_rows // len(self.layout.devices)
        fitting = max(1, LOG_PROBS_AT_ONCE[self.layout.target.platform] // (rows_of_device * vocab_size))
        size = min(num_slots, 1 << (fitting.bit_length() - 1))
        tiles = []
        for start in range(0, num_nodes, size):
            # Rounded-down tiles may not divide the slots: the last one begins earlier.
            first = min(start, num_slots - size)
            part = slice(first, first + size)
            allowed = None
            if byte_model.settings.probability == "canonical":
                allowed = divide(_allowed(byte_model, trees, num_rows, first, size))
            nodes = np.tile(np.arange(first, first + size, dtype=np.int32), (num_rows, 1))
            computed = self.programs.masses(
                *byte_model.on_devices(self.layout),
                tree,
                *divide([nodes, piece_nodes[:, part], child_ids[:, part]]),
                np.array(byte_model.eos_ids, np.int32),
                allowed,
            )
            whole = (np.asarray(array) for array in computed)
            tiles.append([array.reshape(num_rows, *array.shape[2:])[:, start - first :] for array in whole])
        return tuple(np.concatenate(arrays, axis=1) for arrays in zip(*tiles, strict=True))


def _piece_nodes(byte_model: ByteModel, data: bytes, tree: StemTree) -> np.ndarray:
    """The trie's nodes of the bytes behind each stem, `Int[N W]`; -1 beyond the longest piece."""
    of_place = nodes_of_bytes(byte_model.trie, data, min(byte_model.longest_token, max(1, len(data))))
    of_place = np.concatenate([of_place, np.full((1, of_place.shape[1]), -1, np.int32)])
    nodes = of_place[tree.ends]
    nodes[: tree.root] = -1
    longest = int((nodes >= 0).sum(1).max(initial=0))
    return nodes[:, : max(1, longest)]


def _stacked(arrays: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of one text each in one of this shape, -1 elsewhere."""
    stacked = np.full(shape, -1, np.int32)
    for row, array in enumerate(arrays):
        stacked[(row, *(slice(size) for size in array.shape))] = array
    return stacked


def _set_first(
    byte_model: ByteModel,
    trees: Sequence[StemTree],
    computed: tuple[np.ndarray, ...],
    piece_nodes: np.ndarray,
) -> None:
    """Sets what is said behind the empty text, about which the model was not asked."""
    pieces, children, ends, *followers = computed
    pyramid = mass_pyramid(byte_model.trie, jnp.asarray(byte_model.first_log_probs))[None]
    rows = [row for row, tree in enumerate(trees) if tree.depths[0] < 0]
    nodes = piece_nodes[rows]
    of_nodes = np.asarray(node_log_masses(byte_model.trie, pyramid, jnp.asarray(nodes.reshape(1, -1))))
    pieces[rows, 0] = of_nodes.reshape(nodes.shape)
    children[rows, 0], ends[rows, 0] = byte_model.first_log_probs.max(), -np.inf
    for array in followers:
        nodes = np.pad(nodes, ((0, 0), (1, 0)), constant_values=TRIE_ROOT)
        after = next_byte_log_masses(byte_model.trie, pyramid, jnp.asarray(nodes.reshape(1, -1)))
        array[rows, 0] = np.asarray(after).reshape(*nodes.shape, -1)


def _allowed(
    byte_model: ByteModel, trees: Sequence[StemTree], num_rows: int, first: int, size: int
) -> np.ndarray:
    """Which ids are canonical behind each node of a tile, `Bool[B M V]`."""
    allowed = np.ones((num_rows, size, len(byte_model.token_bytes)), np.bool_)
    for row, tree in enumerate(trees):
        for node in range(max(first, tree.root), min(first + size, tree.num_nodes)):
            is_start = node == tree.root and tree.is_whole
            last = None if is_start else int(tree.tokens[node])
            allowed[row, node - first] = byte_model.can_follow(last)
    return allowed
