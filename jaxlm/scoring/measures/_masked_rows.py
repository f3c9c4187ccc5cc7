"""Lists by token and by word, for the rows of masked scores.

Letters: `n` tokens of a text.
"""

from typing import Any

import numpy as np

from jaxlm import tokenizers
from jaxlm.scoring.measures._masked_texts import MaskedText
from jaxlm.scoring.measures._token_rows import byte_offsets


def list_by_token(text: MaskedText, values: np.ndarray) -> list[Any]:
    """Returns a list with an entry a token: the value of each regular token, None for special tokens.

    Args:
      text: the text.
      values: `[m]` of its regular tokens, in order.
    """
    entries: list[Any] = [None] * text.tokens.size
    for index, value in zip(np.flatnonzero(text.regular).tolist(), values.tolist(), strict=True):
        entries[index] = value
    return entries


def word_texts(tokenizer: tokenizers.Tokenizer, text: str, numbers: np.ndarray) -> list[str]:
    """Returns the words of a text, without the white space around them.

    Args:
      tokenizer: the model's tokenizer.
      text: the text.
      numbers: `Int[n]` from `word_numbers`.

    Example:
      >>> import numpy as np
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._masked_rows import word_texts
      >>> word_texts(tokenizers.bytes_tokenizer(), "to be", np.array([0, 0, 1, 1, 1]))
      ['to', 'be']
    """
    starts, ends = map(np.asarray, byte_offsets(tokenizer, text))
    in_words = np.flatnonzero(numbers >= 0)
    begins = np.flatnonzero(np.diff(numbers[in_words], prepend=-1))
    firsts, lasts = in_words[begins], in_words[np.append(begins[1:], len(in_words)) - 1]
    encoded = text.encode()
    return [
        encoded[start:end].decode("utf-8", "replace").strip()
        for start, end in zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True)
    ]
