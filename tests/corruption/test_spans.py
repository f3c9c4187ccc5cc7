"""Span corruption: what comes out decodes back, in numbers and layouts that brute force finds."""

import itertools
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import corruption
from jaxlm.corruption._span_choice import choose_spans

RNG = jax.random.key(11)
SENTINELS = np.arange(99, 79, -1)
FORBIDDEN_BELOW = 6


def corrupted(batch, *, rate=0.15, mean_span=3.0, end_id=None, target_length=None, num_sentinels=20):
    return corruption.corrupt_spans(
        RNG,
        batch.tokens,
        batch.tokens >= FORBIDDEN_BELOW,
        example_ids=batch.example_ids,
        offsets=batch.offsets,
        segments=batch.segments,
        epochs=batch.epochs,
        sentinel_ids=jnp.asarray(SENTINELS[:num_sentinels]),
        rate=rate,
        mean_span=mean_span,
        end_id=end_id,
        target_length=target_length,
    )


@pytest.fixture(scope="module")
def rows(pack):
    """Packs into 16 rows of 64, so that one compilation serves."""
    return lambda examples, members: pack(examples, [*members, *[[]] * (16 - len(members))], 64)


def run(batch, **options):
    return jax.tree.map(np.asarray, corrupted(jax.tree.map(jnp.asarray, batch), **options))


def restored(spans, row, segment, end_id=None):
    """Puts what each sentinel hides in its place, in plain Python."""
    shown = spans.tokens[row][spans.segments[row] == segment].tolist()
    targets = spans.targets[row][spans.target_segments[row] == segment].tolist()
    if end_id is not None:
        assert targets.pop() == end_id
    hidden, current = {}, None
    for token in targets:
        if token in SENTINELS and token not in hidden:
            current = hidden.setdefault(token, [])
        else:
            current.append(token)
    assert list(hidden) == [token for token in shown if token in SENTINELS] == list(SENTINELS[: len(hidden)])
    assert all(hidden.values())
    return [part for token in shown for part in hidden.get(token, [token])]


def assert_decodes_back(batch, spans, end_id=None):
    for row in range(len(batch.tokens)):
        segments = set(batch.segments[row].tolist()) - {0}
        for segment in segments:
            clean = batch.tokens[row][batch.segments[row] == segment].tolist()
            assert restored(spans, row, segment, end_id) == clean
        for side in (spans.segments[row], spans.target_segments[row]):
            real = side[side > 0]
            assert (side[: len(real)] > 0).all()  # rows are packed from their beginning
            assert (np.diff(real) >= 0).all()
    for tokens, segments, positions in (
        (spans.tokens, spans.segments, spans.positions),
        (spans.targets, spans.target_segments, spans.target_positions),
    ):
        assert not tokens[segments == 0].any()
        for row, segment in itertools.product(range(len(tokens)), range(1, segments.max(initial=0) + 1)):
            own = positions[row][segments[row] == segment]
            assert own.tolist() == list(range(len(own)))


@pytest.mark.parametrize(
    ("rate", "mean_span", "end_id"), [(0.15, 3.0, None), (0.5, 1.0, 1), (1.0, 3.0, None), (0.0, 3.0, 1)]
)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_it_decodes_back_to_the_clean_tokens(rows, seed, rate, mean_span, end_id):
    generator = np.random.default_rng(seed)
    examples = {id_: generator.integers(1, 60, generator.integers(1, 14)) for id_ in range(9)}
    batch = rows(examples, np.arange(9).reshape(3, 3).tolist())
    spans = run(batch, rate=rate, mean_span=mean_span, end_id=end_id, target_length=128)
    assert int(spans.overflow) == 0
    assert_decodes_back(batch, spans, end_id)
    assert (spans.hidden <= (batch.tokens >= FORBIDDEN_BELOW) & (batch.segments > 0)).all()


@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_numbers_are_those_of_t5(rows, rate):
    lengths = [1, 2, 5, 20, 33, 64]
    batch = rows({n: np.full(n, 9) for n in lengths}, [[n] for n in lengths])
    spans = run(batch, rate=rate)
    for row, length in enumerate(lengths):
        hidden = max(1, int(rate * length + 0.5))
        number = min(max(1, int(hidden / 3 + 0.5)), length - hidden + 1)
        assert spans.hidden[row].sum() == hidden
        assert np.isin(spans.tokens[row], SENTINELS).sum() == number


def test_every_layout_is_as_likely():
    # Five positions hide three in two spans: 2 divisions times 3 placings of two spans around two shown.
    size = 30_000
    choose = jax.jit(partial(choose_spans, rate=0.6, mean_span=1.5))
    draws = np.random.default_rng(0).integers(0, 2**32, (size, 5), dtype=np.uint32)
    ones, offsets = np.ones((size, 5), np.int32), np.tile(np.arange(5, dtype=np.int32), (size, 1))
    parts = map(jnp.asarray, (draws, offsets, ones > 0, ones))
    hidden = np.asarray(choose(*parts))
    layouts = Counter(map(tuple, hidden.astype(int).tolist()))
    expected = {
        mask
        for mask in itertools.product((0, 1), repeat=5)
        if sum(mask) == 3 and sum(a < b for a, b in zip((0, *mask), mask, strict=False)) == 2
    }
    assert set(layouts) == expected
    deviation = np.sqrt(size / 6 * 5 / 6)
    assert all(abs(number - size / 6) < 5 * deviation for number in layouts.values())


def test_spans_without_a_sentinel_are_left_clean_and_counted(rows):
    batch = rows({1: np.arange(10, 64), 2: np.arange(10, 16)}, [[1, 2], [2]])
    whole, few = run(batch, rate=0.5), run(batch, rate=0.5, num_sentinels=2)
    number = np.isin(whole.tokens, SENTINELS).sum(1)
    assert number[:2].tolist() == [9 + 1, 1]
    assert int(few.overflow) == 9 - 2
    assert_decodes_back(batch, few)
    assert (few.hidden <= whole.hidden).all()


@pytest.mark.parametrize(("target_length", "end_id"), [(1, 1), (9, None), (30, 1)])
def test_spans_without_room_are_left_clean_and_counted(rows, target_length, end_id):
    batch = rows({1: np.arange(10, 50), 2: np.arange(10, 16)}, [[1, 2], [2]])
    whole = run(batch, rate=0.5, end_id=end_id, target_length=64)
    narrow = run(batch, rate=0.5, end_id=end_id, target_length=target_length)
    assert narrow.targets.shape == (16, target_length)
    assert (narrow.hidden <= whole.hidden).all()
    sentinels = [np.isin(spans.tokens, SENTINELS).sum() for spans in (whole, narrow)]
    ends = [(spans.targets == 1).sum() for spans in (whole, narrow)]
    assert int(narrow.overflow) == sentinels[0] - sentinels[1] + ends[0] - ends[1]
    if ends[0] == ends[1]:
        assert_decodes_back(batch, narrow, end_id)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_an_example_fares_the_same_in_any_packing(rows, seed):
    generator = np.random.default_rng(seed)
    examples = {id_: generator.integers(1, 60, generator.integers(1, 21)) for id_ in range(12)}
    order = generator.permutation(12).tolist()
    alone = rows(examples, [[id_] for id_ in examples])
    packed = rows(examples, [order[start : start + 3] for start in range(0, 12, 3)])
    fates = []
    for batch, spans in ((alone, run(alone)), (packed, run(packed))):
        real = batch.segments > 0
        table = zip(batch.example_ids[real], batch.offsets[real], spans.hidden[real], strict=True)
        fates.append({(example, offset): hidden for example, offset, hidden in table})
    assert fates[0] == fates[1]


def test_a_special_inside_divides_a_span(rows):
    tokens = np.full(12, 9)
    tokens[6] = 2
    batch = rows({1: tokens}, [[1]])
    spans = run(batch, rate=1.0, target_length=128)
    assert spans.tokens[0, :4].tolist() == [99, 2, 98, 0]
    assert_decodes_back(batch, spans)


def test_mistakes_are_told_in_one_line(rows):
    batch = jax.tree.map(jnp.asarray, rows({1: np.full(4, 9)}, [[1]]))
    for options in ({"num_sentinels": 0}, {"rate": 1.5}, {"mean_span": 0.5}):
        with pytest.raises(ValueError, match=r"at least one sentinel, a rate in \[0, 1\] and a mean_span"):
            corrupted(batch, **options)
