"""Generation against the slow way, a forward of the whole text for every token, and what must not matter."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from jaxlm.decoding._decode_loop import choose_tokens
from tests.decoding.conftest import loaded_from, log_softmax

PROMPTS = ["ab", "the longer of three", "x"]
SCHEMES = {
    "learned": {},
    "rotary window": {"position": "rotary", "num_kv_heads": 2, "window": 5, "norm": "rms"},
    "instruction": {"position": models.Instruction(next_id=101)},
}
# Float32 sums in another order, of logits of order ten
CLOSE = {"rtol": 0, "atol": 1e-4}


def config(**options):
    return decoding.GenerationConfig(**{"max_new_tokens": 10, "stop_ids": (), **options})


def run(case, tokenizer, prompts=PROMPTS, rng=None, **options):
    return decoding.generate(loaded_from(*case[1:3], tokenizer), prompts, config(**options), rng=rng)


def greedy(case, prompt, count, change=lambda logits, text: logits):
    """The slow way: tokens and their log-probs under the model."""
    text, log_probs = list(prompt), []
    for _ in range(count):
        logits = case.logits(text)
        token = int(np.argmax(change(logits, text)))
        log_probs.append(log_softmax(logits)[token])
        text.append(token)
    return text[len(prompt) :], log_probs


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_greedy_is_the_argmax_of_a_full_forward_each_time(writer, tokenizer, scheme):
    case = writer(**scheme)
    for text, found in zip(PROMPTS, run(case, tokenizer), strict=True):
        tokens, log_probs = greedy(case, tokenizer.encode(text), 10)
        assert found.tokens.tolist() == tokens
        np.testing.assert_allclose(found.log_probs, log_probs, **CLOSE)
        assert found.log_likelihood == pytest.approx(sum(log_probs), abs=1e-3)
        assert found.ended_by == "length" and found.prompt.tolist() == tokenizer.encode(text).tolist()


def test_a_penalty_sees_prompt_and_continuation(writer, tokenizer):
    def penalized(logits, text):
        there = np.isin(np.arange(logits.size), text)
        return np.where(there, np.where(logits < 0, logits * 1.8, logits / 1.8), logits)

    case, sampling = writer(), decoding.Sampling(repetition_penalty=1.8)
    for text, found in zip(PROMPTS, run(case, tokenizer, sampling=sampling), strict=True):
        tokens, log_probs = greedy(case, tokenizer.encode(text), 10, penalized)
        assert found.tokens.tolist() == tokens
        np.testing.assert_allclose(found.log_probs, log_probs, **CLOSE)


def test_ids_that_may_not_and_that_must_be_chosen(writer, tokenizer):
    case = writer()
    prompt = tokenizer.encode(PROMPTS[0])
    forbidden = tuple(greedy(case, prompt, 3)[0])
    first, last = 70, 71

    def changed(logits, text):
        place = len(text) - len(prompt)
        forced = {0: first, 5: last}.get(place)
        alone = np.where(np.arange(logits.size) == forced, logits, -np.inf)
        return (
            np.where(np.isin(np.arange(logits.size), forbidden), -np.inf, logits) if forced is None else alone
        )

    asked = {"forbidden_ids": forbidden, "first_id": first, "last_id": last, "max_new_tokens": 6}
    (found,) = run(case, tokenizer, PROMPTS[:1], **asked)
    tokens, log_probs = greedy(case, prompt, 6, changed)
    assert found.tokens.tolist() == tokens and (tokens[0], tokens[-1]) == (first, last)
    np.testing.assert_allclose(found.log_probs, log_probs, **CLOSE)
    assert found.text == tokenizer.decode(tokens[1:])


SAMPLING = decoding.Sampling(temperature=1.5, top_k=50, top_p=0.95)


def test_a_prompt_draws_the_same_in_any_batch(writer, tokenizer):
    case, rng = writer(), jax.random.key(5)
    together = run(case, tokenizer, rng=rng, sampling=SAMPLING)
    turned = run(case, tokenizer, PROMPTS[::-1], rng=rng, sampling=SAMPLING)[::-1]
    alone = [run(case, tokenizer, [text], rng=rng, sampling=SAMPLING)[0] for text in PROMPTS]
    for one, other, single in zip(together, turned, alone, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist() == single.tokens.tolist()
        np.testing.assert_allclose(one.log_probs, single.log_probs, **CLOSE)
    assert (
        together[0].tokens.tolist()
        != run(case, tokenizer, PROMPTS[:1], rng=jax.random.key(6), sampling=SAMPLING)[0].tokens.tolist()
    )


def test_equal_prompts_draw_apart(writer, tokenizer):
    found = run(writer(), tokenizer, ["ab"] * 4, rng=jax.random.key(0), sampling=SAMPLING)
    assert len({tuple(one.tokens.tolist()) for one in found}) == 4


def test_draws_follow_the_distribution():
    logits = jnp.array([[0.0, 1.0, -1.0, 2.0, -jnp.inf]])
    names = jnp.stack([jnp.arange(20000, dtype=jnp.uint32), jnp.zeros(20000, jnp.uint32)], axis=1)
    drawn = jax.jit(choose_tokens)(
        jnp.tile(logits, (20000, 1)), jax.random.key(1), names, jnp.full(20000, 3, jnp.int32)
    )
    probs = np.exp(log_softmax(np.array([0.0, 1.0, -1.0, 2.0])))
    counts = np.bincount(np.asarray(drawn), minlength=5)
    deviations = (counts[:4] - 20000 * probs) / np.sqrt(20000 * probs * (1 - probs))
    assert counts[4] == 0 and np.abs(deviations).max() < 4.5  # chance of more: one in 40,000


def test_a_stop_id_ends_its_own_row_only(writer, tokenizer):
    case = writer()
    free = run(case, tokenizer)
    stop = int(free[1].tokens[4])
    for one, found in zip(free, run(case, tokenizer, stop_ids=(300000, stop)), strict=True):
        places = np.flatnonzero(one.tokens == stop)
        size = places[0] + 1 if places.size else one.tokens.size
        assert found.tokens.tolist() == one.tokens[:size].tolist()
        assert found.ended_by == ("stop" if places.size else "length")
        cut = found.tokens[:-1] if places.size else found.tokens
        assert found.text == tokenizer.decode(cut)
        np.testing.assert_allclose(found.log_probs, one.log_probs[:size], **CLOSE)


def test_the_context_ends_a_text(writer, tokenizer):
    case = writer()
    prompts = [np.full(47, 65, np.int32), np.full(40, 66, np.int32), np.array([67], np.int32)]
    found = run(case, tokenizer, prompts, max_new_tokens=20)
    assert [len(one.tokens) for one in found] == [1, 8, 20]


def ascii_writer(writer):
    """A model that writes letters: its other logits are pushed down by the head's bias."""
    case = writer(head="linear", head_bias=True)
    bias = np.full(case.config.vocab_size, -100, np.float32)
    bias[97:123] = 0
    return case._replace(params={**case.params, "head": {"decode": {"bias": bias}}})


def test_stop_strings_end_a_text_before_them(writer, tokenizer):
    case, rng = ascii_writer(writer), jax.random.key(2)
    free = run(case, tokenizer, max_new_tokens=25, rng=rng, sampling=SAMPLING)
    strings = (free[0].text[9:11], free[1].text[20:23])
    found = run(case, tokenizer, max_new_tokens=25, rng=rng, sampling=SAMPLING, stop_strings=strings)
    for one, cut in zip(free, found, strict=True):
        places = [one.text.find(string) for string in strings]
        ends = [
            (place, place + len(string)) for place, string in zip(places, strings, strict=True) if place >= 0
        ]
        if not ends:
            assert cut.text == one.text and cut.ended_by == "length"
            continue
        place, end = min(ends)
        assert (cut.text, cut.ended_by) == (one.text[:place], "stop_string")
        assert cut.tokens.tolist() == one.tokens[:end].tolist()  # a letter is a token
        assert len(cut.log_probs) == end
    assert found[0].ended_by == found[1].ended_by == "stop_string"


@pytest.mark.parametrize("every", [1, 4])
def test_a_stream_grows_into_what_generate_returns(writer, tokenizer, every):
    case, rng = ascii_writer(writer), jax.random.key(2)
    stop = run(case, tokenizer, rng=rng, max_new_tokens=20, sampling=SAMPLING)[0].text[6:8]
    options = {"max_new_tokens": 20, "sampling": SAMPLING, "stop_strings": (stop,)}
    expected = run(case, tokenizer, rng=rng, **options)
    seen = list(
        decoding.stream(loaded_from(*case[1:3], tokenizer), PROMPTS, config(**options), rng=rng, every=every)
    )
    for before, after in itertools.pairwise(seen):
        for old, new in zip(before, after, strict=True):
            assert new.text.startswith(old.text) and len(new.tokens) >= len(old.tokens)
    assert [(one.text, one.ended_by, one.tokens.tolist()) for one in seen[-1]] == [
        (one.text, one.ended_by, one.tokens.tolist()) for one in expected
    ]


def test_characters_are_streamed_whole(writer, tokenizer):
    """The model is made to spell: after a byte of the snowman comes the next one."""
    case = writer(position="none", depth=1, head="linear", tie_embeddings=False, head_bias=False)
    spelled = "☃é".encode()
    params = jax.tree.map(np.zeros_like, case.params)
    table, decode = np.zeros((2, case.config.vocab_size, 16), np.float32)
    for place, byte in enumerate(b"a" + spelled):
        table[byte] = np.eye(16)[place]
        decode[(spelled + b"!")[place]] += 10 * np.eye(16)[place]
    params["body"]["embeddings"]["token"]["embedding"] = table
    params["body"]["final_norm"]["scale"] = np.ones(16, np.float32)
    params["head"]["decode"]["kernel"] = decode
    texts = [
        pieces[0].text
        for pieces in decoding.stream(
            loaded_from(case.model, params, tokenizer), ["a"], config(max_new_tokens=6)
        )
    ]
    assert texts == ["", "", "☃", "☃", "☃é", "☃é!"]


def test_ids_without_a_token_are_no_text(writer, tokenizer):
    """A model may have more rows than its tokenizer has tokens: here it likes one of them best."""
    case = writer(vocab_size=300, head="linear", head_bias=True)
    bias = np.zeros(300, np.float32)
    bias[280] = 1000
    params = {**case.params, "head": {"decode": {"bias": bias}}}
    found = decoding.generate(loaded_from(case.model, params, tokenizer), ["ab"], config(max_new_tokens=2))
    assert (found[0].tokens.tolist(), found[0].text) == ([280, 280], "")


def test_no_prompts_and_refusals(writer, tokenizer):
    case = writer()
    assert run(case, tokenizer, []) == []
    with pytest.raises(ValueError, match=r"48 tokens long and 1 more must fit, and .* at most 48"):
        run(case, tokenizer, ["a" * 48])
    with pytest.raises(ValueError, match="the prompt is empty"):
        run(case, tokenizer, [""])
    with pytest.raises(ValueError, match=r"ids lie in 0..259: got 5..260"):
        run(case, tokenizer, [np.array([5, 260])])
    with pytest.raises(TypeError, match="a text is a string or a row of ids: got"):
        run(case, tokenizer, [np.array([0.5])])
    with pytest.raises(ValueError, match="max_new_tokens is at least 1: got 0"):
        config(max_new_tokens=0)
    with pytest.raises(ValueError, match="an empty one"):
        config(stop_strings=("a", ""))
    with pytest.raises(ValueError, match="beam search ends at stop_ids only"):
        config(num_beams=2, stop_strings=("a",))
    with pytest.raises(ValueError, match="takes the model's distribution as it is"):
        config(num_beams=2, sampling=SAMPLING)
    with pytest.raises(ValueError, match="beam search draws nothing"):
        run(case, tokenizer, num_beams=2, rng=jax.random.key(0))
    with pytest.raises(ValueError, match="a stream has one beam"):
        list(decoding.stream(loaded_from(*case[1:3], tokenizer), PROMPTS, config(), every=0))


@pytest.mark.parametrize("values", [{"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}])
@pytest.mark.parametrize("write", [decoding.generate, decoding.stream])
def test_draws_without_a_key_are_refused(writer, tokenizer, write, values):
    case = writer()
    config = decoding.GenerationConfig(sampling=decoding.Sampling(**values))
    with pytest.raises(ValueError, match="changes draws, and no token is drawn without a key: give rng"):
        list(write(loaded_from(*case[1:3], tokenizer), ["a"], config))
