"""Steps of a trie on the host, where one byte at a time is read."""

import functools

import numpy as np

from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._trie import TRIE_ROOT, ByteTrie


class HostTrie:
    """Steps of a trie on the host, one at a time."""

    def __init__(self, trie: ByteTrie) -> None:
        self._starts = np.asarray(trie.edge_starts).tolist()
        self._bytes = np.asarray(trie.edge_bytes).tobytes()
        self._children = np.asarray(trie.edge_children)
        self._letters = np.asarray(trie.edge_bytes)
        self._firsts, self._ends = np.asarray(trie.starts), np.asarray(trie.ends)

    def child(self, node: int, byte: int) -> int:
        """Returns the node after a byte, -1 if there is none."""
        edge = self._bytes.find(byte, self._starts[node], self._starts[node + 1]) if node >= 0 else -1
        return int(self._children[edge]) if edge >= 0 else -1

    def children(self, node: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the bytes that may follow a node, and the starts and ends of their intervals of tokens.

        Args:
          node: of the trie; -1 has no bytes behind it.
        """
        edges = slice(self._starts[node], self._starts[node + 1]) if node >= 0 else slice(0, 0)
        children = self._children[edges]
        return self._letters[edges], self._firsts[children], self._ends[children]

    def interval(self, node: int) -> tuple[int, int]:
        """Returns the start and the end of the sorted tokens whose bytes begin with a node's.

        Args:
          node: of the trie.
        """
        return int(self._firsts[node]), int(self._ends[node])

    def descend(self, text: bytes) -> int:
        """Returns the node of some bytes, -1 if there is none."""
        node = TRIE_ROOT
        for byte in text:
            node = self.child(node, byte)
            if node < 0:
                break
        return node


@functools.lru_cache(maxsize=8)
def host_trie(byte_model: ByteModel) -> HostTrie:
    """Returns the trie of a model for steps on the host; that of the same model is made once.

    Args:
      byte_model: the model.
    """
    return HostTrie(byte_model.trie)
