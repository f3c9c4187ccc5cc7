"""BERT masking: proportions, exact counts by sorting, what random ids are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, ops
from jaxlm.corruption import NoiseConfig

RNG = jax.random.key(3)
MASK_ID, RANDOM_IDS = 4, jnp.array([6, 7, 8, 10, 13, 21])
CLEAN_ID = 9


def mask(rows, allowed=None, config=NoiseConfig(rate=0.15), random_ids=RANDOM_IDS):  # noqa: B008
    rows = jax.tree.map(jnp.asarray, rows)
    parts = [(config.mask_share, corruption.to_mask(MASK_ID)), (config.keep_share, corruption.keep())]
    if config.random_share:
        parts.append((config.random_share, corruption.to_random(np.asarray(random_ids))))
    return corruption.corrupt(
        RNG,
        rows.tokens,
        rows.segments > 0 if allowed is None else jnp.asarray(allowed),
        example_ids=rows.example_ids,
        offsets=rows.offsets,
        segments=rows.segments,
        epochs=rows.epochs,
        replacement=corruption.mixture(parts),
        rate=config.rate,
        count=config.count,
    )


@pytest.fixture(scope="module")
def many(pack):
    """655,360 tokens in 1,280 examples of 512."""
    full = np.full(512, CLEAN_ID)
    return pack(dict.fromkeys(range(1280), full), [[id_] for id_ in range(1280)], 512)


def within(share, expected, trials):
    return abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / trials)


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_fifteen_per_cent_are_chosen_and_split_80_10_10(many, count):
    corrupted = mask(many, config=NoiseConfig(rate=0.15, count=count))
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
    assert ids.tolist() == RANDOM_IDS.tolist()
    assert all(within(number / drawn.size, 1 / 6, drawn.size) for number in numbers)


def test_no_place_in_an_example_is_favoured(many):
    chosen = np.asarray(mask(many).loss_mask)
    assert np.abs(chosen.mean(0) - 77 / 512).max() < 5 * np.sqrt(0.15 * 0.85 / len(chosen))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((1.0, 0.0, 0.0), {MASK_ID}),
        ((0.0, 1.0, 0.0), {6, 7, 8, 10, 13, 21}),
        ((0.0, 0.0, 1.0), {CLEAN_ID}),
        ((0.5, 0.0, 0.5), {MASK_ID, CLEAN_ID}),
        ((0.0, 0.5, 0.5), {6, 7, 8, 10, 13, 21, CLEAN_ID}),
    ],
)
def test_shares_of_zero_and_one_are_meant(many, shares, expected):
    names = ("mask_share", "random_share", "keep_share")
    config = NoiseConfig(rate=0.15, **dict(zip(names, shares, strict=True)))
    rows = jax.tree.map(lambda part: part[:256, ..., :64] if part.ndim > 1 else part[:256], many)
    corrupted = mask(rows, config=config)
    assert set(np.asarray(corrupted.tokens)[np.asarray(corrupted.loss_mask)].tolist()) == expected


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.5])
def test_exact_counts_choose_what_sorting_each_example_would(examples, pack, rate):
    ids = list(examples)
    rows = pack(examples, [ids[start : start + 4] for start in range(0, 32, 4)], 160)
    allowed = (rows.tokens >= 6) & (rows.segments > 0)
    chosen = np.asarray(mask(rows, allowed, NoiseConfig(rate=rate)).loss_mask)
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
    chosen = np.asarray(mask(rows, allowed, NoiseConfig(rate=0.01)).loss_mask)
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
    bernoulli = NoiseConfig(rate=0.15, count="bernoulli")
    in_pieces, in_whole = (np.asarray(mask(part, config=bernoulli).loss_mask) for part in (pieces, rows))
    np.testing.assert_array_equal(in_pieces[0, first], in_whole[0, first])
    np.testing.assert_array_equal(in_pieces[1, second], in_whole[1, second])


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_padding_is_never_chosen_even_where_the_caller_allows_it(pack, count):
    rows = pack({1: np.full(4, CLEAN_ID)}, [[1]], 8)
    config = NoiseConfig(rate=1.0, count=count)
    chosen = np.asarray(mask(rows, np.ones((1, 8), bool), config).loss_mask)
    assert chosen.tolist() == [[True] * 4 + [False] * 4]


def test_specials_and_padding_are_not_corruptible():
    tokens, segments = jnp.array([[2, 9, 4, 9, 0]]), jnp.array([[1, 1, 2, 0, 0]])
    allowed = corruption.corruptible(tokens, segments, np.arange(12) < 6)
    assert allowed.tolist() == [[False, True, False, False, False]]


def test_random_ids_are_needed_only_where_they_are_drawn(pack):
    rows, none = pack({1: np.full(4, CLEAN_ID)}, [[1]], 8), jnp.zeros(0, jnp.int32)
    with pytest.raises(ValueError, match=r"got 0; .* set random_share to 0"):
        mask(rows, random_ids=none)
    config = replace(NoiseConfig(rate=0.15), mask_share=0.9, random_share=0.0)
    assert mask(rows, config=config, random_ids=none).loss_mask.sum() == 1


def test_a_large_vocabulary_is_drawn_from_end_to_end(many):
    config = NoiseConfig(rate=1.0, mask_share=0.0, random_share=1.0, keep_share=0.0)
    drawn = np.asarray(mask(many, config=config, random_ids=jnp.arange(250_000)).tokens)
    assert drawn.min() < 10
    assert drawn.max() >= 250_000 - 10
    numbers = np.histogram(drawn, bins=16, range=(0, 250_000))[0]
    assert all(within(number / drawn.size, 1 / 16, drawn.size) for number in numbers)
