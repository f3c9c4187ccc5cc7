"""The mask of special ids."""

import numpy as np

from jaxlm.tokenizers._tokenizer import Tokenizer


def special_mask(tokenizer: Tokenizer, vocab_size: int | None = None) -> np.ndarray:
    """Returns a bool array over the vocabulary: True = never masked, drawn at random or predicted.

    Args:
      tokenizer: the tokenizer, whose special tokens are True.
      vocab_size: the vocabulary size V of the model. Ids for which the tokenizer has no token are True too.
        None: the vocabulary size of the tokenizer.

    Returns:
      The array, `Bool[V]`.

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
