"""Best-fit batches from a bounded buffer: hardly any padding, and nothing waits for ever."""

import numpy as np
import pytest

from jaxlm import scoring
from jaxlm.scoring.engine import _packer
from jaxlm.scoring.engine._queries import query_block

NOTHING = np.zeros(0, np.int32)


def numbered(lengths):
    """Blocks of one query each, which differ, of these lengths, with nothing asked."""
    for number, length in enumerate(lengths):
        yield query_block([scoring.Query(np.full(length, number, np.int32), NOTHING, NOTHING)])


def web(rng):
    return np.clip(rng.lognormal(np.log(776) - 0.605, 1.1, 3000), 8, 2048).astype(int)


def sentences(rng):
    return np.clip(rng.lognormal(np.log(25) - 0.18, 0.6, 40_000), 3, 512).astype(int)


def proteins(rng):
    return np.clip(rng.lognormal(np.log(334) - 0.245, 0.7, 6000), 20, 1024).astype(int)


@pytest.mark.parametrize(
    ("draw", "row_length"),
    [(web, 2048), (sentences, 512), (proteins, 1024)],
    ids=["web", "sentences", "proteins"],
)
def test_padding_is_below_a_percent(draw, row_length):
    lengths = draw(np.random.default_rng(0))
    shape = _packer.BatchShape(1, 8, row_length)
    batches = list(_packer.pack(numbered(lengths), shape, buffer=1024, shared=False))
    assert sum(batch.num_tokens for batch in batches) == lengths.sum()
    # The last batch is as full as the corpus happens to leave it.
    positions = (len(batches) - 1) * shape.num_positions
    assert sum(batch.num_tokens for batch in batches[:-1]) > 0.99 * positions


@pytest.mark.parametrize(("shorter", "buffer"), [((), 16), ((16, 8), 500)])
def test_what_comes_out_is_what_went_in(shorter, buffer):
    rng = np.random.default_rng(1)
    # Long ones come in between.
    lengths = np.concatenate([rng.integers(1, 9, 600), rng.integers(1, 33, 300), rng.integers(1, 9, 900)])
    shape = _packer.BatchShape(2, 2, 32)
    seen, shapes = {}, set()
    for batch in _packer.pack(numbered(lengths), shape, buffer=buffer, shared=False, shorter=shorter):
        rows = batch.rows
        shapes.add(rows.tokens.shape)
        for device, row in np.ndindex(*rows.tokens.shape[:2]):
            for segment in range(1, rows.segments[device, row].max() + 1):
                own = rows.segments[device, row] == segment
                (number,) = set(rows.tokens[device, row][own])
                np.testing.assert_array_equal(rows.positions[device, row][own], np.arange(own.sum()))
                seen[number] = seen.get(number, 0) + own.sum()
    assert seen == dict(enumerate(lengths))
    assert shapes == {(2, 2, 32)} if not shorter else shapes > {(2, 2, 32)}
    assert all(rows * length == 64 for _, rows, length in shapes)


def test_short_pieces_take_short_rows_where_there_are_many():
    shape = _packer.BatchShape(1, 4, 64)

    def lengths_of(sizes, beside):
        how = {"buffer": 4096, "shared": False, "shorter": (32, 16), "beside": beside}
        return [batch.rows.tokens.shape[2] for batch in _packer.pack(numbered(sizes), shape, **how)]

    assert set(lengths_of([8] * 2000, 16)) == {16}
    # A few are not worth a compilation, and padding may cost more than attention saves.
    assert set(lengths_of([8] * 100, 16)) == {64}
    assert set(lengths_of([11] * 2000, 1000)) == {64}
    assert set(lengths_of([17] * 2000, 0)) == {32}


def test_a_piece_that_fits_badly_is_passed_over_a_few_times_only():
    # Rows of two halves are full; what is longer than half of one waits for what never comes.
    lengths = [9, *[8] * 2000]
    shape = _packer.BatchShape(1, 1, 16)
    drawn = 0

    def blocks():
        nonlocal drawn
        for block in numbered(lengths):
            drawn += 1
            yield block

    for batch in _packer.pack(blocks(), shape, buffer=32, shared=False):
        if 0 in batch.slots.numbers:
            break
    assert drawn <= 32 * (_packer.PATIENCE + 2)


def test_the_order_is_a_function_of_the_pieces():
    lengths = np.random.default_rng(2).integers(1, 17, 200)
    shape = _packer.BatchShape(1, 2, 16)
    one, other = (
        [
            batch.rows.tokens.tobytes()
            for batch in _packer.pack(numbered(lengths), shape, buffer=16, shared=False)
        ]
        for _ in range(2)
    )
    assert one == other


def test_more_questions_than_tokens_take_room():
    asked = np.zeros(9, np.int32) % 2
    block = query_block([scoring.Query(np.full(2, n, np.int32), asked, asked) for n in range(4)])
    for batch in _packer.pack([block], _packer.BatchShape(1, 1, 16), buffer=4, shared=False):
        assert batch.rows.count.max() <= 16
