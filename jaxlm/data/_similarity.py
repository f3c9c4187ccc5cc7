"""Clusters of records that share a good part of their k-mers, so that no near-duplicate crosses a split."""

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxlm import tokenizers

LETTERS, RUN_WORDS = 4, 5
# Sums of one block's products of postings: what is held at once beside the k-mers themselves.
PRODUCTS_AT_ONCE = 1 << 22


def similar_clusters(texts: Sequence[str], share: float, *, letters: bool) -> np.ndarray:
    """Returns the cluster of each text: texts that are similar, or linked by others that are, have the same.

    Two texts are similar if they share at least `share` of the distinct k-mers of the one that has fewer:
    a fragment is similar to the whole, whatever follows it. Every pair is judged: none is missed by chance.
    At 0.2, of 1,000 random proteins of 120 residues with as many mutations at random places, every one was
    with its original at 80 % identity, 83 % were at 70 %, 2 % at 60 % and none at 50 %.

    Time grows with the pairs of texts that share k-mers, memory with the texts.

    Args:
      texts: the records' texts.
      share: in (0, 1].
      letters: whether k-mers are runs of four letters (proteins) or of five words (see
        `tokenizers.words_of`). A shorter text is one k-mer of its own.

    Returns:
      `Int64[N]`, the index of the first text of each text's cluster.

    Example:
      >>> from jaxlm.data import similar_clusters
      >>> similar_clusters(["MKTAYIAKQR", "MKTAYIAKQL", "GGGGGGGG"], 0.5, letters=True)
      array([0, 0, 2])
    """
    texts = list(tokenizers.as_texts(texts))
    if not texts:
        return np.zeros(0, np.int64)
    kmers = [_letter_kmers(text) if letters else _word_kmers(text) for text in texts]
    return _linked(_incidence(kmers), share)


def _letter_kmers(text: str) -> np.ndarray:
    """The distinct runs of four bytes, each as one number."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64)
    data = np.pad(data, (0, max(0, LETTERS - len(data))))
    windows = np.lib.stride_tricks.sliding_window_view(data, LETTERS)
    return np.unique(windows @ (256 ** np.arange(LETTERS, dtype=np.int64)))


def _word_kmers(text: str) -> np.ndarray:
    words = tokenizers.words_of(text)
    runs = {" ".join(words[start : start + RUN_WORDS]) for start in range(max(1, len(words) - RUN_WORDS + 1))}
    digests = [hashlib.blake2b(run.encode("utf-8", "surrogatepass"), digest_size=8).digest() for run in runs]
    return np.unique(np.frombuffer(b"".join(digests), "<i8"))


def _incidence(kmers: list[np.ndarray]) -> tuple[Any, np.ndarray]:
    """Which text has which of the k-mers that several have, 0/1 and sparse; and the number of all of each."""
    import scipy.sparse

    sizes = np.asarray([len(one) for one in kmers])
    _, column, count = np.unique(np.concatenate(kmers), return_inverse=True, return_counts=True)
    row = np.repeat(np.arange(len(kmers)), sizes)
    shared = count[column] > 1
    ones = np.ones(int(shared.sum()), np.int32)
    return scipy.sparse.csr_array((ones, (row[shared], column[shared])), (len(kmers), len(count))), sizes


def _linked(incidence: tuple[Any, np.ndarray], share: float) -> np.ndarray:
    """Single-linkage clusters; links are folded into a forest block by block."""
    import scipy.sparse
    from scipy.sparse.csgraph import connected_components

    matrix, sizes = incidence
    num, transposed = len(sizes), matrix.T.tocsr()
    cluster = np.arange(num)
    for first, last in _blocks(matrix):
        both = (matrix[first:last] @ transposed).tocoo()
        one, other = both.coords[0] + first, both.coords[1]
        # Rounding must not turn a share that is met exactly into one that is missed.
        similar = both.data >= share * np.minimum(sizes[one], sizes[other]) - 1e-9
        ends = np.concatenate([one[similar], np.arange(num)]), np.concatenate([other[similar], cluster])
        graph = scipy.sparse.coo_array((np.ones(len(ends[0]), bool), ends), (num, num))
        _, found = connected_components(graph, directed=False)
        cluster = np.unique(found, return_index=True)[1][found]
    return cluster


def _blocks(matrix: Any) -> list[tuple[int, int]]:
    """Runs of texts whose products with all others are few enough to be held at once."""
    postings = np.bincount(matrix.indices, minlength=matrix.shape[1])
    products = np.concatenate([[0], np.cumsum(postings[matrix.indices])])[matrix.indptr]
    bounds = [0]
    while bounds[-1] < matrix.shape[0]:
        last = int(np.searchsorted(products, products[bounds[-1]] + PRODUCTS_AT_ONCE, side="right")) - 1
        bounds.append(max(last, bounds[-1] + 1))
    return list(itertools.pairwise(bounds))
