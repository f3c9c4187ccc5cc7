"""The ids that distributions are over: all of a model, those of ordinary tokens, or those of amino acids."""

import functools
from typing import Literal

import numpy as np

from jaxlm import tokenizers
from jaxlm.scoring.measures._measure import ScoreError

Vocabulary = Literal["all", "regular", "amino-acids"]


@functools.lru_cache(maxsize=8)
def vocabulary_ids(
    tokenizer: tokenizers.Tokenizer, vocab_size: int, vocabulary: Vocabulary
) -> tuple[int, ...] | None:
    """Returns the ids that distributions are over; None for all ids of the model.

    Published scores differ in this, and it changes log-likelihoods: over the amino acids alone, the
    probability of special tokens and ambiguous letters is removed before normalising.

    Args:
      tokenizer: the model's tokenizer.
      vocab_size: of the model, which may have more ids than the tokenizer.
      vocabulary: "all"; "regular", without special tokens and ids without a token; "amino-acids", the 20.

    Returns:
      Ascending ids, or None.

    Raises:
      ScoreError: if the tokenizer has no token for one of the amino acids.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures import vocabulary_ids
      >>> tokenizer = tokenizers.residue_tokenizer()
      >>> [vocabulary_ids(tokenizer, 33, name) for name in ("all", "amino-acids")]
      [None, (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)]
    """
    if vocabulary == "all":
        return None
    if vocabulary == "regular":
        return tuple(np.flatnonzero(~tokenizers.special_mask(tokenizer, vocab_size)).tolist())
    if vocabulary != "amino-acids":
        raise ScoreError(f"vocabulary is all, regular or amino-acids: got {vocabulary!r}")
    ids = {letter: tokenizer.id(letter) for letter in tokenizers.AMINO_ACIDS}
    missing = [letter for letter, id in ids.items() if id is None]
    if missing:
        raise ScoreError(f"the tokenizer has no token for the amino acids {', '.join(missing)}")
    return tuple(sorted(id for id in ids.values() if id is not None))
