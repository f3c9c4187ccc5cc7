"""Trees laid out in rows, against a loop over every token and every place."""

import numpy as np
import pytest

from jaxlm.scoring.engine._device_rows import BatchShape
from jaxlm.scoring.engine._prefix_trees import PrefixTreeBuffer
from jaxlm.scoring.engine._queries import Query, QueryContrast, query_block
from jaxlm.scoring.engine._row_layout import lay_out_rows

ROW_LENGTH = 40


def drawn_query(draw, *, wide, contrast):
    """A query that begins with one of two contexts, or with none."""
    context, rest = int(draw.integers(0, 6)), int(draw.integers(1, 5))
    first = int(draw.integers(0, 2))
    tokens = np.append(np.arange(context) + 100 * first, draw.integers(0, 3, rest)).astype(np.int32)
    places = np.flatnonzero(draw.random(len(tokens)) < 0.5).astype(np.int32)
    targets = draw.integers(0, 2, len(places)).astype(np.int32)
    positions = np.stack([np.arange(len(tokens)), tokens], -1).astype(np.int32) if wide else None
    other = None
    if contrast:
        other = QueryContrast(np.arange(3, dtype=np.int32), places % 3, targets + 1)
    return Query(tokens, places, targets, positions, context, other)


def slow_rows(rows, shape, queries):
    """The arrays of a batch, filled one by one, and where each query's answers are."""
    wide = (2,) if shape.wide else ()
    names = ("tokens", "segments", "branches", "contrast_tokens", "contrast_segments", "contrast_positions")
    made = {name: np.zeros((shape.num_rows, shape.row_length), np.int32) for name in names}
    made["positions"] = np.zeros((shape.num_rows, shape.row_length, *wide), np.int32)
    places, targets = [[] for _ in range(shape.devices)], [[] for _ in range(shape.devices)]
    owners, answers = [[] for _ in range(shape.devices)], {}
    for row, trees in enumerate(rows):
        device, own_row = divmod(row, shape.rows)
        column = 0
        for segment, tree in enumerate(trees, 1):
            paths = {}
            at = column
            for branch, (number, length) in enumerate(tree.spans):
                for offset in range(length):
                    query, index = token_of(queries, number + offset)
                    made["tokens"][row, at], made["segments"][row, at] = query.tokens[index], segment
                    made["branches"][row, at] = branch
                    made["positions"][row, at] = index if query.positions is None else query.positions[index]
                    paths[number + offset] = at
                    at += 1
            numbers = []
            for number, count, shift in tree.questions:
                numbers.append((len(set(owners[device])), len(places[device]), count))
                for place in range(number, number + count):
                    query, index = place_of(queries, place)
                    own = query.scored[index] + (shift if query.scored[index] >= tree.trunk else 0)
                    places[device].append(own_row * shape.row_length + column + own)
                    targets[device].append(query.targets[index])
                    owners[device].append(number)
            for number, question in tree.slots:
                answers[number] = (device, *numbers[question][1:])
            if tree.contrast is not None:
                for offset, token in enumerate(tree.contrast.tokens):
                    made["contrast_tokens"][row, column + offset] = token
                    made["contrast_segments"][row, column + offset] = segment
                    made["contrast_positions"][row, column + offset] = offset
            column += tree.width
    return made, places, targets, answers


def token_of(queries, number):
    for query in queries:
        if number < len(query.tokens):
            return query, number
        number -= len(query.tokens)
    raise AssertionError("no such token")


def place_of(queries, number):
    for query in queries:
        if number < len(query.scored):
            return query, number
        number -= len(query.scored)
    raise AssertionError("no such place")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("wide", "contrast", "least"), [(False, False, 0), (True, False, 0), (False, True, 0), (False, False, 4)]
)
def test_rows_are_those_of_a_loop(seed, wide, contrast, least):
    draw = np.random.default_rng(seed)
    queries = [drawn_query(draw, wide=wide, contrast=contrast) for _ in range(25)]
    shape = BatchShape(2, 3, ROW_LENGTH, wide=wide, contrasts=contrast, least=least)
    buffer = PrefixTreeBuffer(ROW_LENGTH, True, least)
    for part in (queries[:10], queries[10:]):
        list(buffer.add(query_block(part)))
    # The second device has a row fewer than it may have.
    rows, free = [[] for _ in range(5)], [ROW_LENGTH] * 5
    for tree in buffer.trees:
        row = int(np.argmax(free))
        if free[row] >= tree.size:
            rows[row].append(tree)
            free[row] -= tree.size
    rows = [row for row in rows if row]
    batch = lay_out_rows(rows, shape, buffer.columns())
    made, places, targets, answers = slow_rows(rows, shape, queries)
    for name in ("tokens", "segments", "branches", "positions"):
        ours = getattr(batch.rows, name)
        np.testing.assert_array_equal(ours.reshape(made[name].shape), made[name], err_msg=name)
        assert ours.dtype == np.int32
    for device in range(shape.devices):
        count = int(batch.rows.count[device])
        np.testing.assert_array_equal(batch.rows.places[device, :count], places[device])
        np.testing.assert_array_equal(batch.rows.targets[device, :count], targets[device])
        assert not batch.rows.places[device, count:].any()
    slots = batch.slots
    assert sorted(slots.numbers.tolist()) == sorted(answers)
    for number, device, start, count in zip(
        slots.numbers, slots.devices, slots.starts, slots.counts, strict=True
    ):
        asked = answers[number][1:] if answers[number][2] else (start, 0)
        assert (device, start, count) == (answers[number][0], *asked)
    if least:
        counts = batch.rows.query_counts[slots.devices, slots.questions]
        np.testing.assert_array_equal(counts, slots.counts)
    if contrast:
        for name in ("tokens", "segments", "positions"):
            ours = getattr(batch.rows.contrast, name).reshape(shape.num_rows, ROW_LENGTH)
            np.testing.assert_array_equal(ours, made[f"contrast_{name}"])
    assert batch.num_tokens == (made["segments"] > 0).sum() + (made["contrast_segments"] > 0).sum()
