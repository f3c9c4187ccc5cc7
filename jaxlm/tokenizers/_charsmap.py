"""SentencePiece's compiled table of characters, checked: the library that uses it trusts what it says."""

import numpy as np

from jaxlm.errors import ModelError

NONZERO_BYTES = np.arange(1, 256, dtype=np.int64)  # no text holds a zero byte
LABEL, VALUE, HAS_VALUE, SCALED = 0x800000FF, 0x7FFFFFFF, 1 << 8, 1 << 9
NODES_AT_ONCE = 4096  # nodes whose children are looked at together


def check_charsmap(data: bytes) -> None:
    """Refuses a `precompiled_charsmap` that would be read outside of itself.

    It holds the size of a double-array trie in 4 bytes, the trie, and the texts that it leads to, each ended
    by a zero byte. A unit's low 8 bits are its label, bit 8 says that a value follows, bit 9 scales the rest,
    which is the distance to its children. Every node that texts can lead to is visited.

    Args:
      data: the table.

    Raises:
      ModelError: one line.

    Example:
      >>> from jaxlm.tokenizers._charsmap import check_charsmap
      >>> check_charsmap(b"\\xff\\xff\\x00\\x00ab")
      Traceback (most recent call last):
      ...
      jaxlm.errors.ModelError: its table of characters claims a trie of 65,535 bytes and holds 2

    References:
      Yata, "darts-clone", https://github.com/s-yata/darts-clone (the units of the double array).
    """
    size, room = int.from_bytes(data[:4], "little"), max(len(data) - 4, 0)
    if size > room:
        raise ModelError(f"its table of characters claims a trie of {size:,} bytes and holds {room:,}")
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
    """The values of all nodes that texts reach; a node's children stand at its base XOR a byte."""
    reached, values = np.zeros(len(units), bool), [np.zeros(0, np.int64)]
    waiting = [_bases(units, np.zeros(1, np.int64))]
    while waiting:
        bases = waiting.pop()
        waiting.extend(
            bases[at : at + NODES_AT_ONCE] for at in range(NODES_AT_ONCE, len(bases), NODES_AT_ONCE)
        )
        children = _inside(units, bases[:NODES_AT_ONCE, None] ^ NONZERO_BYTES[None])
        places = np.unique(children[(units[children] & LABEL) == NONZERO_BYTES])
        places = places[~reached[places]]
        reached[places] = True
        bases = _bases(units, places)
        ends = _inside(units, bases[(units[places] & HAS_VALUE) > 0])
        values.append(units[ends] & VALUE)
        waiting.extend([bases] if bases.size else [])
    return np.concatenate(values)


def _bases(units: np.ndarray, places: np.ndarray) -> np.ndarray:
    found = units[places]
    return places ^ ((found >> 10) << ((found & SCALED) >> 6))


def _inside(units: np.ndarray, places: np.ndarray) -> np.ndarray:
    if places.size and places.max() >= len(units):
        raise ModelError("its table of characters has a trie that leads out of itself")
    return places


def _check_values(values: np.ndarray, texts: bytes) -> None:
    if values.size and values.max() >= len(texts):
        raise ModelError("its table of characters leads to a text that is not there")
    if ((np.frombuffer(texts, np.uint8)[values] & 0xC0) == 0x80).any():
        raise ModelError("its table of characters leads into the middle of a character")
