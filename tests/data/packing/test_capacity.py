"""Against counting the positions of every possible window of rows."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import corruption, data, ops, tokenizers
from jaxlm.data.packing._capacity import _most

FORBIDDEN = np.zeros(tokenizers.bytes_tokenizer().vocab_size, bool)
FORBIDDEN[list(b"xyz")] = True


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("abcxyz"), size)) for size in rng.integers(1, 40, 60)]
    records = [data.Record(str(number), text, {}) for number, text in enumerate([*texts, "xyz", "xx"])]
    folder = tmp_path_factory.mktemp("cache")
    return data.build_cache(lambda: records, tokenizers.bytes_tokenizer(), folder, source_fingerprint="masks")


def masked_in(batch, rate):
    """Masked positions by definition: of each piece, the share of what may be masked, at least one."""
    counts = [(~FORBIDDEN[piece.tokens]).sum() for row in data.unpack(batch) for piece in row]
    return int(ops.exact_counts(np.asarray(counts), rate).sum())


@pytest.mark.parametrize("rate", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("batch_size", [1, 3, 8, 40, 90])
def test_no_batch_holds_more_and_the_bound_is_near(cache, batch_size, rate):
    plan = data.plan_packing(cache.lengths, 24)
    capacity = data.masked_capacity(cache, plan, batch_size, FORBIDDEN, rate)
    batches = data.Batches(cache, plan, batch_size=batch_size, seed=0)
    most = max(masked_in(batches[step], rate) for step in range(12))
    assert most <= capacity <= 1.7 * most


def test_corruption_in_the_pipeline_never_needs_more(cache):
    plan = data.plan_packing(cache.lengths, 24)
    noise = corruption.make_noise(corruption.NoiseConfig(rate=0.15), tokenizers.bytes_tokenizer())
    stage = corruption.CorruptBatch(jax.random.key(0), noise._replace(forbidden=FORBIDDEN))
    batches = data.Batches(cache, plan, batch_size=6, seed=0, transform=stage)
    capacity = data.masked_capacity(cache, plan, 6, FORBIDDEN, 0.15)
    masked = [int(corrupted.loss_mask.sum()) for _, corrupted in itertools.islice(batches.iterate(), 20)]
    assert 0.5 * capacity < max(masked) <= capacity


def test_one_row_a_batch_is_exact(cache, monkeypatch):
    plan = data.plan_packing(cache.lengths, 24)
    most = max(masked_in(batch, 0.15) for batch in data.eval_batches(cache, plan, 1))
    assert data.masked_capacity(cache, plan, 1, FORBIDDEN, 0.15) == most
    monkeypatch.setattr("jaxlm.data.packing._capacity.TOKENS_AT_ONCE", 5)
    assert data.masked_capacity(cache, plan, 1, FORBIDDEN, 0.15) == most


@settings(max_examples=60)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 9))
def test_the_bound_holds_for_every_permutation(rows, batch_size):
    orders = list(itertools.permutations(rows))
    whole = -(-batch_size // len(rows)) + 1
    reached = 0
    for chosen in itertools.product(orders, repeat=min(whole, 3)):
        endless = [count for order in chosen for count in order]
        starts = range(0, len(rows), np.gcd(batch_size, len(rows)))
        windows = [
            sum(endless[start : start + batch_size]) for start in starts if start + batch_size <= len(endless)
        ]
        reached = max([reached, *windows])
    bound = _most(np.sort(rows)[::-1], batch_size)
    assert reached <= bound
    if len(rows) % batch_size == 0:
        assert bound == sum(sorted(rows)[len(rows) - batch_size :])


def test_nothing_to_mask_and_bad_requests(cache):
    plan = data.plan_packing(cache.lengths, 24)
    assert data.masked_capacity(cache, plan, 4, np.ones_like(FORBIDDEN), 0.15) == 0
    assert data.masked_capacity(cache, data.plan_packing(np.zeros(0, int), 24), 4, FORBIDDEN, 0.15) == 0
    for batch_size, rate in ((0, 0.15), (4, 1.5), (4, -0.1)):
        with pytest.raises(ValueError, match="expected batch_size >= 1 and rate in"):
            data.masked_capacity(cache, plan, batch_size, FORBIDDEN, rate)
