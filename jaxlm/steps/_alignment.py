"""Which token of a contrast each predicted token is compared with."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jaxlm.errors import UsageError

Alignment = Literal["one_to_one", "last_common"] | Sequence[Any]
ALIGNMENTS = ("one_to_one", "last_common")
# The most tokens that a message shows.
SHOWN = 20


def align(
    alignment: Any,
    tokens: np.ndarray,
    contrast: np.ndarray,
    *,
    strings: tuple[Sequence[str], Sequence[str]] | None = None,
) -> np.ndarray:
    """Returns for each predicted token the index of the contrast's token to compare it with; -1 for none.

    The contrast is another text, or another target, whose predicted tokens are compared with the text's:

    - "one_to_one": the i-th token is compared with the contrast's i-th token; both have the same number of
      tokens.
    - "last_common": if text and contrast end with the same tokens, tokens at the same distance from the end
      are compared; otherwise tokens at the same distance from the beginning are compared. Tokens of a common
      beginning are compared with themselves in any case.
    - pairs `(i, j)`: the i-th predicted token is compared with the contrast's j-th token, counted from 0.

    Args:
      alignment: "one_to_one", "last_common", or a list of pairs.
      tokens: `Int[M]`, the predicted ids of the text.
      contrast: `Int[...]`, the predicted ids of the contrast; their number may differ from M.
      strings: the tokens of the text and of the contrast as strings, for messages; None: messages show the
        ids.

    Returns:
      `Int32[M]`, indices into `contrast`; -1 for a token that is not compared.

    Raises:
      UsageError: if the lengths differ and the alignment is "one_to_one", a pair has an index out of range or
        pairs a token twice, or the word is unknown.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps import align
      >>> align("one_to_one", np.array([5, 6]), np.array([5, 7])).tolist()
      [0, 1]
      >>> align("last_common", np.array([5, 6]), np.array([1, 2, 5, 6])).tolist()
      [2, 3]
      >>> align([(1, 0)], np.array([5, 6]), np.array([6])).tolist()
      [-1, 0]
    """
    check_alignment(alignment)
    if isinstance(alignment, str):
        if alignment == "last_common":
            return _from_last_common(tokens, contrast)
        if len(tokens) != len(contrast):
            shown = (
                [list(ids) for ids in (tokens.tolist(), contrast.tolist())] if strings is None else strings
            )
            ours, theirs = (_shown(list(part)) for part in shown)
            raise UsageError(
                f"a contrast has as many tokens, {len(tokens)}, or an alignment of them: got "
                f"{len(contrast)}; {ours} against {theirs}; give alignment='last_common', or pairs (i, j)"
            )
        return np.arange(len(tokens), dtype=np.int32)
    return _paired(alignment, len(tokens), len(contrast))


def check_alignment(alignment: Any) -> None:
    """Checks that an alignment is "one_to_one", "last_common", or something that may be a list of pairs.

    Raises:
      UsageError: if the alignment is another word; the message lists the words that are allowed.

    Example:
      >>> from jaxlm.steps import check_alignment
      >>> check_alignment("auto")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: alignment is one of one_to_one, last_common, or pairs: got 'auto'
    """
    is_listed = isinstance(alignment, Iterable) and not isinstance(alignment, (str, Mapping))
    if not is_listed and alignment not in ALIGNMENTS:
        raise UsageError(f"alignment is one of {', '.join(ALIGNMENTS)}, or pairs: got {alignment!r}")


def _from_last_common(tokens: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    num, num_contrast = len(tokens), len(contrast)
    same_end = common_prefix_length(tokens[::-1], contrast[::-1])
    shift = num_contrast - num if same_end else 0
    # Both texts are the same up to there, and so are their predictions.
    same_start = common_prefix_length(tokens[: num - same_end], contrast[: num_contrast - same_end])
    indices = np.arange(num, dtype=np.int32)
    partners = indices + np.int32(shift)
    exists = (partners >= same_start) & (partners < num_contrast)
    return np.where(indices < same_start, indices, np.where(exists, partners, -1)).astype(np.int32)


def common_prefix_length(first: np.ndarray, second: np.ndarray) -> int:
    """Returns the length of the common beginning of two arrays.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps._alignment import common_prefix_length
      >>> common_prefix_length(np.array([5, 6, 7]), np.array([5, 6]))
      2
    """
    shorter = min(len(first), len(second))
    return int(np.append(first[:shorter] == second[:shorter], False).argmin())


def _paired(pairs: Iterable[Any], num: int, num_contrast: int) -> np.ndarray:
    partners = np.full(num, -1, np.int32)
    for pair in pairs:
        try:
            first, second = (operator.index(index) for index in pair)
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
