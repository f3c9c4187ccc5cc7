"""BERT's masking: proportions, exact counts by sorting, what random ids are; and units chosen whole."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, ops
from jaxlm.corruption import keep, mixture, to_mask, to_other, to_random

RNG = jax.random.key(3)
MASK_ID, RANDOM_IDS = 4, [6, 7, 8, 10, 13, 21]
CLEAN_ID = 9
PARTS = (to_mask(MASK_ID), to_random(RANDOM_IDS), keep())
BERT = mixture(list(zip((0.8, 0.1, 0.1), PARTS, strict=True)))


@partial(jax.jit, static_argnames=("replacement", "rate", "count"))
def compiled(rows, allowed, rates, starts, *, replacement, rate, count):
    return corruption.corrupt(
        RNG,
        rows.tokens,
        allowed,
        example_ids=rows.example_ids,
        offsets=rows.offsets,
        segments=rows.segments,
        epochs=rows.epochs,
        replacement=replacement,
        rate=rate if rates is None else rates,
        count=count,
        starts=starts,
    )


def mask(rows, allowed=None, *, replacement=BERT, rate=0.15, count="exact", rates=None, starts=None):
    allowed = rows.segments > 0 if allowed is None else allowed
    parts = jax.tree.map(jnp.asarray, (rows, allowed, rates, starts))
    return compiled(*parts, replacement=replacement, rate=rate, count=count)


@pytest.fixture(scope="module")
def many(pack):
    """655,360 tokens in 1,280 examples of 512."""
    full = np.full(512, CLEAN_ID)
    return pack(dict.fromkeys(range(1280), full), [[id_] for id_ in range(1280)], 512)


def within(share, expected, trials):
    return abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / trials)


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_fifteen_per_cent_are_chosen_and_split_80_10_10(many, count):
    corrupted = mask(many, count=count)
    chosen = np.asarray(corrupted.loss_mask)
    seen = np.asarray(corrupted.tokens)[chosen]
    if count == "exact":
        assert (chosen.sum(1) == 77).all()  # 0.15 * 512 = 76.8
    else:
        assert within(chosen.mean(), 0.15, chosen.size)
    assert within((seen == MASK_ID).mean(), 0.8, seen.size)
    assert within((seen == CLEAN_ID).mean(), 0.1, seen.size)
    drawn = seen[(seen != MASK_ID) & (seen != CLEAN_ID)]
    assert within(drawn.size / seen.size, 0.1, seen.size)
    ids, numbers = np.unique(drawn, return_counts=True)
    assert ids.tolist() == RANDOM_IDS
    assert all(within(number / drawn.size, 1 / 6, drawn.size) for number in numbers)


def test_no_place_in_an_example_is_favoured(many):
    chosen = np.asarray(mask(many).loss_mask)
    assert np.abs(chosen.mean(0) - 77 / 512).max() < 5 * np.sqrt(0.15 * 0.85 / len(chosen))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.5, 0.0, 0.5), {MASK_ID, CLEAN_ID}),
        ((0.0, 0.5, 0.5), {6, 7, 8, 10, 13, 21, CLEAN_ID}),
    ],
)
def test_shares_of_zero_are_meant(many, shares, expected):
    replacement = mixture(list(zip(shares, PARTS, strict=True)))
    rows = jax.tree.map(lambda part: part[:256, ..., :64] if part.ndim > 1 else part[:256], many)
    corrupted = mask(rows, replacement=replacement)
    assert set(np.asarray(corrupted.tokens)[np.asarray(corrupted.loss_mask)].tolist()) == expected


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.5])
def test_exact_counts_choose_what_sorting_each_example_would(examples, pack, rate):
    ids = list(examples)
    rows = pack(examples, [ids[start : start + 4] for start in range(0, 32, 4)], 160)
    allowed = (rows.tokens >= 6) & (rows.segments > 0)
    chosen = np.asarray(mask(rows, allowed, rate=rate).loss_mask)
    parts = jnp.asarray(rows.epochs), jnp.asarray(rows.example_ids), jnp.asarray(rows.offsets)
    draws = np.asarray(ops.uniform_bits(RNG, *parts))[..., 0]
    for id_ in ids:
        mine = allowed & (rows.example_ids == id_) & (rows.segments > 0)
        count = max(1, int(rate * mine.sum() + 0.5)) if mine.any() else 0
        assert chosen[mine].sum() == count
        smallest = sorted(zip(draws[mine], rows.offsets[mine], strict=True))[:count]
        assert sorted(rows.offsets[mine & chosen].tolist()) == sorted(offset for _, offset in smallest)


def test_an_example_with_anything_allowed_has_at_least_one(pack):
    rows = pack({id_: np.full(3, CLEAN_ID) for id_ in range(64)}, [[id_] for id_ in range(64)], 4)
    allowed = (rows.segments > 0) & (rows.example_ids % 2 == 0)
    chosen = np.asarray(mask(rows, allowed, rate=0.01).loss_mask)
    assert chosen.sum(1).tolist() == [1, 0] * 32


def test_two_pieces_of_a_split_example_are_counted_apart(pack):
    whole = np.full(40, CLEAN_ID)
    rows = pack({1: whole}, [[1], [1]], 20 * 2)
    first, second = slice(0, 20), slice(20, 40)
    pieces = jax.tree.map(lambda part: part.copy(), rows)
    pieces.segments[0, second] = pieces.segments[1, first] = 0
    chosen = np.asarray(mask(pieces).loss_mask)
    assert chosen.sum(1).tolist() == [3, 3]
    assert not chosen[0, second].any()
    assert not chosen[1, first].any()
    # The draws are those of the example: a Bernoulli choice is the same in pieces as in the whole.
    in_pieces, in_whole = (np.asarray(mask(part, count="bernoulli").loss_mask) for part in (pieces, rows))
    np.testing.assert_array_equal(in_pieces[0, first], in_whole[0, first])
    np.testing.assert_array_equal(in_pieces[1, second], in_whole[1, second])


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_padding_is_never_chosen_even_where_the_caller_allows_it(pack, count):
    rows = pack({1: np.full(4, CLEAN_ID)}, [[1]], 8)
    chosen = np.asarray(mask(rows, np.ones((1, 8), bool), rate=1.0, count=count).loss_mask)
    assert chosen.tolist() == [[True] * 4 + [False] * 4]


def test_specials_and_padding_are_not_corruptible():
    tokens, segments = jnp.array([[2, 9, 4, 9, 0]]), jnp.array([[1, 1, 2, 0, 0]])
    allowed = corruption.corruptible(tokens, segments, np.arange(12) < 6)
    assert allowed.tolist() == [[False, True, False, False, False]]


def test_a_large_vocabulary_is_drawn_from_end_to_end(many):
    drawn = np.asarray(
        mask(many, replacement=to_random(np.arange(250_000)), rate=1.0, count="bernoulli").tokens
    )
    assert drawn.min() < 10
    assert drawn.max() >= 250_000 - 10
    numbers = np.histogram(drawn, bins=16, range=(0, 250_000))[0]
    assert all(within(number / drawn.size, 1 / 16, drawn.size) for number in numbers)


def test_another_id_is_each_as_likely_and_never_the_same(many):
    replacement = to_other([7, 8, CLEAN_ID, 21])
    seen = np.asarray(mask(many, replacement=replacement, rate=1.0, count="bernoulli").tokens)
    ids, numbers = np.unique(seen, return_counts=True)
    assert ids.tolist() == [7, 8, 21]
    assert all(within(number / seen.size, 1 / 3, seen.size) for number in numbers)


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_each_example_has_a_fraction_of_its_own(pack, count):
    fractions = np.array([0.0, 0.1, 0.5, 0.9, 1.0], np.float32)
    rows = pack({id_: np.full(100, CLEAN_ID) for id_ in range(5)}, [range(5)] * 64, 500)
    rates = np.where(rows.segments > 0, fractions[rows.example_ids], 0).astype(np.float32)
    rows = rows._replace(example_ids=rows.example_ids + 5 * np.arange(64, dtype=np.int32)[:, None])
    corrupted = mask(rows, rates=rates, count=count)
    np.testing.assert_array_equal(corrupted.fractions, rates)
    chosen = np.asarray(corrupted.loss_mask).reshape(64, 5, 100).sum(-1)
    if count == "exact":
        assert (chosen == [0, 10, 50, 90, 100]).all()
    else:
        assert (chosen[:, [0, 4]] == [0, 100]).all()
        assert all(within(chosen[:, i].mean() / 100, fractions[i], 6400) for i in (1, 2, 3))


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_units_are_chosen_whole_and_their_number_is_the_rates(pack, count):
    generator = np.random.default_rng(0)
    rows = pack(
        {id_: np.full(60, CLEAN_ID) for id_ in range(64)}, [[2 * i, 2 * i + 1] for i in range(32)], 128
    )
    starts = generator.random((32, 128)) < 0.3
    allowed = (generator.random((32, 128)) < 0.7) & (rows.segments > 0)
    chosen = np.asarray(mask(rows, allowed, rate=0.4, count=count, starts=starts).loss_mask)
    numbers = []
    for row, segment in np.ndindex(32, 2):
        mine = allowed[row] & (rows.segments[row] == segment + 1)
        units = np.cumsum(starts[row])
        taken = [set(chosen[row][mine & (units == unit)].tolist()) for unit in np.unique(units[mine])]
        assert all(len(one) == 1 for one in taken)
        numbers.append((sum(one == {True} for one in taken), len(taken)))
    if count == "exact":
        assert all(number == max(1, int(0.4 * of + 0.5)) for number, of in numbers)
    else:
        number, of = np.sum(numbers, axis=0)
        assert within(number / of, 0.4, of)


def test_units_of_one_position_are_positions(pack):
    rows = pack({1: np.full(40, CLEAN_ID)}, [[1], [1]], 64)
    starts = np.ones((2, 64), bool)
    for count in ("exact", "bernoulli"):
        one, other = mask(rows, count=count, rate=0.4), mask(rows, count=count, rate=0.4, starts=starts)
        np.testing.assert_array_equal(one.loss_mask, other.loss_mask)


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_is_a_share(pack, rate):
    rows = pack({1: np.full(4, CLEAN_ID)}, [[1]], 8)
    with pytest.raises(ValueError, match=r"a rate is a share in \[0, 1\]"):
        mask(rows, rate=rate)
