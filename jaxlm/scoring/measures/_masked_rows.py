"""What the rows of masked scores have in common: values by token and by word.

Letters: `n` tokens of a text.
"""

from typing import Any

import numpy as np

from jaxlm import tokenizers
from jaxlm.scoring.measures._masked_texts import MaskedText
from jaxlm.scoring.measures._token_rows import byte_offsets


def list_by_token(text: MaskedText, values: np.ndarray) -> list[Any]:
    """Returns a list with an entry a token: of the regular ones their values, in order; of specials None."""
    entries: list[Any] = [None] * text.tokens.size
    for place, value in zip(np.flatnonzero(text.regular).tolist(), values.tolist(), strict=True):
        entries[place] = value
    return entries


def word_texts(tokenizer: tokenizers.Tokenizer, text: str, numbers: np.ndarray) -> list[str]:
    """Returns the words of a text, without the white space around them.

    Args:
      tokenizer: the model's.
      text: the text.
      numbers: `Int[n]` from `word_numbers`.

    Example:
      >>> word_texts(tokenizers.bytes_tokenizer(), "to be", np.array([0, 0, 1, 1, 1]))
      ['to', 'be']
    """
    starts, ends = (np.asarray(places) for places in byte_offsets(tokenizer, text))
    places = np.flatnonzero(numbers >= 0)
    begins = np.flatnonzero(np.diff(numbers[places], prepend=-1))
    firsts, lasts = places[begins], places[np.append(begins[1:], len(places)) - 1]
    encoded = text.encode()
    return [
        encoded[start:end].decode("utf-8", "replace").strip()
        for start, end in zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True)
    ]
