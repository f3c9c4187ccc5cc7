"""Tokens after bytes: covers and what follows them, against their enumeration."""

import functools

import jax
import numpy as np
import pytest

from jaxlm.decoding import GenerationConfig, Sampling
from jaxlm.decoding.bytes import BeamSettings, generate_after_bytes, make_byte_model
from jaxlm.errors import UsageError
from tests.decoding.bytes import oracle
from tests.decoding.bytes.small_models import MERGES, asked, byte_model, loaded_model
from tests.tokenizers.byte_kinds import kind

TOKENS, ENCODE = oracle.bpe(b"abc", MERGES)
NUM_DRAWS = 500
# 99.9% of a chi-square lie below, by degrees of freedom.
BOUNDS = {1: 10.8, 2: 13.8, 3: 16.3, 4: 18.5, 5: 20.5, 6: 22.5, 7: 24.3, 8: 26.1, 9: 27.9}
WIDE = BeamSettings(num_candidates=64)


def stem_covers(lm, text):
    """The covers whose ids but the last are canonical."""
    for size in range(len(text)):
        for id in lm.text_ids:
            if lm.token_bytes[id].startswith(text[size:]):
                yield (*ENCODE(text[:size]), id)


def shares(lm, covers):
    log_probs = {cover: lm.log_prob(cover) for cover in covers}
    total = oracle.log_sum(log_probs.values())
    return {cover: np.exp(log_prob - total) for cover, log_prob in log_probs.items()}


@functools.cache
def written(text, beam=None):
    """Many texts with one token behind the cover."""
    config = GenerationConfig(max_new_tokens=1)
    return generate_after_bytes(byte_model(), [text] * NUM_DRAWS, config, beam=beam, rng=jax.random.key(5))


def chi_square(drawn, probs):
    """The statistic and its bound; what is drawn fewer than five times on average counts together."""
    expected = {key: prob * len(drawn) for key, prob in probs.items()}
    assert set(drawn) <= set(expected) and abs(sum(expected.values()) - len(drawn)) < 1e-3
    rare = [key for key, mean in expected.items() if mean < 5]
    cells = [(drawn.count(key), mean) for key, mean in expected.items() if mean >= 5]
    if rare:
        cells.append((sum(map(drawn.count, rare)), sum(expected[key] for key in rare)))
    statistic = sum((count - mean) ** 2 / mean for count, mean in cells if mean > 0.5)
    return statistic, BOUNDS[min(max(len(cells) - 1, 1), 9)]


def next_byte(lm, cover, size):
    """The probabilities of the next byte behind a cover, and of the end, 256."""
    data = oracle.spelled(lm, cover)
    if len(data) > size:
        return {data[size]: 1.0}
    probs = {}
    for id, prob in enumerate(np.exp(lm.log_probs(cover))):
        key = 256 if id in lm.eos_ids else lm.token_bytes[id][0]
        probs[key] = probs.get(key, 0) + prob
    return probs


@pytest.mark.parametrize("text", [b"ab", b"a", b"abacab"])
@pytest.mark.parametrize("beam", [None, WIDE], ids=["canonical", "all"])
def test_covers_and_next_bytes_have_their_frequencies(text, beam):
    lm = asked(byte_model())
    exact = shares(lm, oracle.covers(lm, text) if beam else stem_covers(lm, text))
    texts = written(text, beam)
    statistic, bound = chi_square([tuple(own.cover.tolist()) for own in texts], exact)
    assert statistic < bound
    for own in texts[:20]:
        np.testing.assert_allclose(np.exp(own.cover_log_prob), exact[tuple(own.cover.tolist())], atol=1e-5)
    probs = {}
    for cover, share in exact.items():
        for key, prob in next_byte(lm, cover, len(text)).items():
            probs[key] = probs.get(key, 0) + share * prob
    statistic, bound = chi_square([own.data[0] if own.data else 256 for own in texts], probs)
    assert statistic < bound


def test_the_likeliest_cover_and_then_the_likeliest_tokens():
    lm, config = asked(byte_model()), GenerationConfig(max_new_tokens=4)
    prompts = [b"ab", b"abacab", b"", b"ca"]
    for text, own in zip(prompts, generate_after_bytes(byte_model(), prompts, config), strict=True):
        exact = shares(lm, stem_covers(lm, text)) if text else {(): 1.0}
        cover = max(exact, key=exact.get)
        assert tuple(own.cover.tolist()) == cover
        np.testing.assert_allclose(own.cover_log_prob, np.log(exact[cover]), atol=1e-5)
        tokens = []
        while len(tokens) < 4 and (not tokens or tokens[-1] not in lm.eos_ids):
            tokens.append(int(np.argmax(lm.log_probs((*cover, *tokens)))))
        assert own.tokens.tolist() == tokens
        assert own.ended_by == ("end" if tokens[-1] in lm.eos_ids else "length")
        spelled = b"".join(lm.token_bytes[id] or b"" for id in (*cover, *tokens))
        assert text + own.data == spelled and own.text == own.data.decode()


@pytest.mark.parametrize("name", ["byte-level", "Llama", "unigrams and bytes"])
def test_prompts_may_end_inside_a_token_or_a_character(name):
    model = byte_model(name)
    prompts = ["the ca", "the cats' ", "漢".encode()[:2], "", b"na\xc3"]
    texts = generate_after_bytes(model, prompts, GenerationConfig(max_new_tokens=3), rng=jax.random.key(0))
    for prompt, own in zip(prompts, texts, strict=True):
        data = prompt.encode() if isinstance(prompt, str) else prompt
        ids = [id for id in (*own.cover, *own.tokens) if id not in model.eos_ids]
        spelled = b"".join(model.token_bytes[id] or b"" for id in ids)
        if data:
            assert spelled == model.prefix + data + own.data
            before = b"".join(model.token_bytes[id] for id in own.cover[:-1])
            assert len(before) < len(model.prefix + data)


def test_a_text_does_not_depend_on_the_batch():
    """Of prompts whose covers are the same, too."""
    prompts, config = [b"ab", b"a", b"aba", b"ab"], GenerationConfig(max_new_tokens=3)
    options = {"rng": jax.random.key(2)}
    together = generate_after_bytes(byte_model(), prompts, config, **options)
    for prompt, own in zip(prompts[:3], together, strict=False):
        (alone,) = generate_after_bytes(byte_model(), prompt, config, **options)
        assert (alone.data, alone.cover.tolist()) == (own.data, own.cover.tolist())


def test_stop_strings_may_begin_in_the_cover():
    (whole,) = generate_after_bytes(byte_model(), b"c", GenerationConfig(max_new_tokens=8, stop_ids=()))
    for begin in range(len(whole.data) - 2):
        stop = whole.data[begin : begin + 2].decode()
        config = GenerationConfig(max_new_tokens=8, stop_ids=(), stop_strings=(stop,))
        (own,) = generate_after_bytes(byte_model(), b"c", config)
        first = whole.data.find(stop.encode())
        assert (own.data, own.ended_by) == (whole.data[:first], "stop_string")
        assert len(own.tokens) == len(own.log_probs) <= len(whole.tokens)


def test_canonical_covers_end_with_canonical_tokens():
    model = byte_model(probability="canonical")
    lm = asked(model)
    kept = [cover for cover in stem_covers(lm, b"ab") if ENCODE(oracle.spelled(lm, cover)) == cover]
    exact = shares(lm, kept)
    texts = generate_after_bytes(
        model, [b"ab"] * 40, GenerationConfig(max_new_tokens=1), rng=jax.random.key(1)
    )
    for own in texts:
        np.testing.assert_allclose(np.exp(own.cover_log_prob), exact[tuple(own.cover.tolist())], atol=1e-5)


def test_requests_are_checked():
    model = byte_model()
    assert generate_after_bytes(model, []) == []
    with pytest.raises(UsageError, match="leave token_sampling out"):
        warm = BeamSettings(num_candidates=2, token_sampling=Sampling(temperature=0.5))
        generate_after_bytes(model, b"a", beam=warm)
    with pytest.raises(UsageError, match="no token of this model can write the byte b'z'"):
        generate_after_bytes(model, b"az")
    unopened = make_byte_model(loaded_model(kind("words")[0], max_length=512, vocab_size=512))
    with pytest.raises(UsageError, match="no token that begins texts"):
        generate_after_bytes(unopened, b"")
