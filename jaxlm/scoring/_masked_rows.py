"""What the rows of masked scores have in common: values by token and by word.

Letters: `n` tokens of a text.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm import tokenizers
from jaxlm.scoring._masked_texts import MaskedText
from jaxlm.scoring._token_rows import byte_offsets


def at_regular(text: MaskedText, values: np.ndarray) -> list[Any]:
    """Returns a list with an entry a token: of the regular ones their values, in order; of specials None."""
    entries: list[Any] = [None] * text.tokens.size
    for place, value in zip(np.flatnonzero(text.regular).tolist(), values.tolist(), strict=True):
        entries[place] = value
    return entries


def token_places(tokenizer: tokenizers.Tokenizer, text: str, tokens: np.ndarray) -> dict[str, list[int]]:
    """Returns the ids of a text and where each begins and ends in its bytes.

    Example:
      >>> token_places(tokenizers.residue_tokenizer(), "MK", np.array([20, 15]))
      {'token_ids': [20, 15], 'token_starts': [0, 1], 'token_ends': [1, 2]}
    """
    starts, ends = byte_offsets(tokenizer, text)
    return {"token_ids": tokens.tolist(), "token_starts": starts, "token_ends": ends}


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


def place_columns() -> list[pa.Field]:
    """Returns the columns of `token_places`."""
    return [pa.field(name, pa.list_(pa.int32())) for name in ("token_ids", "token_starts", "token_ends")]
