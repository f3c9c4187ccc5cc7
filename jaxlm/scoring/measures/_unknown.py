"""Symbols of a text that the vocabulary cannot write."""

from typing import Literal

import numpy as np

from jaxlm.scoring.measures._measure import Context, ScoreError

UnknownPolicy = Literal["error", "score"]


def check_unknown(context: Context, text: str, tokens: np.ndarray, unknown: UnknownPolicy) -> None:
    """Refuses a text with a symbol that the vocabulary has no token for, unless such symbols are scored.

    A text that writes out the name of the unknown token is not refused: that token may have another role,
    too, such as closing texts.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      text: the text.
      tokens: `Int[n]` its ids.
      unknown: "error", or "score": the unknown token is scored like others.

    Raises:
      ScoreError: names the first such symbol.
    """
    unk = context.tokenizer.specials.unk
    if unknown == "score" or unk is None or not (tokens == unk).any():
        return
    name = context.tokenizer.token(unk)
    for first, piece in context.tokenizer.pieces(text):
        encoding = context.tokenizer.encoding(piece)
        indices = np.flatnonzero(np.asarray(encoding.ids) == unk)
        for start, end in (encoding.offsets[index] for index in indices):
            if piece[start:end].strip() != name:
                symbol = f"{piece[start:end][:20]!r} at character {first + start}"
                raise ScoreError(f"the vocabulary has no token for {symbol}")
