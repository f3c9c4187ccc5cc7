"""Which token of a contrast each predicted token is compared with."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from jaxlm.errors import UsageError

Alignment = Literal["one_to_one", "last_common"] | Sequence[Any]
ALIGNMENTS = ("one_to_one", "last_common")
# How many tokens a message shows.
SHOWN = 20


def align(
    alignment: str | Iterable[Any],
    tokens: np.ndarray,
    contrast: np.ndarray,
    *,
    strings: tuple[Sequence[str], Sequence[str]] | None = None,
) -> np.ndarray:
    """Returns for each predicted token the index of the contrast's token that it is compared with, else -1.

    - "one_to_one": the i-th with the i-th; both have as many.
    - "last_common": both are laid upon each other at the last token that they have in common: their last one,
      where it is the same, otherwise the last one of what they begin with. Tokens as far from it are
      compared; without a common token, as far from the beginning.
    - pairs `(i, j)`: the i-th predicted token with the contrast's j-th.

    Args:
      alignment: one of these.
      tokens: `Int[M]` ids that are predicted.
      contrast: `Int[M']` those of the contrast.
      strings: what a message shows for them; None: their ids.

    Returns:
      `Int32[M]`.

    Raises:
      UsageError: if lengths differ and are not aligned, a pair names a token that is not there or one twice,
        or the word is unknown.

    Example:
      >>> align("one_to_one", np.array([5, 6]), np.array([5, 7])).tolist()
      [0, 1]
      >>> align("last_common", np.array([5, 6]), np.array([1, 2, 5, 6])).tolist()
      [2, 3]
      >>> align([(1, 0)], np.array([5, 6]), np.array([6])).tolist()
      [-1, 0]
    """
    if isinstance(alignment, str):
        if alignment not in ALIGNMENTS:
            raise UsageError(f"alignment is one of {', '.join(ALIGNMENTS)}, or pairs: got {alignment!r}")
        if alignment == "last_common":
            return _shifted(len(tokens), len(contrast), _shift(tokens, contrast))
        if len(tokens) != len(contrast):
            shown = (
                [list(ids) for ids in (tokens.tolist(), contrast.tolist())] if strings is None else strings
            )
            ours, theirs = (_shown(list(one)) for one in shown)
            raise UsageError(
                f"a contrast has as many tokens, {len(tokens)}, or an alignment says which are compared: got "
                f"{len(contrast)}; {ours} against {theirs}; give alignment='last_common', or pairs (i, j)"
            )
        return np.arange(len(tokens), dtype=np.int32)
    return _paired(alignment, len(tokens), len(contrast))


def _shift(tokens: np.ndarray, contrast: np.ndarray) -> int:
    """How much further the last common token stands in the contrast."""
    if len(tokens) and len(contrast) and tokens[-1] == contrast[-1]:
        return len(contrast) - len(tokens)
    return 0


def _shifted(num: int, num_contrast: int, shift: int) -> np.ndarray:
    partners = np.arange(num, dtype=np.int32) + np.int32(shift)
    return np.where((partners >= 0) & (partners < num_contrast), partners, -1).astype(np.int32)


def _paired(pairs: Iterable[Any], num: int, num_contrast: int) -> np.ndarray:
    partners = np.full(num, -1, np.int32)
    for pair in pairs:
        try:
            first, second = (int(index) for index in pair)
        except (TypeError, ValueError):
            raise UsageError(f"an alignment is pairs of indices (i, j): got {pair!r}") from None
        if not (0 <= first < num and 0 <= second < num_contrast):
            raise UsageError(f"an alignment pairs tokens 0..{num - 1} with 0..{num_contrast - 1}: got {pair}")
        if partners[first] >= 0:
            raise UsageError(f"an alignment pairs a predicted token once: got {first} twice")
        partners[first] = second
    return partners


def _shown(tokens: Sequence[Any]) -> str:
    more = f" and {len(tokens) - SHOWN} more" if len(tokens) > SHOWN else ""
    return f"{list(tokens[:SHOWN])}{more}"
