"""Generation of bytes: the compiled loop against steps of states, and what ends a text."""

import asyncio
import dataclasses

import jax
import numpy as np
import pytest

from jaxlm.decoding import Sampling
from jaxlm.decoding.bytes import (
    BeamSettings,
    ByteGenerationConfig,
    ByteLogProbs,
    StatefulByteLM,
    beam_state,
    generate_bytes,
    make_byte_model,
    tree_state,
)
from jaxlm.decoding.bytes._utf8 import MISSING, NEXT_STATES, START, utf8_state
from jaxlm.errors import UsageError
from tests.decoding.bytes.small_models import byte_model, loaded_model, merges_tokenizer

BEAM = BeamSettings(num_candidates=3)
LONG = ByteGenerationConfig(max_new_bytes=12, beam=BEAM)
PROMPTS = [b"ab", b"", b"abcab", b"ab"]
KEY = jax.random.key(3)


def same(found, expected):
    for own, other in zip(found, expected, strict=True):
        assert own._replace(log_probs=None, dropped=0) == other._replace(log_probs=None, dropped=0)
        np.testing.assert_allclose(own.log_probs, other.log_probs, rtol=0, atol=1e-5)
        assert own.dropped == pytest.approx(other.dropped, abs=1e-5)


@pytest.mark.parametrize("rng", [None, KEY], ids=["greedy", "drawn"])
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=1.5, top_k=2)], ids=["plain", "changed"]
)
def test_the_loop_writes_what_states_write(rng, sampling):
    if rng is None and sampling.draws:
        return
    model, config = byte_model("merges"), dataclasses.replace(LONG, byte_sampling=sampling)
    found = generate_bytes(model, PROMPTS, config, rng=rng)
    own = dataclasses.replace(config, beam=None)
    same(found, generate_bytes(beam_state(model, BEAM), PROMPTS, own, rng=rng))
    assert rng is None or found[0].data != found[3].data


def test_a_text_does_not_depend_on_the_batch():
    model = byte_model("merges")
    together = generate_bytes(model, PROMPTS, LONG, rng=KEY)
    same(together[:3], [generate_bytes(model, prompt, LONG, rng=KEY)[0] for prompt in PROMPTS[:3]])


def test_log_probs_are_those_of_the_model():
    """The chain rule over the text, with its end if it has one."""
    model = byte_model("merges")
    for written in generate_bytes(model, PROMPTS, LONG, rng=KEY):
        state, expected = beam_state(model, BEAM).prefill(written.prompt), []
        for byte in (*written.data, *([256] if written.ended_by == "end" else [])):
            expected.append(state.logp_next()[byte])
            state = state << byte
        np.testing.assert_allclose(written.log_probs, expected, rtol=0, atol=1e-5)
        assert written.log_likelihood == pytest.approx(sum(expected), abs=1e-4)
        assert written.text.encode() == written.data


def test_a_tree_that_is_full_is_made_compact(monkeypatch):
    """With room for few turns: the same text, after many compactions."""
    from jaxlm.decoding.bytes import _beam_texts

    model, config = byte_model("merges"), dataclasses.replace(LONG, max_new_bytes=40)
    expected = generate_bytes(model, PROMPTS, config, rng=KEY)
    compactions = []
    real = _beam_texts.compact_beam_loop
    monkeypatch.setattr(_beam_texts, "compact_beam_loop", lambda loop: compactions.append(1) or real(loop))
    monkeypatch.setattr(_beam_texts, "_SPARE_TURNS", 0)
    same(generate_bytes(model, PROMPTS, config, rng=KEY), expected)
    assert compactions


@pytest.mark.parametrize("engine", ["beam", "tree"])
def test_stop_strings_end_a_text(engine):
    model = byte_model("merges")
    config = dataclasses.replace(LONG, max_new_bytes=40, beam=BEAM if engine == "beam" else None)
    (whole,) = generate_bytes(model, b"abcab", config)
    stop = whole.data[5:7]
    end = whole.data.find(stop)
    (written,) = generate_bytes(model, b"abcab", dataclasses.replace(config, stop_strings=(stop, b"zz")))
    assert written.ended_by == "stop_string" and written.data == whole.data[:end]
    assert len(written.log_probs) == end + 2
    np.testing.assert_allclose(written.log_probs, whole.log_probs[: end + 2], rtol=0, atol=1e-5)


def test_the_tree_is_the_default():
    model, config = byte_model("merges"), ByteGenerationConfig(max_new_bytes=8)
    found = generate_bytes(model, PROMPTS, config)
    same(found, generate_bytes(tree_state(model), PROMPTS, config))
    assert [written.prompt + written.data for written in found if written.ended_by == "length"] == [
        tree_state(model).greedy(prompt, 8)
        for prompt, written in zip(PROMPTS, found, strict=True)
        if written.ended_by == "length"
    ]


def test_utf8_is_kept_valid_where_it_is_asked_for():
    """A model of random weights over bytes: with the option every text decodes, also one that is cut."""
    model = byte_model("bytes", opening=(258,))
    prompts = [b"a", "é".encode()[:1], "日".encode()[:2], b"\xff"]
    for limit in (1, 2, 7):
        config = ByteGenerationConfig(max_new_bytes=limit, beam=BEAM, valid_utf8=True)
        for prompt, written in zip(prompts, generate_bytes(model, prompts, config, rng=KEY), strict=True):
            (prompt + written.data).removeprefix(b"\xff").decode()
    free = ByteGenerationConfig(max_new_bytes=40, beam=BEAM)
    with pytest.raises(UnicodeDecodeError):
        generate_bytes(model, prompts, free, rng=KEY)[0].data.decode()


def test_states_of_characters_are_those_of_python():
    """Code points of every length and at every border; and every pair of bytes is judged as Python does."""
    for code in [*range(0, 0x800, 7), 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]:
        text, state = chr(code).encode(), START
        for size, byte in enumerate(text, start=1):
            state = int(NEXT_STATES[state, byte])
            assert state >= 0 and MISSING[state] == len(text) - size
    rests = (b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\x90\x80\x80")
    for first in range(256):
        for second in range(256):
            state = NEXT_STATES[START, first]
            state = NEXT_STATES[state, second] if state >= 0 else state
            # Followed by what is missing, the pair is text for Python if it is for the table.
            fits = any(decodes(bytes([first, second]) + rest) for rest in rests)
            assert fits == (state >= 0)
    assert utf8_state(b"\xff") == START and MISSING[utf8_state(b"a\xe6")] == 2


def decodes(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("first", [tree_state, beam_state], ids=["tree", "beam"])
def test_a_state_writes_as_far_as_the_model_reads(first):
    model = make_byte_model(loaded_model(merges_tokenizer(), max_length=8), eos_ids=())
    state, config = first(model), ByteGenerationConfig(max_new_bytes=40)
    prompts = [b"ab", b"cabc"]
    expected = [written.prompt + written.data for written in generate_bytes(state, prompts, config)]
    assert all(len(text) < 40 for text in expected)
    assert [state.greedy(prompt, steps=40) for prompt in prompts] == expected

    async def together():
        return await asyncio.gather(*(state.greedy_async(prompt, steps=40) for prompt in prompts))

    # One that the model can read no more of does not end another.
    assert asyncio.run(together()) == expected
    drawn = state.sample(b"ab", steps=40, rng=KEY)
    assert drawn.startswith(b"ab") and len(drawn) < 40
    with pytest.raises(UsageError, match="the model reads at most 8"):
        state.greedy(b"c" * 20, steps=1)


def test_a_text_ends_where_the_model_reads_no_more():
    """The model reads 512 tokens; here a copy of it that reads 8."""
    model = make_byte_model(loaded_model(merges_tokenizer(), max_length=8), eos_ids=())
    config = dataclasses.replace(LONG, max_new_bytes=40)
    found = generate_bytes(model, [b"ab", b"c"], config, rng=KEY)
    same(
        found,
        generate_bytes(
            beam_state(model, BEAM), [b"ab", b"c"], dataclasses.replace(config, beam=None), rng=KEY
        ),
    )
    assert all(written.ended_by == "length" and 3 <= len(written.data) < 40 for written in found)
    with pytest.raises(ValueError, match="the model reads at most 8"):
        generate_bytes(model, b"c" * 20, config)


class Echo(StatefulByteLM):
    """A state of one's own with coroutine functions and 258 slots: `ab` and the end."""

    def __init__(self, text=b""):
        self.text = text

    async def __lshift__(self, byte):
        return Echo(self.text + bytes([byte]))

    async def logp_next(self):
        log_probs = np.full(258, -np.inf)
        log_probs[{b"": 97, b"a": 98}.get(self.text[-2:], 257)] = 0
        return ByteLogProbs(log_probs)


def test_states_of_ones_own_write_texts():
    found = generate_bytes(Echo(), [b"", b"a"], ByteGenerationConfig(max_new_bytes=5))
    assert [(written.data, written.ended_by) for written in found] == [(b"ab", "end"), (b"b", "end")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_bytes": 0}, "max_new_bytes is at least 1: got 0"),
        ({"stop_strings": ("",)}, "a stop string holds at least one byte"),
        ({"byte_sampling": Sampling(repetition_penalty=1.1)}, "a repetition penalty is for tokens"),
        ({"byte_sampling": Sampling(top_k=0)}, "top_k is"),
    ],
)
def test_configs_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        ByteGenerationConfig(**options)


def test_requests_are_checked():
    model = byte_model("merges")
    assert generate_bytes(model, []) == []
    with pytest.raises(ValueError, match="no byte is drawn without a key"):
        generate_bytes(model, b"a", ByteGenerationConfig(byte_sampling=Sampling(temperature=0.5)))
    with pytest.raises(ValueError, match="leave beam out"):
        generate_bytes(beam_state(model), b"a", LONG)
    with pytest.raises(ValueError, match="no byte can follow"):
        generate_bytes(model, b"xyz", LONG)
