"""What is said of each token of a document: where it stands in the text, and how it was predicted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jaxlm import tokenizers
from jaxlm.scoring.engine import QueryScores
from jaxlm.scoring.measures._measure import ScoreError, nats


def check_top_k_fits(top_k: int, num_ids: int) -> None:
    """Refuses to list more ids than there are, or fewer than none.

    Args:
      top_k: how many of the likeliest ids are asked for.
      num_ids: that distributions are over.

    Raises:
      ScoreError: says what is expected.

    Example:
      >>> check_top_k_fits(5, 33)
    """
    if not 0 <= top_k <= num_ids:
        raise ScoreError(f"top_k: expected 0 to the {num_ids:,} ids that are predicted, got {top_k}")


def token_columns(top_k: int) -> list[pa.Field]:
    """Returns the columns of `token_rows`: lists with an entry a token, null where nothing predicts it.

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
    """Returns the ids of a text, each as a person reads it, and where each stands in the text's bytes.

    Args:
      tokenizer: of the model.
      text: the original text.
      tokens: `Int32[n]` its ids.

    Example:
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
    r"""Returns what a person reads for each id; the model may have ids that its tokenizer has not.

    Example:
      >>> token_strings(tokenizers.bytes_tokenizer(), [97, 195, 300])
      ['a', '\\xc3', '<hole 300>']
    """
    return [tokenizer.token(id) if id < tokenizer.vocab_size else f"<hole {id}>" for id in ids]


def top_strings(
    tokenizer: tokenizers.Tokenizer, top_ids: Sequence[Sequence[int] | None]
) -> list[list[str] | None]:
    """Returns the likeliest ids of each token as a person reads them.

    Example:
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

    Starts and ends are offsets in the bytes of the text as UTF-8; a character that several tokens spell is
    all of theirs. Ranks begin with 0, the likeliest.

    Args:
      tokenizer: of the model.
      text: the original text.
      tokens: `Int32[n]` its ids.
      scores: of the tokens that were predicted, the last ones: all, or all but the first.
      closing: the ids that the last scores are of, which stand at the text's end.
    """
    found = token_places(tokenizer, text, tokens)
    at_the_end = [len(text.encode())] * len(closing)
    last = (list(closing), token_strings(tokenizer, closing), at_the_end, at_the_end)
    found = {name: [*values, *more] for (name, values), more in zip(found.items(), last, strict=True)}
    unscored = [None] * (len(tokens) + len(closing) - len(scores.log_probs))
    fields = {"token_log_probs": 0, "token_ranks": 1, "token_entropies": 2}
    found |= {name: unscored + scores[field].tolist() for name, field in fields.items()}
    if scores.top_tokens is not None:
        found |= {"top_ids": unscored + scores.top_tokens.tolist()}
        found |= {"top_strings": top_strings(tokenizer, found["top_ids"])}
        found |= {"top_log_probs": unscored + scores.top_log_probs.tolist()}
    return found


def byte_offsets(tokenizer: tokenizers.Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Returns where each token begins and ends in the bytes of a text, as the tokenizer's file says.

    Where its normaliser puts a letter and the marks on it together, or takes the marks away, they are of the
    token that ends with the letter.

    Example:
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
    """The same with marks that no token covers as parts of what is before them."""
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
