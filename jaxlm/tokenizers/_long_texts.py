"""Long texts in pieces: the library holds some 150 bytes for each character that it divides at once.

A text is cut where its tokens do not change by it, as is seen from the text around: a window, divided whole,
has the tokens of its two halves one after the other.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

# Characters: of a text that is cut, of its pieces, of what is looked at on each side of a cut.
LONG_TEXT, CHUNK, MARGIN = 1 << 20, 1 << 18, 1000
# Pieces that are divided together, and places that are tried for a cut.
CHUNKS_AT_ONCE, TRIES = 4, 32
# Where words begin, which are rarely one token with what is before them.
BREAK = re.compile(r"(?<=\S)(?=\s)|(?<=\s)(?=\S)")

Encode = Callable[[Sequence[str]], Sequence[np.ndarray]]


def encode_long(encode: Encode, text: str) -> np.ndarray:
    """Returns the ids of a text, divided piece by piece.

    Args:
      encode: ids of each of some texts, nothing around them.
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
    found: list[np.ndarray] = []
    while block := list(itertools.islice(pieces, CHUNKS_AT_ONCE)):
        found.extend(encode(block))
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def cut_text(encode: Encode, text: str) -> Iterator[tuple[int, str]]:
    """Yields where each piece of a text begins, and the piece; their ids, joined, are the text's.

    Between two of them a space may be left out, which the tokenizer puts there. Where no cut is clean the
    piece is longer.

    Args:
      encode: as for `encode_long`.
      text: of any length.
    """
    start, wanted = 0, CHUNK
    while len(text) - start > wanted + CHUNK // 2:
        found = _clean_cut(encode, text, start + wanted)
        if found is None:
            wanted += CHUNK
            continue
        end, behind = found
        yield start, text[start:end]
        start, wanted = behind, CHUNK
    yield start, text[start:]


def _clean_cut(encode: Encode, text: str, near: int) -> tuple[int, int] | None:
    """Where a piece ends and the next begins, at the first clean one of some places behind `near`.

    Tokenizers that put a space in front of every text are given none that stands there.
    """
    last = near + CHUNK // 4
    breaks = (match.end() for match in BREAK.finditer(text, near, last))
    places = itertools.chain(itertools.islice(breaks, TRIES), range(near, near + TRIES))
    cuts = ((place, place + skipped) for place in places for skipped in range(1 + (text[place] == " ")))
    return next((found for found in cuts if _is_clean(encode, text, *found)), None)


def _is_clean(encode: Encode, text: str, end: int, behind: int) -> bool:
    first, last = end - MARGIN, behind + MARGIN
    whole, left, right = encode([text[first:last], text[first:end], text[behind:last]])
    return np.array_equal(whole, np.concatenate([left, right]))
