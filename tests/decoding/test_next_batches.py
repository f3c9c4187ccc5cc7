"""Batches of texts: every pair once, of bounded size; results are those of each text alone, in order."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm import decoding, models, pretrained, tokenizers
from jaxlm.decoding import _next_tokens
from jaxlm.decoding._next_batches import MAX_ROWS, MAX_TARGETS, MAX_TOKENS, group_by_length, pad_pairs

SIZES = st.lists(st.tuples(st.integers(1, 2000), st.none() | st.integers(1, 500)), max_size=300)


def pairs_of(sizes):
    return [
        (np.arange(length, dtype=np.int32), None if count is None else np.arange(count, dtype=np.int32))
        for length, count in sizes
    ]


@given(SIZES)
def test_every_pair_is_in_one_batch_of_bounded_size(sizes):
    pairs = pairs_of(sizes)
    made = group_by_length(pairs)
    assert sorted(itertools.chain(*made)) == list(range(len(pairs)))
    for places in made:
        tokens, segments, asked, targets = pad_pairs([pairs[place] for place in places], 10_000)
        assert len(places) <= MAX_ROWS and len(tokens) <= max(4 * len(places), 1)
        if len(places) > 1:
            assert len(places) * tokens.shape[1] <= MAX_TOKENS
            assert len(places) * asked.shape[1] <= MAX_TARGETS
        for row, place in enumerate(places):
            text, target = pairs[place]
            whole = text if target is None else np.concatenate([text, target[:-1]])
            assert (tokens[row, : whole.size] == whole).all() and segments[row].sum() == whole.size
            assert asked[row, 0] == text.size - 1
            assert target is None or (targets[row, : target.size] == target).all()


@pytest.fixture(scope="module")
def loaded():
    config = models.TransformerConfig(
        vocab_size=260, width=8, depth=1, num_heads=2, max_length=64, causal=True, init_std=0.4
    )
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    return pretrained.Loaded(config, "causal_lm", model, params, tokenizers.bytes_tokenizer(), {})


def test_results_are_in_order_and_those_of_each_text_alone(loaded, monkeypatch):
    monkeypatch.setattr(_next_tokens, "TEXTS_READ", 8)
    texts = ["ab" * (1 + 7 * n % 15) for n in range(21)]
    targets = [None if n % 3 else "c" * (1 + n % 5) for n in range(21)]
    found = decoding.next_tokens(loaded, texts, targets=targets)
    assert [bytes(one.tokens.tolist()).decode() for one in found] == texts
    for one, text, target in list(zip(found, texts, targets, strict=True))[::5]:
        (alone,) = decoding.next_tokens(loaded, [text], targets=[target])
        assert [c.token_id for c in one.candidates] == [c.token_id for c in alone.candidates]
        assert one.loss == pytest.approx(alone.loss, rel=1e-5) if target else one.loss is None


def test_texts_are_drawn_by_the_block(loaded):
    drawn = itertools.count()
    results = decoding.stream_next_tokens(loaded, ((str(number), None) for number in drawn))
    for number in range(300):
        assert next(results).tokens.tolist() == [ord(digit) for digit in str(number)]
    assert next(drawn) <= 2 * _next_tokens.TEXTS_READ + 1


def test_one_long_text_does_not_widen_the_others(loaded, monkeypatch):
    """10,000 lines of which one is long were one batch of its length."""
    computed = []
    real = _next_tokens.rank_next
    monkeypatch.setattr(
        _next_tokens, "rank_next", lambda *a, **k: computed.append(a[2].shape) or real(*a, **k)
    )
    decoding.next_tokens(loaded, ["a"] * 500 + ["b" * 60] + ["c"] * 499)
    assert max(rows * length for rows, length in computed) <= MAX_TOKENS
    assert sum(rows * length for rows, length in computed) < 1000 * 16 * 1.5
    assert len(set(computed)) <= 4
