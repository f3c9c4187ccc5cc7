"""Texts and targets gathered into batches that memory does not grow with, and the padded rows of each."""

from collections.abc import Sequence

import numpy as np

from jaxlm import ops

# Of a batch: rows, their tokens, and places whose logits over the vocabulary are held.
MAX_ROWS, MAX_TOKENS, MAX_TARGETS = 64, 1 << 13, 1 << 10

# The ids of a text, and of its target where it has one; the target's last is predicted and not read.
TextAndTarget = tuple[np.ndarray, np.ndarray | None]


def group_by_length(pairs: Sequence[TextAndTarget]) -> list[list[int]]:
    """Returns the places of pairs, those of about the same size together, as few as memory is for.

    Args:
      pairs: texts and their targets.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding._next_batches import group_by_length
      >>> texts = [np.zeros(length, np.int32) for length in (3, 700, 5)]
      >>> group_by_length([(text, None) for text in texts])
      [[0, 2], [1]]
    """
    made: list[list[int]] = []
    sizes = [_size(pair) for pair in pairs]
    last = None
    for place in sorted(range(len(pairs)), key=sizes.__getitem__):
        length, num_targets = sizes[place]
        most = min(MAX_ROWS, MAX_TOKENS // length, MAX_TARGETS // num_targets)
        if sizes[place] != last or len(made[-1]) >= most:
            made.append([])
        made[-1].append(place)
        last = sizes[place]
    return made


def pad_pairs(pairs: Sequence[TextAndTarget], max_length: int) -> tuple[np.ndarray, ...]:
    """Returns rows of text and target but its last token, padded; padding predicts id 0 after place 0.

    Args:
      pairs: of a batch.
      max_length: the longest row that the model takes; a bucket never passes it.

    Returns:
      Tokens and segments `Int[B L]`, places and targets `Int[B M]`, in sizes that few batches differ in.
    """
    sizes = [_size(pair) for pair in pairs]
    length = min(max(length for length, _ in sizes), max_length)
    num_rows, num_targets = _rows_bucket(len(pairs)), max(count for _, count in sizes)
    tokens, segments = np.zeros((2, num_rows, length), np.int32)
    places, targets = np.zeros((2, num_rows, num_targets), np.int32)
    for row, (text, target) in enumerate(pairs):
        whole = text if target is None else np.concatenate([text, target[:-1]])
        tokens[row, : whole.size], segments[row, : whole.size] = whole, 1
        count = 1 if target is None else target.size
        places[row, :count] = text.size - 1 + np.arange(count)
        targets[row, :count] = 0 if target is None else target
    return tokens, segments, places, targets


def _size(pair: TextAndTarget) -> tuple[int, int]:
    """Tokens of the row and places that are asked, both rounded up."""
    text, target = pair
    count = 1 if target is None else target.size
    return ops.fine_bucket(text.size + count - 1), ops.bucket(count)


def _rows_bucket(count: int) -> int:
    """1, 4, 16, ...: each is compiled for once."""
    return 1 << 2 * (((count - 1).bit_length() + 1) // 2)
