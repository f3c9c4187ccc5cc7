"""Lists with an entry for each token of a document: its offsets in the text, and how it was predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm import tokenizers
from jaxlm.scoring.engine import QueryScores
from jaxlm.scoring.measures._measure import ScoreError, nats


def check_top_k_fits(top_k: int, num_ids: int) -> None:
    """Refuses a number of likeliest ids that is negative, or larger than the number of ids.

    Args:
      top_k: how many of the likeliest ids are listed.
      num_ids: how many ids distributions are over.

    Raises:
      ScoreError: says what is expected.

    Example:
      >>> from jaxlm.scoring.measures._token_rows import check_top_k_fits
      >>> check_top_k_fits(5, 33)
    """
    if not 0 <= top_k <= num_ids:
        raise ScoreError(f"top_k: expected 0 to the {num_ids:,} ids that are predicted, got {top_k}")


def token_columns(top_k: int) -> list[pa.Field]:
    """Returns the columns of `token_rows`: lists with an entry a token, null if nothing predicts the token.

    Args:
      top_k: how many of the likeliest ids are listed.
    """
    ids, numbers = pa.list_(pa.int32()), pa.list_(pa.float32())
    return [
        *place_columns(),
        pa.field("token_ranks", ids),
        nats("token_log_probs", numbers),
        nats("token_entropies", numbers),
        *(top_columns() if top_k else []),
    ]


def place_columns() -> list[pa.Field]:
    """Returns the columns of `token_places`."""
    ids = pa.list_(pa.int32())
    return [
        pa.field("token_ids", ids),
        pa.field("token_strings", pa.list_(pa.string())),
        pa.field("token_starts", ids),
        pa.field("token_ends", ids),
    ]


def top_columns() -> list[pa.Field]:
    """Returns the columns of the likeliest ids of each token."""
    lists = {name: pa.list_(pa.list_(kind)) for name, kind in (("ids", pa.int32()), ("strings", pa.string()))}
    fields = [pa.field(f"top_{name}", kind) for name, kind in lists.items()]
    return [*fields, nats("top_log_probs", pa.list_(pa.list_(pa.float32())))]


def token_places(tokenizer: tokenizers.Tokenizer, text: str, tokens: np.ndarray) -> dict[str, list[Any]]:
    """Returns the ids of a text, their readable strings, and their offsets in the text's bytes.

    Args:
      tokenizer: the model's tokenizer.
      text: the original text.
      tokens: `Int32[n]` its ids.

    Example:
      >>> import numpy as np
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._token_rows import token_places
      >>> token_places(tokenizers.residue_tokenizer(), "MK", np.array([20, 15]))
      {'token_ids': [20, 15], 'token_strings': ['M', 'K'], 'token_starts': [0, 1], 'token_ends': [1, 2]}
    """
    starts, ends = byte_offsets(tokenizer, text)
    ids = tokens.tolist()
    return {
        "token_ids": ids,
        "token_strings": token_strings(tokenizer, ids),
        "token_starts": starts,
        "token_ends": ends,
    }


def token_strings(tokenizer: tokenizers.Tokenizer, ids: Sequence[int]) -> list[str]:
    r"""Returns a readable string for each id; a model may have ids that its tokenizer does not have.

    Args:
      tokenizer: the model's tokenizer.
      ids: of the model.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._token_rows import token_strings
      >>> token_strings(tokenizers.bytes_tokenizer(), [97, 195, 300])
      ['a', '\\xc3', '<hole 300>']
    """
    return [tokenizer.token(id) if id < tokenizer.vocab_size else f"<hole {id}>" for id in ids]


def top_strings(
    tokenizer: tokenizers.Tokenizer, top_ids: Sequence[Sequence[int] | None]
) -> list[list[str] | None]:
    """Returns readable strings of the likeliest ids of each token.

    Args:
      tokenizer: the model's tokenizer.
      top_ids: of each token; None if nothing predicts it.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._token_rows import top_strings
      >>> top_strings(tokenizers.bytes_tokenizer(), [None, [97, 98]])
      [None, ['a', 'b']]
    """
    return [None if ids is None else token_strings(tokenizer, ids) for ids in top_ids]


def token_rows(
    tokenizer: tokenizers.Tokenizer,
    text: str,
    tokens: np.ndarray,
    scores: QueryScores,
    *,
    closing: Sequence[int] = (),
) -> dict[str, Any]:
    """Returns lists with an entry a token.

    Starts and ends are offsets in the UTF-8 bytes of the text; tokens that spell one character together have
    the same offsets. Rank 0 is the likeliest id.

    Args:
      tokenizer: the model's tokenizer.
      text: the original text.
      tokens: `Int32[n]` its ids.
      scores: of the predicted tokens, with details: of all, or of all but the first.
      closing: ids behind the text that were predicted, too; their scores are the last ones.
    """
    if scores.ranks is None or scores.entropy is None:
        raise AssertionError("lists of tokens need ranks and entropies")
    lists = token_places(tokenizer, text, tokens)
    at_the_end = [len(text.encode())] * len(closing)
    last = (list(closing), token_strings(tokenizer, closing), at_the_end, at_the_end)
    row: dict[str, Any] = {
        name: [*values, *more] for (name, values), more in zip(lists.items(), last, strict=True)
    }
    unscored = [None] * (len(tokens) + len(closing) - len(scores.log_probs))
    row["token_log_probs"] = unscored + scores.log_probs.tolist()
    row["token_ranks"] = unscored + scores.ranks.tolist()
    row["token_entropies"] = unscored + scores.entropy.tolist()
    if scores.top_tokens is not None and scores.top_log_probs is not None:
        row["top_ids"] = unscored + scores.top_tokens.tolist()
        row["top_strings"] = top_strings(tokenizer, row["top_ids"])
        row["top_log_probs"] = unscored + scores.top_log_probs.tolist()
    return row


def byte_offsets(tokenizer: tokenizers.Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Returns the offsets of each token in the bytes of a text, as the tokenizer's file defines them.

    If its normaliser composes a letter with its combining marks, or removes the marks, they belong to the
    token that ends with the letter.

    Args:
      tokenizer: the model's tokenizer.
      text: the original text.

    Returns:
      The first byte of each token, and the byte behind its last one.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._token_rows import byte_offsets
      >>> byte_offsets(tokenizers.residue_tokenizer(), "MKT")
      ([0, 1, 2], [1, 2, 3])
    """
    offsets = tokenizer.encoding(text).offsets
    if not text.isascii():
        offsets = _with_marks(offsets, text)
    if len(text) == len(text.encode()):
        return [start for start, _ in offsets], [end for _, end in offsets]
    before = np.cumsum([0, *(len(character.encode()) for character in text)]).tolist()
    return [before[start] for start, _ in offsets], [before[end] for _, end in offsets]


def _with_marks(offsets: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """The offsets, with combining marks that no token covers added to the token before them."""
    begun = {start for start, end in offsets if end > start}
    ends: dict[int, int] = {}
    for end in {end for start, end in offsets if end > start}:
        last = end
        while last < len(text) and last not in begun and _is_mark(text[last]):
            last += 1
        ends[end] = last
    return [(start, ends[end]) if end > start else (start, end) for start, end in offsets]


def _is_mark(character: str) -> bool:
    return tokenizers.character_class(character) == tokenizers.CharacterClass.JOINED
