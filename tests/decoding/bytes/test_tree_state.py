"""Byte states: immutable, one step of the model a byte, and the same numbers however the bytes were read."""

import asyncio
import copy
import pickle

import jax
import numpy as np
import pytest

from jaxlm.decoding import LMState
from jaxlm.decoding.bytes import END_OF_TEXT, StatefulByteLM, make_byte_model, tree_state
from jaxlm.errors import UsageError
from tests.decoding.bytes import oracle
from tests.decoding.bytes.small_models import MERGES, asked, byte_model, loaded_model, merges_tokenizer

_, ENCODE = oracle.bpe(b"abc", MERGES)
TEXT = b"abacabbacbacab"


def stepped(state, data):
    for byte in data:
        state = state << byte
        state.logp_next().log_probs  # noqa: B018 - read byte by byte
    return state


def test_next_bytes_are_enumerated():
    lm, state = asked(byte_model()), tree_state(byte_model())
    for size in range(7):
        text = TEXT[:size]
        want = oracle.next_byte_log_probs(
            lambda longer: (
                oracle.stem_log_prob(lm, longer, ENCODE) if set(longer) <= set(b"abc") else -np.inf
            ),
            oracle.stem_whole_log_prob(lm, text, ENCODE),
            text,
        )
        np.testing.assert_allclose(state.joint_next(), want, atol=1e-5)
        np.testing.assert_allclose(state.logp_next(), want - np.logaddexp.reduce(want), atol=1e-5)
        state = state << TEXT[size]


@pytest.mark.parametrize("name", ["merges", "byte-level", "Llama, legacy"])
def test_however_bytes_are_read_the_numbers_are_the_same(name):
    model = byte_model(name)
    data = TEXT if name == "merges" else "the cats' 漢字 hats ".encode()
    by_byte, at_once = stepped(tree_state(model), data), tree_state(model, data)
    lazily = tree_state(model)
    for byte in data:
        lazily = lazily << byte
    halves = tree_state(model, data[:9]).prefill(data[9:])
    cut = tree_state(model, data[:-3]).prefill(data[-3:])
    for state in (at_once, lazily, halves, cut):
        assert state.context == data
        np.testing.assert_allclose(state.log_prob, by_byte.log_prob, atol=2e-5)
        np.testing.assert_allclose(state.logp_next(), by_byte.logp_next(), atol=1e-5)
    more = b" the c" if name != "merges" else b"bacab"
    np.testing.assert_allclose(stepped(at_once, more).log_prob, stepped(by_byte, more).log_prob, atol=2e-5)


def test_states_do_not_change():
    state = tree_state(byte_model(), b"ab")
    before = np.array(state.logp_next())
    children = [state << byte for byte in b"abc"]
    assert [child.context for child in children] == [b"aba", b"abb", b"abc"]
    joint = state.joint_next()
    np.testing.assert_allclose([child.log_prob for child in children], joint[list(b"abc")], atol=1e-5)
    np.testing.assert_array_equal(state.logp_next(), before)
    assert state.context == b"ab" and isinstance(state, StatefulByteLM) and isinstance(state, LMState)


def test_a_distribution_sums_to_one():
    for name in ("merges", "byte-level", "Llama"):
        total = np.exp(np.asarray(tree_state(byte_model(name), b"ab").logp_next(), np.float64)).sum()
        np.testing.assert_allclose(total, 1, atol=1e-5)


def test_the_end_of_a_text_is_its_last_symbol():
    state = tree_state(byte_model(), b"abac")
    ended = state << END_OF_TEXT
    assert ended.has_ended and ended.context == b"abac"
    whole = oracle.stem_whole_log_prob(asked(byte_model()), b"abac", ENCODE)
    np.testing.assert_allclose(ended.log_prob, whole, atol=1e-5)
    assert (np.asarray(ended.logp_next()) == -np.inf).all()
    with pytest.raises(UsageError, match="the text has ended"):
        ended << 97
    assert pickle.loads(pickle.dumps(_plain(ended))) == b"abac"


def _plain(state):
    return state.context


@pytest.mark.parametrize("symbol", [257, -1, True])
def test_what_is_no_byte_is_refused(symbol):
    with pytest.raises(UsageError, match="bytes lie in"):
        tree_state(byte_model()) << symbol


def test_a_byte_that_nothing_writes_has_no_probability():
    state = tree_state(byte_model(), b"ab") << ord("z")
    assert state.log_prob == -np.inf
    longer = state << ord("a")
    assert (np.asarray(longer.logp_next()) == -np.inf).all() and longer.log_prob == -np.inf


def test_a_context_that_is_too_long_is_refused_when_it_is_asked():
    state = tree_state(make_byte_model(loaded_model(merges_tokenizer(), max_length=4)))
    for byte in b"cccc":
        state = state << byte
    with pytest.raises(UsageError, match="the model reads at most 4"):
        state.logp_next().log_probs  # noqa: B018


def test_one_step_of_the_model_a_byte():
    model = make_byte_model(loaded_model(merges_tokenizer()))
    state = stepped(tree_state(model), b"ab")
    for byte in b"acabbacbac":
        before = model.lm.counters
        state = stepped(state, bytes([byte]))
        after = model.lm.counters
        assert after.calls - before.calls == 1 and after.tokens_read - before.tokens_read <= 2


def test_states_that_wait_together_share_calls():
    model = make_byte_model(loaded_model(merges_tokenizer()))
    state = tree_state(model, b"abacabba")
    state.logp_next().log_probs  # noqa: B018
    calls = model.lm.counters.calls

    async def ask():
        children = [await (state << byte) for byte in b"abc"]
        return await asyncio.gather(*(child.logp_next_async() for child in children))

    together = asyncio.run(ask())
    assert model.lm.counters.calls - calls <= 2
    for byte, view in zip(b"abc", together, strict=True):
        np.testing.assert_allclose(view, (state << byte).logp_next(), atol=1e-5)


def test_generation_is_that_of_any_byte_state():
    state = tree_state(byte_model())
    text = state.greedy(b"ab", steps=6)
    assert text.startswith(b"ab") and len(text) <= 8
    best, by_hand = tree_state(byte_model(), b"ab"), b"ab"
    for _ in range(6):
        symbol = best.logp_next().argmax()
        if symbol == END_OF_TEXT:
            break
        by_hand += bytes([symbol])
        best = best << symbol
    assert text == by_hand
    drawn = state.sample(b"ab", steps=6, rng=jax.random.key(0))
    assert drawn == asyncio.run(state.sample_async(b"ab", steps=6, rng=jax.random.key(0)))


def test_a_copy_reads_its_context_again():
    state = copy.copy(tree_state(byte_model(), b"abac"))
    np.testing.assert_allclose(state.log_prob, tree_state(byte_model(), b"abac").log_prob, atol=1e-6)
