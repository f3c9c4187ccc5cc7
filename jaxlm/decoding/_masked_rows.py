"""Texts with masks as padded arrays for one compiled call."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import ops, tokenizers
from jaxlm.errors import UsageError

SMALLEST_LENGTH = 16
EMPTY_FRAME = tokenizers.Frame()


class PaddedRows(NamedTuple):
    """Masked texts as padded rows. Sizes are rounded up, so that few programs are compiled.

    Attributes:
      tokens: `Int[B L]` ids, padding 0.
      segments: `Int[B L]` 1 at real positions, 0 at padding.
      positions: `Int[B M]` offsets of the masks in their row, in order.
      pending: `Bool[B M]` True where `positions` is a mask, False in unused entries.
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    pending: np.ndarray


def mask_token_id(tokenizer: tokenizers.Tokenizer) -> int:
    """Returns the id of the mask token.

    Raises:
      UsageError: if the tokenizer has none, like that of a causal model.
    """
    if tokenizer.specials.mask is None:
        raise UsageError(
            f"filling needs a mask token, and this {tokenizer.kind} tokenizer has none; "
            "use a model trained as a masked LM"
        )
    return tokenizer.specials.mask


def encode_masked(
    tokenizer: tokenizers.Tokenizer,
    text: str | Sequence[int] | np.ndarray,
    max_length: int,
    *,
    frame: tokenizers.Frame = EMPTY_FRAME,
) -> np.ndarray:
    """Returns the checked ids of a text with at least one mask.

    Args:
      tokenizer: the model's tokenizer.
      text: a text with the mask token where a token is missing; or its ids.
      max_length: the longest row that the model takes.
      frame: the tokens put around a text; nothing is added to ids.

    Returns:
      `Int[L]` ids, int32.

    Raises:
      UsageError: if there is no mask, the text is too long, an id is outside the vocabulary, or the ids are
        not one row of whole numbers.
    """
    mask_id = mask_token_id(tokenizer)
    ids = frame.around(tokenizer.encode(text)) if isinstance(text, str) else np.asarray(text)
    shown = repr(text if len(text) <= 40 else text[:37] + "...") if isinstance(text, str) else "the ids given"
    if ids.size == 0 or not (ids == mask_id).any():
        mask = tokenizer.token(mask_id)
        apart = ", apart from its neighbours" if isinstance(text, str) and mask in text else ""
        raise UsageError(f"nothing to fill in {shown}: write {mask} where a token is missing{apart}")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise UsageError(f"ids are one row of whole numbers: got shape {ids.shape} of {ids.dtype}")
    if ids.min() < 0 or ids.max() >= tokenizer.vocab_size:
        raise UsageError(f"ids lie in 0..{tokenizer.vocab_size - 1}: got {int(ids.min())}..{int(ids.max())}")
    if ids.size > max_length:
        raise UsageError(
            f"{shown} is {ids.size} tokens long and the model takes at most {max_length} (its max_length); "
            "shorten the text"
        )
    return ids.astype(np.int32)


def pad_rows(texts: Sequence[np.ndarray], mask_id: int, max_length: int) -> PaddedRows:
    """Returns the texts as padded rows; their length, masks per row and number are rounded up.

    Args:
      texts: `Int[L_i]` ids, each with a mask and none longer than `max_length`.
      mask_id: the id of the mask.
      max_length: the longest row that the model takes; no row is padded beyond it.

    Returns:
      `PaddedRows`; rows beyond the texts are padding throughout.
    """
    masks = [np.flatnonzero(text == mask_id) for text in texts]
    num_rows = ops.bucket(len(texts))
    length = min(ops.bucket(max(text.size for text in texts), SMALLEST_LENGTH), max_length)
    num_masks = ops.bucket(max(mask.size for mask in masks))
    rows = PaddedRows(
        tokens=np.zeros((num_rows, length), np.int32),
        segments=np.zeros((num_rows, length), np.int32),
        positions=np.zeros((num_rows, num_masks), np.int32),
        pending=np.zeros((num_rows, num_masks), bool),
    )
    for row, (text, mask) in enumerate(zip(texts, masks, strict=True)):
        rows.tokens[row, : text.size] = text
        rows.segments[row, : text.size] = 1
        rows.positions[row, : mask.size] = mask
        rows.pending[row, : mask.size] = True
    return rows
