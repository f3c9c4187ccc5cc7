"""Checks SentencePiece's compiled table of characters, which the library uses without a check."""

import numpy as np

from jaxlm.errors import ModelError

NONZERO_BYTES = np.arange(1, 256, dtype=np.int64)  # no text holds a zero byte
LABEL, VALUE, HAS_VALUE, SCALED = 0x800000FF, 0x7FFFFFFF, 1 << 8, 1 << 9
NODES_AT_ONCE = 4096  # nodes whose children are visited together


def check_charsmap(data: bytes) -> None:
    """Raises an error for a `precompiled_charsmap` that leads to reads outside of it.

    The table holds the size of a double-array trie in 4 bytes, the trie, and the replacement texts, each
    ended by a zero byte. The low 8 bits of a unit are its label, bit 8 says that a value follows, and bit 9
    scales the other bits, which are the distance to its children. Every node that a text can reach is
    visited.

    Args:
      data: the table.

    Raises:
      ModelError: the table is damaged.

    Example:
      >>> from jaxlm.tokenizers._charsmap import check_charsmap
      >>> check_charsmap(b"\\xff\\xff\\x00\\x00ab")
      Traceback (most recent call last):
      ...
      jaxlm.errors.ModelError: its table of characters claims a trie of 65,535 bytes and holds 2

    References:
      Yata, "darts-clone", https://github.com/s-yata/darts-clone (the units of the double array).
    """
    size, held = int.from_bytes(data[:4], "little"), max(len(data) - 4, 0)
    if size > held:
        raise ModelError(f"its table of characters claims a trie of {size:,} bytes and holds {held:,}")
    if size % 4 or not size:
        raise ModelError(f"its table of characters has a trie of {size:,} bytes, expected whole units of 4")
    units = np.frombuffer(data, "<u4", size // 4, offset=4).astype(np.int64)
    texts = data[4 + size :]
    try:
        texts.decode()
    except UnicodeDecodeError as error:
        raise ModelError(
            f"its table of characters is not UTF-8 at byte {4 + size + error.start:,}"
        ) from error
    _check_values(_values(units), texts)


def _values(units: np.ndarray) -> np.ndarray:
    """The values of all nodes that texts can reach; the index of a child is its parent's base XOR a byte."""
    reached, values = np.zeros(len(units), bool), [np.zeros(0, np.int64)]
    waiting = [_bases(units, np.zeros(1, np.int64))]
    while waiting:
        bases = waiting.pop()
        waiting.extend(
            bases[at : at + NODES_AT_ONCE] for at in range(NODES_AT_ONCE, len(bases), NODES_AT_ONCE)
        )
        children = _inside(units, bases[:NODES_AT_ONCE, None] ^ NONZERO_BYTES[None])
        nodes = np.unique(children[(units[children] & LABEL) == NONZERO_BYTES])
        nodes = nodes[~reached[nodes]]
        reached[nodes] = True
        bases = _bases(units, nodes)
        ends = _inside(units, bases[(units[nodes] & HAS_VALUE) > 0])
        values.append(units[ends] & VALUE)
        waiting.extend([bases] if bases.size else [])
    return np.concatenate(values)


def _bases(units: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    values = units[nodes]
    return nodes ^ ((values >> 10) << ((values & SCALED) >> 6))


def _inside(units: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """The nodes, if they are all inside of the trie."""
    if nodes.size and nodes.max() >= len(units):
        raise ModelError("its table of characters has a trie that leads out of itself")
    return nodes


def _check_values(values: np.ndarray, texts: bytes) -> None:
    if values.size and values.max() >= len(texts):
        raise ModelError("its table of characters leads to a text that is not there")
    if ((np.frombuffer(texts, np.uint8)[values] & 0xC0) == 0x80).any():
        raise ModelError("its table of characters leads into the middle of a character")
