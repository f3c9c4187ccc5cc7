import numpy as np
import pytest
from grain import transforms
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import data, tokenizers
from jaxlm.data.packing import _batches

ROW_LENGTH = 32


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    lengths = np.random.default_rng(0).integers(1, 75, 150)
    letters = [chr(97 + number % 26) for number in range(150)]
    records = [
        data.Record(f"r{number}", letter * length, {})
        for number, (letter, length) in enumerate(zip(letters, lengths, strict=True))
    ]
    folder = tmp_path_factory.mktemp("cache")
    return data.build_cache(
        lambda: records, tokenizers.bytes_tokenizer(), folder, source_fingerprint="letters"
    )


@pytest.fixture(scope="module")
def plan(cache):
    return data.plan_packing(cache.lengths, ROW_LENGTH)


def equal(left, right):
    return all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


def rows_of(batch):
    """Each row as what tells it apart from all others: its epoch and its first token's record and offset."""
    return list(
        zip(
            batch.epochs.tolist(), batch.example_ids[:, 0].tolist(), batch.offsets[:, 0].tolist(), strict=True
        )
    )


def test_an_epoch_holds_every_token_once(cache, plan):
    batches = data.Batches(cache, plan, batch_size=plan.num_rows, seed=3)
    found = [np.full(length, -1) for length in cache.lengths]
    for row in data.unpack(batches[0]):
        for piece in row:
            assert (found[piece.example][piece.start : piece.start + len(piece.tokens)] == -1).all()
            found[piece.example][piece.start : piece.start + len(piece.tokens)] = piece.tokens
    assert all(np.array_equal(found[index], cache[index]) for index in range(len(cache)))


def test_the_fields_agree_with_each_other(cache, plan):
    batch = data.Batches(cache, plan, batch_size=9, seed=0)[4]
    for name, array in batch._asdict().items():
        assert array.dtype == np.int32 and array.shape == ((9,) if name == "epochs" else (9, ROW_LENGTH)), (
            name
        )
    real = batch.segments > 0
    assert (np.diff(real.astype(int), axis=1) <= 0).all()
    assert (batch.tokens[~real] == cache.pad_id).all() and not batch.positions[~real].any()
    for row, column in np.argwhere(real):
        example, offset = batch.example_ids[row, column], batch.offsets[row, column]
        assert cache[int(example)][offset] == batch.tokens[row, column]
        begins = column == 0 or batch.segments[row, column] != batch.segments[row, column - 1]
        assert batch.positions[row, column] == (0 if begins else batch.positions[row, column - 1] + 1)
        assert batch.segments[row, column] == (batch.segments[row, column - 1] if column else 0) + begins


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(-(2**63), 2**63), st.integers(0, 10_000))
def test_a_batch_is_a_function_of_seed_and_number(cache, plan, batch_size, seed, step):
    first = data.Batches(cache, plan, batch_size=batch_size, seed=seed)
    second = data.Batches(cache, plan, batch_size=batch_size, seed=seed)
    assert [second[0] is not None, equal(first[step], second[step])] == [True, True]


def test_every_row_comes_once_an_epoch_whatever_the_batch_size(cache, plan):
    num_rows = plan.num_rows
    assert num_rows % 7
    batches = data.Batches(cache, plan, batch_size=7, seed=1)
    rows = [row for step in range(3 * num_rows // 7 + 1) for row in rows_of(batches[step])]
    orders = [rows[epoch * num_rows : (epoch + 1) * num_rows] for epoch in range(3)]
    for epoch, order in enumerate(orders):
        assert {row[0] for row in order} == {epoch}
        assert len(set(order)) == num_rows
    assert len({tuple(row[1:] for row in order) for order in orders}) == 3
    whole = data.Batches(cache, plan, batch_size=num_rows, seed=1)
    assert [row for step in range(3) for row in rows_of(whole[step])] == rows[: 3 * num_rows]


def test_seeds_differ_and_neighbours_do_not_share_epochs(cache, plan):
    orders = [
        tuple(
            row[1:] for row in rows_of(data.Batches(cache, plan, batch_size=plan.num_rows, seed=seed)[epoch])
        )
        for seed in range(4)
        for epoch in range(3)
    ]
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("start", [0, 1, 1000, 10**9])
def test_iterating_seeks_and_agrees_with_the_index(cache, plan, start):
    batches = data.Batches(cache, plan, batch_size=5, seed=2)
    served = batches.iterate(start)
    for step in range(start, start + 12):
        assert equal(next(served), batches[step])
    served.close()


def test_iterating_reads_nothing_before_its_start(cache, plan, monkeypatch):
    batches = data.Batches(cache, plan, batch_size=5, seed=2)
    asked = []
    gather = _batches.gather_rows
    monkeypatch.setattr(
        "jaxlm.data.packing._batches.gather_rows",
        lambda *arguments: asked.append(arguments[3]) or gather(*arguments),
    )
    served = batches.iterate(10**6, num_threads=1, prefetch=2)
    next(served)
    served.close()
    assert 1 <= len(asked) <= 4 and all((epochs >= 10**6 * 5 // plan.num_rows).all() for epochs in asked)


def test_a_transform_is_applied_where_batches_are_built(cache, plan):
    class Count(transforms.Map):
        def map(self, batch):
            return batch, int((batch.segments > 0).sum())

    plain = data.Batches(cache, plan, batch_size=5, seed=2)
    counted = data.Batches(cache, plan, batch_size=5, seed=2, transform=Count())
    for batch, count in (counted[3], next(counted.iterate(3))):
        assert equal(batch, plain[3]) and count == (plain[3].segments > 0).sum()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_evaluation_serves_each_row_once_in_order_and_fills_up(cache, plan, batch_size):
    batches = list(data.eval_batches(cache, plan, batch_size))
    assert {batch.tokens.shape for batch in batches} == {(batch_size, ROW_LENGTH)}
    pieces = [
        (piece.example, piece.start) for batch in batches for row in data.unpack(batch) for piece in row
    ]
    assert pieces == list(zip(plan.example.tolist(), plan.start.tolist(), strict=True))
    empty = len(batches) * batch_size - plan.num_rows
    assert not empty or not batches[-1].segments[-empty:].any()
    assert not empty or (batches[-1].tokens[-empty:] == cache.pad_id).all()
    assert not any(batch.epochs.any() for batch in batches)


def test_truncated_records_keep_their_beginning(cache):
    plan = data.plan_packing(cache.lengths, ROW_LENGTH, long="truncate")
    found = {
        piece.example: piece
        for batch in data.eval_batches(cache, plan, 8)
        for row in data.unpack(batch)
        for piece in row
    }
    assert sorted(found) == list(range(len(cache)))
    for index, piece in found.items():
        np.testing.assert_array_equal(piece.tokens, cache[index][:ROW_LENGTH])


def test_epochs_count_rows(cache, plan):
    batches = data.Batches(cache, plan, batch_size=plan.num_rows * 2, seed=0)
    assert batches.epoch(3) == 6.0


def test_bad_requests(cache, plan):
    with pytest.raises(ValueError, match="batch_size >= 1"):
        data.Batches(cache, plan, batch_size=0, seed=0)
    with pytest.raises(ValueError, match="batch_size >= 1"):
        next(data.eval_batches(cache, plan, 0))
    with pytest.raises(ValueError, match="the plan has no rows"):
        data.Batches(cache, data.plan_packing(np.zeros(0, int), 8), batch_size=1, seed=0)
    with pytest.raises(ValueError, match="of another cache"):
        data.Batches(cache, data.plan_packing(np.ones(1000, int), 8), batch_size=1, seed=0)
    with pytest.raises(IndexError, match="count from 0"):
        data.Batches(cache, plan, batch_size=1, seed=0)[-1]
