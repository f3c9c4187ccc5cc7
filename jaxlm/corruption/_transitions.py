"""Probabilities of substituting residues as evolution does, from BLOSUM62's odds."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from jaxlm import tokenizers
from jaxlm.corruption._blosum import BACKGROUND, BLOSUM62, BLOSUM62_ORDER


def blosum62_transitions(
    *,
    temperature: float = 1.0,
    keep_diagonal: bool = False,
    background: Literal["standard", "uniform"] = "standard",
) -> np.ndarray:
    """Returns the probabilities T_ij that a protein residue i is replaced by j, as in related proteins.

    T_ij is proportional to 2^(S_ij / (2 temperature)) p_j, where S are BLOSUM62's scores in half-bits and p
    are the frequencies of the background; rows sum to 1. T is not reversible with respect to the background,
    because the published scores are rounded and each row is normalised separately.

    Args:
      temperature: above 1 makes each row more like the background, below 1 sharpens it.
      keep_diagonal: whether a residue may be replaced by itself; if False, T_ii = 0.
      background: p: "standard", the frequencies of residues in proteins, or "uniform", all equal.

    Returns:
      `Float64[20 20]`, rows and columns in the order of `BLOSUM62_ORDER`.

    Raises:
      ValueError: if the temperature is not positive.

    Example:
      >>> from jaxlm.corruption import BLOSUM62_ORDER, blosum62_transitions
      >>> rows, index = blosum62_transitions(), BLOSUM62_ORDER.index
      >>> round(float(rows[index("I"), index("V")]), 6), round(float(rows[index("W"), index("F")]), 6)
      (0.249973, 0.114776)
    """
    if not temperature > 0:
        raise ValueError(f"a temperature is positive: got {temperature}")
    frequencies = BACKGROUND if background == "standard" else np.ones(len(BLOSUM62_ORDER))
    # The largest score of a row is subtracted, so that a low temperature does not overflow.
    scores = BLOSUM62.astype(np.float64)
    if not keep_diagonal:
        scores = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    odds = np.exp2((scores - scores.max(1, keepdims=True)) / (2 * temperature)) * frequencies
    return odds / odds.sum(1, keepdims=True)


def vocabulary_transitions(
    vocabulary: tokenizers.Tokenizer | Mapping[str, int],
    vocab_size: int | None = None,
    *,
    temperature: float = 1.0,
    keep_diagonal: bool = False,
    background: Literal["standard", "uniform"] = "standard",
) -> np.ndarray:
    """Returns `blosum62_transitions` for a vocabulary; ids that are no canonical residues stay.

    Rows are restricted to the residues that the vocabulary has, and normalised again. A residue that is the
    only one of the vocabulary stays.

    Args:
      vocabulary: a tokenizer, or a mapping from letters to ids.
      vocab_size: V, the size of the matrix; None: one more than the highest id.
      temperature: above 1 makes each row more like the background, below 1 sharpens it.
      keep_diagonal: whether a residue may be replaced by itself.
      background: "standard", the frequencies of residues in proteins, or "uniform", all equal.

    Returns:
      `Float64[V V]`, whose rows sum to 1.

    Raises:
      ValueError: if an id is `vocab_size` or more.

    Example:
      >>> from jaxlm.corruption import vocabulary_transitions
      >>> rows = vocabulary_transitions({"A": 1, "G": 2, "W": 3}, 5)
      >>> rows[[0, 4], [0, 4]].tolist(), rows[1].round(3).tolist()
      ([1.0, 1.0], [0.0, 0.0, 0.949, 0.051, 0.0])
    """
    if isinstance(vocabulary, Mapping):
        matches, own_size = (
            list(map(vocabulary.get, BLOSUM62_ORDER)),
            max(vocabulary.values(), default=-1) + 1,
        )
    else:
        matches, own_size = list(map(vocabulary.id, BLOSUM62_ORDER)), vocabulary.vocab_size
    known = [(residue, id_) for residue, id_ in enumerate(matches) if id_ is not None]
    residues, ids = [residue for residue, _ in known], [id_ for _, id_ in known]
    size = own_size if vocab_size is None else vocab_size
    if any(id_ >= size for id_ in ids):
        raise ValueError(f"a vocabulary's ids are below vocab_size={size}: got {max(ids)}")
    rows = np.eye(size)
    whole = blosum62_transitions(temperature=temperature, keep_diagonal=keep_diagonal, background=background)
    own = whole[np.ix_(residues, residues)]
    if len(ids) > 1 or keep_diagonal:
        rows[np.ix_(ids, ids)] = own / own.sum(1, keepdims=True)
    return rows
