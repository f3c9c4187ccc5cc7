"""The mask of special ids."""

import numpy as np

from jaxlm.tokenizers._tokenizer import Tokenizer


def special_mask(tokenizer: Tokenizer, vocab_size: int | None = None) -> np.ndarray:
    """Returns a mask over the vocabulary of the ids that are never masked, drawn at random or predicted.

    Args:
      tokenizer: its `special_ids` are True.
      vocab_size: the vocabulary size V of the model, whose ids without a token are True too; None: the
        tokenizer's.

    Returns:
      `Bool[V]`, True = special.

    Example:
      >>> from jaxlm.tokenizers import special_mask
      >>> from jaxlm import tokenizers
      >>> mask = special_mask(tokenizers.residue_tokenizer(), vocab_size=40)
      >>> mask.shape, int((~mask).sum()), mask[-7:].tolist()
      ((40,), 26, [True, True, True, True, True, True, True])
    """
    size = tokenizer.vocab_size if vocab_size is None else vocab_size
    mask = np.arange(size) >= tokenizer.vocab_size
    mask[[id for id in tokenizer.special_ids if id < size]] = True
    return mask
