"""Where runs stand in batches: each once, packed into few shapes, or alone in a row of its own length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.steps._encoded_texts import EncodedText
from jaxlm.steps._layout import EncodedPair, fill_rows, plan_rows


def text_of(length, start=0, source=None):
    """A text of which the token after each one that is read is predicted."""
    tokens, positions = np.arange(start, start + length, dtype=np.int32), np.arange(length, dtype=np.int32)
    source = None if source is None else np.arange(source, dtype=np.int32)
    return EncodedText(tokens, source, positions, tokens + 1, positions + 1)


LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=20)


@given(LENGTHS, st.booleans())
def test_every_pair_is_in_one_batch_with_its_own_positions(lengths, draws):
    units = [EncodedPair(text_of(length, start=100 * number)) for number, length in enumerate(lengths)]
    seen = []
    for rows in plan_rows(units, positions=128, longest=64, draws=draws):
        batch, answers = fill_rows(units, rows)
        assert batch.tokens.shape == (rows.num_rows, rows.length) and rows.length <= 64
        flat, taken = batch.tokens.reshape(-1), set()
        assert batch.count == sum(len(units[index].text.positions) for index, _ in answers)
        for index, span in answers:
            text = units[index].text
            np.testing.assert_array_equal(flat[batch.positions[span]], text.tokens)
            np.testing.assert_array_equal(batch.targets[span], text.targets)
            segments = batch.segments.reshape(-1)[batch.positions[span]]
            assert len(set(segments.tolist())) == 1 and segments[0] > 0
            segment = (int(batch.positions[span][0]) // rows.length, int(segments[0]))
            assert segment not in taken
            taken.add(segment)
            seen.append(index)
        assert (batch.segments > 0).sum() == sum(len(units[index].text.tokens) for index, _ in answers)
    assert sorted(seen) == list(range(len(units)))


@given(LENGTHS, LENGTHS, st.booleans())
def test_contrasts_are_in_the_same_batch_after_the_texts(first, second, draws):
    pairs = list(zip(first, second, strict=False))
    units = [
        EncodedPair(
            text_of(ours),
            text_of(theirs, start=1000),
            np.minimum(np.arange(ours), theirs - 1).astype(np.int32),
        )
        for ours, theirs in pairs
    ]
    for rows in plan_rows(units, positions=128, longest=64, draws=draws):
        batch, answers = fill_rows(units, rows)
        assert batch.tokens.shape[0] == 2 * rows.num_rows
        flat = batch.tokens.reshape(-1)
        for index, span in answers:
            expected = units[index].contrast.tokens[units[index].partners]
            np.testing.assert_array_equal(flat[batch.contrast_positions[span]], expected)
            np.testing.assert_array_equal(batch.contrast_targets[span], expected + 1)


def test_alone_a_row_is_as_long_as_its_own_text_asks():
    units = [EncodedPair(text_of(length)) for length in (3, 17, 40, 18)]
    found = {
        tuple(index for index, _, _ in rows.pairs): rows.length
        for rows in plan_rows(units, positions=1024, longest=50, draws=True)
    }
    assert found == {(0,): 16, (1, 3): 32, (2,): 50}


def test_an_encoders_rows_are_as_long_as_the_sources():
    units = [EncodedPair(text_of(3, source=200)), EncodedPair(text_of(4, source=5))]
    shapes = [
        (rows.length, rows.source_length) for rows in plan_rows(units, positions=64, longest=256, draws=True)
    ]
    assert shapes == [(16, 16), (16, 256)]
    plan = next(plan_rows(units[:1], positions=64, longest=256, draws=True))
    batch, _ = fill_rows(units, plan)
    assert batch.sources.shape == (1, 256) and batch.source_segments.sum() == 200


@pytest.mark.parametrize("draws", [False, True])
def test_sources_and_targets_of_like_lengths_take_few_shapes(draws):
    generator = np.random.default_rng(0)
    sources = generator.integers(2, 500, 300)
    targets = np.clip(sources * generator.uniform(0.5, 1.5, 300), 1, 512).astype(int)
    units = [
        EncodedPair(text_of(target, source=source))
        for source, target in zip(sources, targets.tolist(), strict=True)
    ]
    plans = list(plan_rows(units, positions=2048, longest=512, draws=draws))
    assert {(rows.length, rows.source_length) for rows in plans} <= {(2**n, 2**n) for n in range(4, 10)}
    assert sorted(unit for rows in plans for unit, _, _ in rows.pairs) == list(range(300))


SIZES = st.tuples(st.integers(1, 300), st.integers(0, 300))


@given(SIZES, SIZES)
def test_what_is_read_under_dropout_depends_on_the_text_alone(ours, theirs):
    """Also in a row that a contrast makes longer, and beside a longer source."""
    theirs = (theirs[0], max(theirs[1], 1) if ours[1] else 0)
    text, contrast = (text_of(length, source=source or None) for length, source in (ours, theirs))
    partners = np.minimum(np.arange(ours[0]), theirs[0] - 1).astype(np.int32)
    read = []
    for units in ([EncodedPair(text)], [EncodedPair(text, contrast, partners)]):
        batch, _ = fill_rows(units, next(plan_rows(units, positions=64, longest=300, draws=True)))
        assert (batch.noisy[1] > 0).sum() == ours[0] and batch.noisy[0].shape[1] <= batch.tokens.shape[1]
        read.append([array for array in (*batch.noisy, batch.row_names) if array is not None])
    for first, second in zip(*read, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("num", "expected"), [(20, 1), (4000, 3)])
def test_texts_of_hundreds_of_lengths_take_few_shapes(num, expected):
    lengths = np.random.default_rng(0).integers(2, 2000, num) // np.random.default_rng(1).integers(1, 20, num)
    units = [EncodedPair(text_of(max(int(length), 1))) for length in lengths]
    plans = list(plan_rows(units, positions=2048, longest=2048, draws=False))
    assert len({(rows.num_rows, rows.length) for rows in plans}) <= expected
    positions = sum(rows.num_rows * rows.length for rows in plans)
    # Little is padding where there is much: the last batch of each shape, and what no text fits.
    assert num < 100 or positions < 1.06 * lengths.sum() + 3 * 2048
