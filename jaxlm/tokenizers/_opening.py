"""What a tokenizer's file puts around texts; texts to be gone on with are opened by it, and not closed."""

import functools

import numpy as np

from jaxlm.tokenizers._tokenizer import Tokenizer

PROBE = "A"  # a text of every kind, residues included, that no file opens or closes texts with


def encode_opened(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Returns the ids of a text behind the tokens that the file opens a text with, and none that closes it.

    What Llama's and Gemma's files put around a text is their <s> or <bos>; GPT-2's puts nothing; a [SEP] or a
    </s> that would follow is left out.

    Args:
      tokenizer: says what opens a text.
      text: as for `Tokenizer.encode`.

    Returns:
      int32 array `[L]`.

    Raises:
      ValueError: as `Tokenizer.encode`.

    Example:
      >>> from jaxlm import tokenizers
      >>> encode_opened(tokenizers.residue_tokenizer(), "MKT")
      array([ 0, 20, 15, 11], dtype=int32)
    """
    return np.concatenate([opened_and_closed(tokenizer)[0], tokenizer.encode(text)])


@functools.lru_cache(maxsize=8)
def opened_and_closed(tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ids that a tokenizer's file puts before and behind a text.

    Example:
      >>> from jaxlm import tokenizers
      >>> [ids.tolist() for ids in opened_and_closed(tokenizers.residue_tokenizer())]
      [[0], [2]]
    """
    plain, whole = (tokenizer.encode(PROBE, add_specials=specials) for specials in (False, True))
    starts = range(whole.size - plain.size + 1)
    opening = next((n for n in starts if np.array_equal(whole[n : n + plain.size], plain)), 0)
    return whole[:opening], whole[opening + plain.size :]
