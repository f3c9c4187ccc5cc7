"""What is said of each token of a document: where it stands in the text, and how it was predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm import tokenizers
from jaxlm.scoring._measure import ScoreError, nats
from jaxlm.scoring._pieces import PieceScores


def check_top_k(top_k: int, num_ids: int) -> None:
    """Refuses to list more ids than there are, or fewer than none.

    Args:
      top_k: how many of the likeliest ids are asked for.
      num_ids: that distributions are over.

    Raises:
      ScoreError: says what is expected.

    Example:
      >>> check_top_k(5, 33)
    """
    if not 0 <= top_k <= num_ids:
        raise ScoreError(f"top_k: expected 0 to the {num_ids:,} ids that are predicted, got {top_k}")


def token_columns(top_k: int) -> list[pa.Field]:
    """Returns the columns of `token_rows`: lists with an entry a token, null where nothing predicts it.

    Args:
      top_k: how many of the likeliest ids are listed.
    """
    ids, numbers = pa.list_(pa.int32()), pa.list_(pa.float32())
    top = [pa.field("top_ids", pa.list_(ids)), nats("top_log_probs", pa.list_(numbers))]
    return [
        *(pa.field(name, ids) for name in ("token_ids", "token_starts", "token_ends", "token_ranks")),
        nats("token_log_probs", numbers),
        nats("token_entropies", numbers),
        *(top if top_k else []),
    ]


def token_rows(
    tokenizer: tokenizers.Tokenizer,
    text: str,
    tokens: np.ndarray,
    scores: PieceScores,
    *,
    closing: Sequence[int] = (),
) -> dict[str, Any]:
    """Returns lists with an entry a token.

    Starts and ends are offsets in the bytes of the text as UTF-8; a character that several tokens spell is
    all of theirs. Ranks begin with 0, the likeliest.

    Args:
      tokenizer: of the model.
      text: the original text.
      tokens: `Int32[n]` its ids.
      scores: of the tokens that were predicted, the last ones: all, or all but the first.
      closing: the ids that the last scores are of, which stand at the text's end.
    """
    starts, ends = byte_offsets(tokenizer, text)
    num_bytes = len(text.encode())
    at_the_end = [num_bytes] * len(closing)
    found = {
        "token_ids": [*tokens.tolist(), *closing],
        "token_starts": [*starts, *at_the_end],
        "token_ends": [*ends, *at_the_end],
    }
    unscored = [None] * (len(tokens) + len(closing) - len(scores.log_probs))
    fields = {"token_log_probs": 0, "token_ranks": 1, "token_entropies": 2}
    found |= {name: unscored + scores[field].tolist() for name, field in fields.items()}
    if scores.top_tokens is not None:
        found |= {"top_ids": unscored + scores.top_tokens.tolist()}
        found |= {"top_log_probs": unscored + scores.top_log_probs.tolist()}
    return found


def byte_offsets(tokenizer: tokenizers.Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Returns where each token begins and ends in the bytes of a text, as the tokenizer's file says.

    Example:
      >>> byte_offsets(tokenizers.residue_tokenizer(), "MKT")
      ([0, 1, 2], [1, 2, 3])
    """
    offsets = tokenizer.backend.encode(text, add_special_tokens=False).offsets
    if len(text) == len(text.encode()):
        return [start for start, _ in offsets], [end for _, end in offsets]
    before = np.cumsum([0, *(len(character.encode()) for character in text)]).tolist()
    return [before[start] for start, _ in offsets], [before[end] for _, end in offsets]
