"""What a text has that the vocabulary cannot write."""

from typing import Literal

import numpy as np

from jaxlm.scoring.measures._measure import Context, ScoreError

UnknownPolicy = Literal["error", "score"]


def check_unknown(context: Context, text: str, tokens: np.ndarray, unknown: UnknownPolicy) -> None:
    """Refuses a text with a symbol that the vocabulary has no token for, unless it is to be scored.

    A text that spells the token's own name, as where one token is the unknown and the closing one, has it.

    Args:
      context: of the model.
      text: the text.
      tokens: `Int[n]` its ids.
      unknown: "error", or "score" the token that stands for all that is unknown like others.

    Raises:
      ScoreError: names the first such symbol.
    """
    unk = context.tokenizer.specials.unk
    if unknown == "score" or unk is None or not (tokens == unk).any():
        return
    name = context.tokenizer.token(unk)
    for first, piece in context.tokenizer.pieces(text):
        encoding = context.tokenizer.encoding(piece)
        places = np.flatnonzero(np.asarray(encoding.ids) == unk)
        for start, end in (encoding.offsets[place] for place in places):
            if piece[start:end].strip() != name:
                told = f"{piece[start:end][:20]!r} at character {first + start}"
                raise ScoreError(f"the vocabulary has no token for {told}")
