"""What is known of a text after some bytes: from one pass over all of them, or from that before the last.

Letters: `K` live stems.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.decoding.bytes._asking import Asking
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._forecasts import LMNode, Stem, node_mass
from jaxlm.decoding.bytes._host_trie import host_trie
from jaxlm.decoding.bytes._stem_readings import read_stems
from jaxlm.decoding.bytes._stem_tree import bounded, log_sum, stem_sums
from jaxlm.decoding.bytes._trie import TRIE_ROOT


class TreeReading(NamedTuple):
    """What is known after some bytes.

    Attributes:
      stems: those that are live.
      closed: the context of the canonical ids of all bytes, behind which the text may end; None: no ids spell
        the bytes.
      known: the log-prob of every stem behind the anchor that was met.
      anchor: the context from which on a longer text is divided.
      tail: the bytes behind it.
      log_prob: of the bytes, in nats, with the tokenizer's prefix.
      kept: the log of the share that was not lost to `max_stems`.
      base: the log-prob of the tokenizer's prefix.
      ids: the canonical ids of `tail`, as far as `path` holds their contexts.
      path: the anchor, and the context behind each of `ids`.
    """

    stems: tuple[Stem, ...]
    closed: LMNode | None
    known: dict[LMNode, float]
    anchor: LMNode
    tail: bytes
    log_prob: float
    kept: float
    base: float
    ids: tuple[int, ...] = ()
    path: tuple[LMNode, ...] = ()


def read_together(byte_model: ByteModel, data: bytes) -> TreeReading:
    """Returns the reading after some bytes, from one pass over their stems.

    Args:
      byte_model: the model.
      data: the bytes, with the tokenizer's prefix.

    Raises:
      UsageError: if no ids spell the bytes, or the model reads fewer tokens.
    """
    lm = byte_model.lm
    if not data:
        root = lm.node(byte_model.opening_ids)
        return TreeReading((Stem(root, 0.0, TRIE_ROOT),), root, {root: 0.0}, root, b"", 0.0, 0.0, 0.0)
    (stems,) = read_stems(byte_model, [data[len(byte_model.prefix) :]])
    tree = stems.tree
    sums = stem_sums(tree, stems.masses, stems.columns, len(data), byte_model.settings.max_stems)
    nodes: list[LMNode] = []
    for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
        new = () if token < 0 else (token,)  # the empty text, where there is no opening
        nodes.append(lm.node(new, after=nodes[parent] if parent >= 0 else None))
    steps = host_trie(byte_model)
    live = tuple(
        Stem(nodes[number], float(sums.nodes[number]), steps.descend(data[int(tree.ends[number]) :]))
        for number in sums.live
    )
    known = {node: float(log_prob) for node, log_prob in zip(nodes, sums.nodes, strict=True)}
    is_whole = (tree.ends == len(data)) & (tree.sinces == len(data))
    closed = nodes[int(np.flatnonzero(is_whole)[0])] if is_whole.any() else None
    return TreeReading(
        live,
        closed,
        _behind(nodes[tree.anchor], known),
        nodes[tree.anchor],
        data[int(tree.ends[tree.anchor]) :],
        float(sums.prefixes[-1]),
        float(sums.kept[-1]),
        float(sums.prefixes[len(byte_model.prefix)]),
    )


def advanced(byte_model: ByteModel, reading: TreeReading, masses: np.ndarray, byte: int) -> Asking:
    """Returns the reading after one more byte; asks for what the model says behind new stems.

    Args:
      byte_model: the model.
      reading: that before the byte, whose stems have forecasts.
      masses: `Float64[K 256]` of each next byte behind each of its stems.
      byte: the byte.
    """
    steps, tail = host_trie(byte_model), reading.tail + bytes([byte])
    known, stems, terms = dict(reading.known), [], []
    for stem, row in zip(reading.stems, masses, strict=True):
        if row[byte] > -np.inf:
            terms.append((stem.log_prob + float(row[byte]), len(stems)))
            stems.append(stem._replace(trie_node=steps.child(stem.trie_node, byte)))
    forecasts = {stem.node: stem.forecast for stem in reading.stems if stem.forecast is not None}
    ids = byte_model.encoder.encode(tail)
    path = _path(byte_model, reading, ids or ())
    end, closed = 0, None
    newest: list[Stem] = []
    for id, parent, node in zip(ids or (), path[:-1], path[1:], strict=True):
        end += len(byte_model.token_bytes[id] or b"")
        if node not in known:
            if parent not in forecasts:
                forecasts[parent] = (yield [parent])[0]
            known[node] = known[parent] + float(forecasts[parent].log_probs[id])
            trie_node = steps.descend(tail[end:])
            if end == len(tail):
                newest.append(Stem(node, known[node], TRIE_ROOT))
            elif trie_node >= 0:
                # A longer text is divided in another way: this stem joins at once.
                forecasts[node] = (yield [node])[0]
                mass = node_mass(byte_model, forecasts[node], trie_node)
                if mass > -np.inf:
                    terms.append((known[node] + mass, len(stems)))
                    stems.append(Stem(node, known[node], trie_node, forecasts[node]))
    if ids and end == len(tail):
        closed = path[-1]
    terms, lost = bounded(terms, byte_model.settings.max_stems)
    count, num_bytes = byte_model.encoder.fixed(tail, ids)
    if count:
        known = _behind(path[count], known)
    return TreeReading(
        (*(stems[index] for _, index in terms), *newest),
        closed,
        known,
        path[count],
        tail[num_bytes:],
        min(reading.log_prob, log_sum([term for term, _ in terms])),
        reading.kept + lost,
        reading.base,
        (ids or ())[count:],
        tuple(path[count:]),
    )


def _path(byte_model: ByteModel, reading: TreeReading, ids: Sequence[int]) -> list[LMNode]:
    """The anchor and the context behind each id; those of the reading before are taken from there."""
    same = 0
    for id, before in zip(ids, reading.ids, strict=False):
        if id != before:
            break
        same += 1
    path = list(reading.path[: same + 1]) or [reading.anchor]
    for id in ids[same:]:
        path.append(byte_model.lm.node((id,), after=path[-1]))
    return path


def _behind(anchor: LMNode, known: dict[LMNode, float]) -> dict[LMNode, float]:
    """The stems at and behind an anchor."""
    inside = {anchor}
    # A node comes after its parent in `known`.
    for node in known:
        if node.parent in inside:
            inside.add(node)
    return {node: log_prob for node, log_prob in known.items() if node in inside}
