"""Texts written by canonical stems in one call a byte: the same as by steps of states, and few programs."""

import asyncio

import jax
import numpy as np
import pytest

from jaxlm.decoding import Sampling
from jaxlm.decoding.bytes import (
    ByteGenerationConfig,
    TreeByteState,
    generate_bytes,
    make_byte_model,
    tree_state,
)
from jaxlm.decoding.bytes import _tree_texts as tree_texts
from jaxlm.decoding.bytes._tree_loop import continue_tree_loop, start_tree_loop
from jaxlm.errors import UsageError
from tests.decoding.bytes.small_models import byte_model, loaded_model, merges_tokenizer

KEY = jax.random.key(5)
WORDS = [b"the c", "the cats' 漢".encode()[:-1], b"", b"the c"]


def same(found, expected, atol=1e-5):
    for own, other in zip(found, expected, strict=True):
        assert own._replace(log_probs=None, dropped=0) == other._replace(log_probs=None, dropped=0)
        np.testing.assert_allclose(own.log_probs, other.log_probs, rtol=0, atol=atol)
        assert own.dropped == pytest.approx(other.dropped, abs=1e-5)


@pytest.mark.parametrize("rng", [None, KEY], ids=["greedy", "drawn"])
@pytest.mark.parametrize("name", ["byte-level", "Llama, legacy"])
def test_the_loop_writes_what_states_write(name, rng):
    model = byte_model(name)
    sampling = Sampling() if rng is None else Sampling(temperature=0.7, top_p=0.95)
    config = ByteGenerationConfig(max_new_bytes=20, byte_sampling=sampling, valid_utf8=True)
    found = generate_bytes(model, WORDS, config, rng=rng)
    same(found, generate_bytes(tree_state(model), WORDS, config, rng=rng), atol=2e-5)
    assert rng is None or found[0].data != found[3].data


def test_other_probabilities_and_no_opening():
    config = ByteGenerationConfig(max_new_bytes=12)
    for model in (
        byte_model("merges", probability="canonical"),
        byte_model("merges", opening=()),
        byte_model("merges", max_stems=1),
    ):
        prompts = [b"ab", b"abcab", b"cabbab"]
        found = generate_bytes(model, prompts, config)
        same(found, generate_bytes(tree_state(model), prompts, config))
        assert (found[0].dropped > 0.01) == (model.settings.max_stems == 1)
    with pytest.raises(UsageError, match="no token that begins texts"):
        generate_bytes(byte_model("merges", opening=()), [b"ab", b""], config)


def test_a_text_does_not_depend_on_the_batch():
    model, config = byte_model("byte-level"), ByteGenerationConfig(max_new_bytes=12)
    together = generate_bytes(model, WORDS, config, rng=KEY)
    same(together[:2], [generate_bytes(model, prompt, config, rng=KEY)[0] for prompt in WORDS[:2]])


@pytest.mark.parametrize("num_slots", [48, 24], ids=["compact", "grown"])
def test_a_tree_that_is_full_is_made_compact_or_larger(monkeypatch, num_slots):
    """With few slots: the same texts, after compactions, or also in trees that had to grow."""
    model, config = byte_model("merges"), ByteGenerationConfig(max_new_bytes=60)
    prompts = [b"abcab", b"ab"]
    expected = generate_bytes(model, prompts, config, rng=KEY)
    calls = {"compact": 0, "grown": 0}
    compact, grow = tree_texts.compact_tree_loop, tree_texts._TreeTexts._grow

    def counted(loop):
        calls["compact"] += 1
        return compact(loop)

    def grown(group):
        calls["grown"] += 1
        grow(group)

    monkeypatch.setattr(tree_texts, "compact_tree_loop", counted)
    monkeypatch.setattr(tree_texts._TreeTexts, "_grow", grown)
    monkeypatch.setattr(tree_texts.ops, "fine_bucket", lambda size: min(size, num_slots))
    same(generate_bytes(model, prompts, config, rng=KEY), expected)
    assert calls["compact"] and (calls["grown"] > 0) == (num_slots == 24)


def test_one_program_for_each_size():
    """Other prompts, lengths, samplings and numbers of texts up to a power of two compile nothing."""
    model = make_byte_model(loaded_model(merges_tokenizer(), max_length=64))
    configs = [ByteGenerationConfig(max_new_bytes=8), ByteGenerationConfig(max_new_bytes=9)]
    sizes = (start_tree_loop._cache_size(), continue_tree_loop._cache_size())
    for prompts in ([b"ab", b"c", b"abc"], [b"abb", b"ca", b"b", b"cc"], [b"cabb"] * 3):
        for config in configs:
            generate_bytes(model, prompts, config)
    assert continue_tree_loop._cache_size() - sizes[1] == 1
    assert start_tree_loop._cache_size() - sizes[0] == 1


def test_a_byte_is_one_call(monkeypatch):
    """But for bytes that change how earlier ones are divided: these have two tokens to read."""
    model, calls = byte_model("byte-level"), []
    real = tree_texts.continue_tree_loop
    monkeypatch.setattr(
        tree_texts, "continue_tree_loop", lambda *args, **options: calls.append(1) or real(*args, **options)
    )
    config = ByteGenerationConfig(max_new_bytes=20, valid_utf8=True)
    found = generate_bytes(model, WORDS, config, rng=KEY)
    most = max(len(written.log_probs) for written in found)
    assert most <= len(calls) <= most + 3


def test_a_text_ends_where_the_model_reads_no_more():
    """By the loop as by states, which say before that they are full."""
    model = make_byte_model(loaded_model(merges_tokenizer(), max_length=8), eos_ids=())
    config = ByteGenerationConfig(max_new_bytes=40)
    found = generate_bytes(model, [b"ab", b"c"], config, rng=KEY)
    same(found, generate_bytes(tree_state(model), [b"ab", b"c"], config, rng=KEY))
    assert all(written.ended_by == "length" and 3 <= len(written.data) < 40 for written in found)
    states = [tree_state(model, found[0].prompt)]
    for byte in found[0].data:
        states.append(states[-1] << byte)
        states[-2].logp_next().log_probs  # noqa: B018
    assert TreeByteState.are_full(states) == [*[False] * len(found[0].data), True]
    with pytest.raises(UsageError, match="the model reads at most 8"):
        states[-1].logp_next().log_probs  # noqa: B018
    with pytest.raises(UsageError, match="the model reads at most 8"):
        generate_bytes(model, b"c" * 20, config)


def test_states_that_are_asked_together_share_calls():
    model = make_byte_model(loaded_model(merges_tokenizer()))
    state = tree_state(model, b"abacabba")
    state.logp_next().log_probs  # noqa: B018
    calls = model.lm.counters.calls
    children = [state << byte for byte in b"abc"]
    together = TreeByteState.logp_next_many(children)
    assert model.lm.counters.calls - calls <= 2
    for view, child in zip(together, children, strict=True):
        alone = tree_state(model, child.context)
        np.testing.assert_allclose(view, alone.logp_next(), atol=1e-5)
        np.testing.assert_allclose(view, asyncio.run(alone.logp_next_async()), atol=1e-5)
