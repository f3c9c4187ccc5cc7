"""Texts as a user gives them: strings, rows of ids, or an array of ids with padding and its mask."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxlm import tokenizers
from jaxlm.errors import UsageError


def text_and_target_rows(
    texts: Any, targets: Any, attention_mask: Any, text_attention_mask: Any, *, of: str = ""
) -> tuple[list[Any] | None, list[Any] | None]:
    """Returns texts and targets as `as_rows` does; None for those that were not given.

    Args:
      texts: texts; None only for a contrast that has targets alone.
      targets: their targets, or None.
      attention_mask: for ids in an array: of the targets, else of the texts.
      text_attention_mask: of the texts if there are targets.
      of: put before "texts" and "targets" in messages; empty for the texts of `step_scores` themselves.

    Raises:
      UsageError: if a mask is given without texts that it belongs to, or as `as_rows`.
      TypeError: as `as_rows`.

    Example:
      >>> from jaxlm.steps._text_rows import text_and_target_rows
      >>> text_and_target_rows([[0, 5]], [[6, 0]], [[1, 0]], [[0, 1]])
      ([array([5])], [array([6])])
    """
    if text_attention_mask is not None and (texts is None or targets is None):
        raise UsageError(
            f"a {of}text_attention_mask is of texts beside targets: got one of them; give attention_mask"
        )
    of_texts = text_attention_mask if targets is not None else attention_mask
    # A contrast may have no texts of its own.
    rows = None if texts is None and of else as_rows(texts, of_texts, what=f"{of}texts")
    return rows, None if targets is None else as_rows(targets, attention_mask, what=f"{of}targets")


def as_rows(texts: Any, attention_mask: Any = None, *, what: str = "texts") -> list[Any]:
    """Returns texts as a list: strings, or rows of ids without padding.

    Args:
      texts: a text, several, or ids `[B, L]`.
      attention_mask: `Bool[B L]`, True = real; None: all are.
      what: what messages call them.

    Raises:
      UsageError: if the mask has another shape or other numbers than 0 and 1, or is given with strings.
      TypeError: if they are neither texts nor ids.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps._text_rows import as_rows
      >>> as_rows(np.array([[0, 5, 6]]), np.array([[0, 1, 1]]))[0].tolist()
      [5, 6]
      >>> as_rows("To be")
      ['To be']
    """
    if not np.iterable(texts) or isinstance(texts, Mapping):
        raise TypeError(f"{what} are a text, several, or ids [B, L]: got {texts!r:.60}")
    rows = list(tokenizers.as_texts(np.asarray(texts) if hasattr(texts, "shape") else texts))
    number = next((number for number, row in enumerate(rows) if not isinstance(row, Iterable)), None)
    if number is not None:
        raise TypeError(f"{what} are strings or rows of ids: got {rows[number]!r} as number {number}")
    return rows if attention_mask is None else _without_padding(rows, attention_mask)


def _without_padding(rows: list[Any], attention_mask: Any) -> list[np.ndarray]:
    if any(isinstance(row, str) for row in rows):
        raise UsageError("an attention_mask is of ids in an array [B, L]: got texts, which have no padding")
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise UsageError(f"an attention_mask is of ids in an array [B, L]: got rows of {lengths} ids")
    try:
        mask = np.asarray(attention_mask)
    except ValueError:
        raise UsageError(f"an attention_mask is Bool[B L]: got {attention_mask!r:.60}") from None
    shape = (len(rows), *lengths)
    if mask.shape != shape:
        raise UsageError(f"an attention_mask has the shape of the ids, {shape}: got {mask.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise UsageError(
            f"an attention_mask is 1 at real ids and 0 at padding: got {mask[~np.isin(mask, (0, 1))][0]}"
        )
    return [np.asarray(row)[real] for row, real in zip(rows, mask.astype(bool), strict=True)]
