"""Encodes long texts in pieces, because the library needs some 150 bytes for each character of a text.

A text is cut only where the cut does not change its tokens. That is tested on the text around the cut: its
tokens must be those of its two halves, one after the other.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

# Characters of a text that is cut, of its pieces, and of the text that is tested on each side of a cut.
LONG_TEXT, CHUNK, MARGIN = 1 << 20, 1 << 18, 1000
# Pieces that are encoded together, and positions that are tried for a cut.
CHUNKS_AT_ONCE, TRIES = 4, 32
# The boundaries of words, which rarely lie inside a token.
BREAK = re.compile(r"(?<=\S)(?=\s)|(?<=\s)(?=\S)")

Encode = Callable[[Sequence[str]], Sequence[np.ndarray]]


def encode_long(encode: Encode, text: str) -> np.ndarray:
    """Returns the ids of a text, encoded piece by piece.

    Args:
      encode: returns the ids of several texts, without opening and closing tokens.
      text: of any length.

    Returns:
      int32 array `[L]`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.tokenizers._long_texts import encode_long
      >>> def encode(texts):
      ...     return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]
      >>> encode_long(encode, "to be " * 50_000).shape
      (300000,)
    """
    pieces = (piece for _, piece in cut_text(encode, text))
    ids: list[np.ndarray] = []
    while block := list(itertools.islice(pieces, CHUNKS_AT_ONCE)):
        ids.extend(encode(block))
    return np.concatenate(ids) if ids else np.zeros(0, np.int32)


def cut_text(encode: Encode, text: str) -> Iterator[tuple[int, str]]:
    """Yields (offset, piece) for each piece of a text; the ids of the pieces, joined, are those of the text.

    A space between two pieces is left out if the tokenizer adds one in front of a text. A piece is longer
    where no cut is clean.

    Args:
      encode: as for `encode_long`.
      text: of any length.
    """
    start, size = 0, CHUNK
    while len(text) - start > size + CHUNK // 2:
        cut = _clean_cut(encode, text, start + size)
        if cut is None:
            size += CHUNK
            continue
        end, next_start = cut
        yield start, text[start:end]
        start, size = next_start, CHUNK
    yield start, text[start:]


def _clean_cut(encode: Encode, text: str, near: int) -> tuple[int, int] | None:
    """The end of a piece and the start of the next, at the first clean cut after `near`; None: there is none.

    Each cut at a space is tried with the space and without, for tokenizers that add one in front of a text.
    """
    last = near + CHUNK // 4
    breaks = (match.end() for match in BREAK.finditer(text, near, last))
    ends = itertools.chain(itertools.islice(breaks, TRIES), range(near, near + TRIES))
    cuts = ((end, end + skipped) for end in ends for skipped in range(1 + (text[end] == " ")))
    return next((cut for cut in cuts if _is_clean(encode, text, *cut)), None)


def _is_clean(encode: Encode, text: str, end: int, next_start: int) -> bool:
    first, last = end - MARGIN, next_start + MARGIN
    whole, left, right = encode([text[first:last], text[first:end], text[next_start:last]])
    return np.array_equal(whole, np.concatenate([left, right]))
