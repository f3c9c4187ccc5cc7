"""The probability of every byte of a text, from one forward pass of the model over the text's stems.

The stems of a text form a tree with about one node a byte. The model reads all nodes of several texts at
once, each attending to its ancestors, and its head is asked in tiles, so that no array has log-probs of a
whole batch.

Letters: `B` texts, `N` nodes, `S` slots, `M` nodes of a tile, `W` bytes of a piece, `K` children of a node,
`V` vocabulary.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.decoding import TreeCache, empty_tree, extend_tree, tree_log_probs
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._states import as_bytes
from jaxlm.decoding.bytes._stem_tree import StemMasses, StemTree, stem_sums, stem_tree
from jaxlm.decoding.bytes._trie import ByteTrie, mass_pyramid, node_log_masses, nodes_of_bytes
from jaxlm.devices import current_target
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int

# Nodes that the model reads in one call, slots of a batch, and log-probs of a tile of nodes by platform.
NODES_OF_A_CALL, SLOTS_AT_ONCE = 512, 8192
LOG_PROBS_AT_ONCE = {"cpu": 1 << 21, "gpu": 1 << 25, "tpu": 1 << 25}


class ByteScores(NamedTuple):
    """The log-probabilities of a text's bytes, in nats.

    Attributes:
      log_probs: `Float64[L]` of each byte given those before it. Their sum is the log of P_stem of the text
        as a prefix (see `ByteModel`), -inf from the first byte on that cannot be written.
      end_log_prob: that the text ends behind its last byte, given all of it.
      dropped: the share of the mass that was lost because more than `max_stems` stems were live.
      name: the probability that this is, "stem" or "canonical".
    """

    log_probs: np.ndarray
    end_log_prob: float
    dropped: float
    name: str

    @property
    def log_prob(self) -> float:
        """The log-probability of all bytes of the text as a prefix of longer texts."""
        return float(self.log_probs.sum())


def score_bytes(byte_model: ByteModel, texts: Sequence[bytes | str] | bytes | str) -> list[ByteScores]:
    """Returns the log-probability of every byte of each text.

    Args:
      byte_model: from `make_byte_model`.
      texts: bytes, or texts, whose UTF-8 is meant; one text is a list of one.

    Raises:
      UsageError: if the tokenizer's ids do not spell a text, or it has more tokens than the model reads.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model, score_bytes
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> (scores,) = score_bytes(make_byte_model(loaded), ["to be"])
      >>> scores.log_probs.shape, scores.dropped, scores.name
      ((5,), 0.0, 'stem')
    """
    texts = [texts] if isinstance(texts, (bytes, str)) else texts
    readings = read_stems(byte_model, [text_bytes(text) for text in texts])
    return [_scores(byte_model, reading) for reading in readings]


def text_bytes(text: bytes | str | Iterable[int]) -> bytes:
    """Returns the UTF-8 of a text; bytes as they are, also if they are given as numbers.

    Raises:
      UsageError: if it is none of these, or cannot be written in UTF-8.
    """
    try:
        return as_bytes(text)
    except UnicodeEncodeError as error:
        raise UsageError(f"half a surrogate pair cannot be written in UTF-8: got {text!r:.60}") from error


class StemReading(NamedTuple):
    """A text, its stems, and what the model says behind each of them.

    Attributes:
      data: the bytes, with the tokenizer's prefix in front.
      tree: the stems.
      masses: behind them.
      columns: of `tree.children()`.
    """

    data: bytes
    tree: StemTree
    masses: StemMasses
    columns: np.ndarray


def read_stems(byte_model: ByteModel, texts: Sequence[bytes]) -> list[StemReading]:
    """Returns what the model says behind every stem of each text.

    Args:
      byte_model: from `make_byte_model`.
      texts: bytes without the tokenizer's prefix.

    Raises:
      UsageError: as `score_bytes`.
    """
    datas = [byte_model.prefix + text for text in texts]
    trees = [stem_tree(byte_model.encoder, data, byte_model.opening_ids) for data in datas]
    for number, (text, tree) in enumerate(zip(texts, trees, strict=True)):
        _check(byte_model, text, tree, number, len(texts))
    readings: dict[int, StemReading] = {}
    for numbers in _batches([tree.num_nodes for tree in trees]):
        batch = [(datas[number], trees[number]) for number in numbers]
        readings.update(zip(numbers, _read_batch(byte_model, batch), strict=True))
    return [readings[number] for number in range(len(texts))]


def _check(byte_model: ByteModel, text: bytes, tree: StemTree, number: int, count: int) -> None:
    which = "the text" if count == 1 else f"text {number}"
    reads = models.longest_text(byte_model.model.config)
    longest = int(tree.depths.max()) + 1
    if longest > reads:
        raise UsageError(
            f"{which} has {longest} tokens with the opening and the model reads at most {reads}: shorten it"
        )
    is_spelled = int(tree.ends.max()) == len(byte_model.prefix) + len(text)
    if not byte_model.producible.issuperset(text) or not (not text or is_spelled or _is_cut(text)):
        raise UsageError(f"{which}: {byte_model.unspelled(text)}")


def _is_cut(text: bytes) -> bool:
    """Whether bytes are no UTF-8: a text that ends inside a character may have ids with more bytes only."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yields the numbers of texts that are read together, those of like sizes."""
    order = sorted(range(len(sizes)), key=lambda number: sizes[number])
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * _num_slots(sizes[number]) > SLOTS_AT_ONCE:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _num_slots(num_nodes: int) -> int:
    """Slots for some nodes: few sizes, and whole calls of the model."""
    slots = ops.fine_bucket(num_nodes)
    return slots if slots <= NODES_OF_A_CALL else -(-slots // NODES_OF_A_CALL) * NODES_OF_A_CALL


def _read_batch(byte_model: ByteModel, batch: Sequence[tuple[bytes, StemTree]]) -> list[StemReading]:
    trees = [tree for _, tree in batch]
    num_nodes = max(tree.num_nodes for tree in trees)
    num_rows, num_slots = ops.bucket(len(batch)), _num_slots(num_nodes)
    tree = _read_nodes(byte_model, trees, num_rows, num_slots)
    pieces = [_piece_nodes(byte_model, data, of_text) for data, of_text in batch]
    children = [of_text.children() for of_text in trees]
    width = ops.bucket(max(nodes.shape[1] for nodes in pieces), smallest=4)
    most = ops.bucket(max(ids.shape[1] for ids, _ in children), smallest=4)
    piece_nodes = _stacked(pieces, (num_rows, num_slots, width))
    child_ids = _stacked([ids for ids, _ in children], (num_rows, num_slots, most))
    computed = _masses(byte_model, tree, trees, piece_nodes, child_ids, num_nodes)
    if not byte_model.opening_ids:
        _set_first(byte_model, computed, piece_nodes[:, 0])
    return [
        StemReading(
            data, of_text, StemMasses(*(array[row, : of_text.num_nodes] for array in computed)), columns
        )
        for row, ((data, of_text), (_, columns)) in enumerate(zip(batch, children, strict=True))
    ]


def _read_nodes(byte_model: ByteModel, trees: Sequence[StemTree], num_rows: int, num_slots: int) -> TreeCache:
    """The tree cache of all nodes: node i of a text is in slot i of its row."""
    length = min(num_slots, NODES_OF_A_CALL)
    # The node of the empty text has no token if there is no opening: it is not read, and is no parent.
    parents = _stacked([np.where(tree.depths > 0, tree.parents, -1) for tree in trees], (num_rows, num_slots))
    tokens = np.maximum(_stacked([tree.tokens for tree in trees], (num_rows, num_slots)), 0)
    slots = np.full((num_rows, num_slots), num_slots, np.int32)
    for row, of_text in enumerate(trees):
        slots[row, : of_text.num_nodes] = np.arange(of_text.num_nodes)
        slots[row, : of_text.num_nodes][of_text.depths < 0] = num_slots
    tree = empty_tree(byte_model.model, num_rows, num_slots)
    for start in range(0, max(tree.num_nodes for tree in trees), length):
        part = slice(start, start + length)
        news = (jnp.asarray(array[:, part]) for array in (parents, tokens, slots))
        tree = extend_tree(byte_model.model, byte_model.params, tree, *news)
    return tree


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


def _masses(
    byte_model: ByteModel,
    tree: TreeCache,
    trees: Sequence[StemTree],
    piece_nodes: np.ndarray,
    child_ids: np.ndarray,
    num_nodes: int,
) -> tuple[np.ndarray, ...]:
    """The arrays of `StemMasses` for all rows, computed tile by tile."""
    num_rows, num_slots, _ = piece_nodes.shape
    vocab_size = len(byte_model.token_bytes)
    fitting = max(1, LOG_PROBS_AT_ONCE[current_target().platform] // (num_rows * vocab_size))
    size = min(num_slots, 1 << (fitting.bit_length() - 1))
    eos = jnp.asarray(np.array(byte_model.eos_ids, np.int32))
    tiles = []
    for start in range(0, num_nodes, size):
        # Rounded-down tiles may not divide the slots: the last one begins earlier.
        first = min(start, num_slots - size)
        part = slice(first, first + size)
        allowed = None
        if byte_model.settings.probability == "canonical":
            allowed = jnp.asarray(_allowed(byte_model, trees, num_rows, first, size))
        computed = tile_masses(
            byte_model.model,
            byte_model.params,
            byte_model.trie,
            tree,
            jnp.asarray(np.tile(np.arange(first, first + size, dtype=np.int32), (num_rows, 1))),
            jnp.asarray(piece_nodes[:, part]),
            jnp.asarray(child_ids[:, part]),
            eos,
            allowed,
        )
        tiles.append((start - first, computed))
    on_host = [[np.asarray(array)[:, skipped:] for array in computed] for skipped, computed in tiles]
    return tuple(np.concatenate(arrays, axis=1) for arrays in zip(*on_host, strict=True))


def _set_first(byte_model: ByteModel, computed: tuple[np.ndarray, ...], piece_nodes: np.ndarray) -> None:
    """Sets what is said behind the empty text, about which the model was not asked."""
    pieces, children, ends = computed
    first = float(byte_model.first_log_probs.max())
    trie, nodes = byte_model.trie, np.maximum(piece_nodes, 0)
    starts, stops = np.asarray(trie.starts)[nodes], np.asarray(trie.ends)[nodes]
    pieces[:, 0] = np.where(piece_nodes >= 0, np.log(stops - starts) + first, -np.inf)
    children[:, 0], ends[:, 0] = first, -np.inf


def _allowed(
    byte_model: ByteModel, trees: Sequence[StemTree], num_rows: int, first: int, size: int
) -> np.ndarray:
    """Which ids are canonical behind each node of a tile, `Bool[B M V]`."""
    allowed = np.ones((num_rows, size, len(byte_model.token_bytes)), np.bool_)
    for row, tree in enumerate(trees):
        for node in range(max(first, tree.root), min(first + size, tree.num_nodes)):
            last = None if node == tree.root else int(tree.tokens[node])
            allowed[row, node - first] = byte_model.can_follow(last)
    return allowed


@functools.partial(jax.jit, static_argnames="model")
def tile_masses(
    model: nn.Module,
    params: Mapping[str, Any],
    trie: ByteTrie,
    tree: TreeCache,
    nodes: Int[Array, "B M"],
    piece_nodes: Int[Array, "B M W"],
    child_ids: Int[Array, "B M K"],
    eos: Int[Array, " E"],
    allowed: Bool[Array, "B M V"] | None,
) -> tuple[Float[Array, "B M W"], Float[Array, "B M K"], Float[Array, "B M"]]:
    """Returns the arrays of `StemMasses` for some nodes.

    Args:
      model: a causal LM.
      params: its parameters.
      trie: of its vocabulary's bytes.
      tree: what it has read.
      nodes: slots of `tree`.
      piece_nodes: of the trie; -1: none.
      child_ids: ids, -1 for none, whose log-probs are meaningless.
      eos: the ids that end a text.
      allowed: ids that count behind each node; None: all.
    """
    log_probs = tree_log_probs(model, params, tree, nodes)
    children = jnp.take_along_axis(log_probs, jnp.maximum(child_ids, 0), axis=-1)
    ends = end_log_masses(log_probs, eos)
    counted = log_probs if allowed is None else jnp.where(allowed, log_probs, -jnp.inf)
    return node_log_masses(trie, mass_pyramid(trie, counted), piece_nodes), children, ends


def end_log_masses(log_probs: Float[Array, "*A V"], eos: Int[Array, " E"]) -> Float[Array, "*A"]:
    """Returns the log-prob that one of the ids comes next that end a text; -inf if there are none."""
    if not eos.shape[0]:
        return jnp.full(log_probs.shape[:-1], -jnp.inf, jnp.float32)
    return jax.nn.logsumexp(log_probs[..., eos], axis=-1)


def _scores(byte_model: ByteModel, reading: StemReading) -> ByteScores:
    settings, num_before = byte_model.settings, len(byte_model.prefix)
    sums = stem_sums(reading.tree, reading.masses, reading.columns, len(reading.data), settings.max_stems)
    joint = sums.prefixes[num_before:]
    is_possible = np.logical_and.accumulate(joint > -np.inf)
    differences = np.subtract(
        joint[1:], joint[:-1], out=np.full(len(joint) - 1, -np.inf), where=is_possible[1:]
    )
    end = sums.ends[-1] - joint[-1] if is_possible[-1] else -np.inf
    dropped = float(-np.expm1(sums.kept[-1]))
    return ByteScores(differences, float(end), dropped + 0.0, settings.probability)
