"""Texts that several byte models write together: one compiled loop of beams, and steps of states."""

import functools

import jax
import numpy as np
import pytest

from jaxlm.decoding import Sampling
from jaxlm.decoding import bytes as byte_models
from jaxlm.errors import UsageError
from tests.decoding.bytes import small_models

PROMPTS = [b"ab", b"", b"cabb"]
BEAM = byte_models.BeamSettings(num_candidates=4)


@functools.cache
def other_model():
    tokenizer = small_models.merges_tokenizer(b"cab", ((b"c", b"a"), (b"ca", b"b")))
    return byte_models.make_byte_model(small_models.loaded_model(tokenizer, init_std=0.6))


def ensemble(**options):
    return byte_models.ByteEnsemble([small_models.byte_model(), other_model()], **options)


def config(beam=BEAM, **options):
    return byte_models.ByteGenerationConfig(max_new_bytes=10, beam=beam, **options)


def assert_same(ours, theirs):
    for one, two in zip(ours, theirs, strict=True):
        assert (one.prompt, one.data, one.ended_by) == (two.prompt, two.data, two.ended_by)
        np.testing.assert_allclose(one.log_probs, two.log_probs, atol=1e-4)
        assert one.dropped == pytest.approx(two.dropped, abs=1e-5)


@pytest.mark.parametrize("pooling", ["mixture", "product"])
@pytest.mark.parametrize("rng", [None, 4], ids=["greedy", "drawn"])
def test_the_loop_writes_what_states_write(pooling, rng):
    together = ensemble(weights=[0.7, 0.4], pooling=pooling)
    first = together.state(functools.partial(byte_models.beam_state, settings=BEAM))
    keys = [None if rng is None else jax.random.key(rng) for _ in range(2)]
    ours = byte_models.generate_bytes(together, PROMPTS, config(), rng=keys[0])
    assert_same(ours, byte_models.generate_bytes(first, PROMPTS, config(beam=None), rng=keys[1]))
    assert any(text.data for text in ours)


@pytest.mark.parametrize("beam", [None, byte_models.BeamSettings(num_candidates=2)], ids=["tree", "beam"])
def test_what_is_left_out_is_that_of_the_member_that_loses_most(beam):
    """The tokens of the first member are bytes, of which nothing is left out."""
    size = dict(max_stems=1) if beam is None else {}
    letters = small_models.merges_tokenizer(merges=())
    certain = byte_models.make_byte_model(small_models.loaded_model(letters))
    lossy = byte_models.make_byte_model(small_models.loaded_model(small_models.merges_tokenizer()), **size)
    (alone,) = byte_models.generate_bytes(certain, b"abacab", config(beam))
    (text,) = byte_models.generate_bytes(byte_models.ByteEnsemble([certain, lossy]), b"abacab", config(beam))
    assert alone.dropped < 1e-6 < text.dropped < 1


def test_trees_write_together():
    together = ensemble()
    texts = byte_models.generate_bytes(together, PROMPTS, config(beam=None))
    state = together.state(byte_models.tree_state)
    assert [text.prompt + text.data for text in texts] == [state.greedy(prompt, 10) for prompt in PROMPTS]


@pytest.mark.parametrize("pooling", ["mixture", "product"])
def test_a_model_with_itself_writes_what_it_writes_alone(pooling):
    alone = byte_models.generate_bytes(other_model(), PROMPTS, config(stop_strings="cc"))
    twice = byte_models.ByteEnsemble([other_model()] * 2, pooling=pooling)
    assert_same(byte_models.generate_bytes(twice, PROMPTS, config(stop_strings="cc")), alone)


def test_members_differ_in_what_they_put_in_front_of_a_text():
    spaced, plain = small_models.byte_model("Llama"), small_models.byte_model("bytes", opening=(258,))
    assert spaced.prefix == b" " and not plain.prefix
    together = byte_models.ByteEnsemble([spaced, plain], [0.9, 0.1])
    first = together.state(functools.partial(byte_models.beam_state, settings=BEAM))
    ours = byte_models.generate_bytes(together, ["to be", "a"], config())
    assert_same(ours, byte_models.generate_bytes(first, ["to be", "a"], config(beam=None)))


def test_a_full_member_ends_the_text():
    tokenizer = small_models.merges_tokenizer(b"cab", ((b"c", b"a"),))
    short = byte_models.make_byte_model(small_models.loaded_model(tokenizer, max_length=6))
    together = byte_models.ByteEnsemble([small_models.byte_model(), short])
    (text,) = byte_models.generate_bytes(together, b"ab", config())
    assert text.ended_by in ("length", "end") and len(text.data) < 10


def test_bytes_sampling_and_stop_strings_are_those_of_the_ensemble():
    sampling = Sampling(temperature=0.5, top_k=3)
    texts = byte_models.generate_bytes(
        ensemble(), PROMPTS, config(byte_sampling=sampling, stop_strings=("b",)), rng=jax.random.key(1)
    )
    for text in texts:
        assert b"b" not in text.data
        assert len(text.log_probs) == len(text.data) + (text.ended_by != "length")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": []}, "at least one member: got none"),
        ({"weights": [1.0]}, "each of the 2 members has a weight above 0"),
        ({"pooling": "mean"}, "a mixture or a product: got 'mean'"),
    ],
    ids=repr,
)
def test_bad_ensembles_of_models_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        byte_models.ByteEnsemble(**({"members": [small_models.byte_model(), other_model()]} | options))


def test_members_are_byte_models():
    with pytest.raises(TypeError):
        byte_models.ByteEnsemble(["gpt2"])
