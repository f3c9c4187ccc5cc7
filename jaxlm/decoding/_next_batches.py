"""Texts and their targets in batches of bounded memory, and the padded rows of a batch."""

from collections.abc import Sequence

import numpy as np

from jaxlm import ops

# The most rows of a batch, tokens in them, and positions whose logits over the vocabulary are in memory.
MAX_ROWS, MAX_TOKENS, MAX_TARGETS = 64, 1 << 13, 1 << 10

# The ids of a text, and of its target or None; the last id of a target is predicted and not read.
TextAndTarget = tuple[np.ndarray, np.ndarray | None]


def group_by_length(pairs: Sequence[TextAndTarget]) -> list[list[int]]:
    """Returns batches of pairs of about the same size, as the pairs' indices.

    Args:
      pairs: texts and their targets.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding._next_batches import group_by_length
      >>> texts = [np.zeros(length, np.int32) for length in (3, 700, 5)]
      >>> group_by_length([(text, None) for text in texts])
      [[0, 2], [1]]
    """
    batches: list[list[int]] = []
    sizes = [_size(pair) for pair in pairs]
    last = None
    for index in sorted(range(len(pairs)), key=sizes.__getitem__):
        length, num_targets = sizes[index]
        capacity = min(MAX_ROWS, MAX_TOKENS // length, MAX_TARGETS // num_targets)
        if sizes[index] != last or len(batches[-1]) >= capacity:
            batches.append([])
        batches[-1].append(index)
        last = sizes[index]
    return batches


def pad_pairs(pairs: Sequence[TextAndTarget], max_length: int) -> tuple[np.ndarray, ...]:
    """Returns the padded rows of a batch, each a text and its target without the last token.

    Unused entries of positions and targets are 0.

    Args:
      pairs: the pairs of the batch.
      max_length: the longest row that the model takes; no row is padded beyond it.

    Returns:
      Tokens and segments `Int[B L]`, positions before the targets and targets `Int[B M]`, of rounded sizes.
    """
    sizes = [_size(pair) for pair in pairs]
    length = min(max(length for length, _ in sizes), max_length)
    num_rows, num_targets = _rows_bucket(len(pairs)), max(count for _, count in sizes)
    tokens, segments = np.zeros((2, num_rows, length), np.int32)
    positions, targets = np.zeros((2, num_rows, num_targets), np.int32)
    for row, (text, target) in enumerate(pairs):
        whole = text if target is None else np.concatenate([text, target[:-1]])
        tokens[row, : whole.size], segments[row, : whole.size] = whole, 1
        count = 1 if target is None else target.size
        positions[row, :count] = text.size - 1 + np.arange(count)
        targets[row, :count] = 0 if target is None else target
    return tokens, segments, positions, targets


def _size(pair: TextAndTarget) -> tuple[int, int]:
    """Tokens of the row and positions to predict at, both rounded up."""
    text, target = pair
    count = 1 if target is None else target.size
    return ops.fine_bucket(text.size + count - 1), ops.bucket(count)


def _rows_bucket(count: int) -> int:
    """The number of rows, rounded up to 1, 4, 16, ...: few numbers, so that few programs are compiled."""
    return 1 << 2 * (((count - 1).bit_length() + 1) // 2)
