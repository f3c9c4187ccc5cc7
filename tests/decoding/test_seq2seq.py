"""What encoder-decoders write: transformers' own, in any batch, and the cache against the full forward."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from jaxlm.decoding._cached_rows import read_prompts, read_token
from tests.decoding.conftest import loaded_from, log_softmax

pytest.importorskip("transformers")
from tests.decoding.oracle import Symbols
from tests.decoding.oracle_seq2seq import KINDS, oracle, torch

PROMPTS = [[3, 7, 1], [9], [5, 5, 2, 11, 6]]
SEARCHES = [
    {},
    {"num_beams": 3},
    {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
    {"num_beams": 3, "length_penalty": 0.0, "early_stopping": "never"},
]
ASKED = {
    "forced_bos_token_id": 6,
    "forced_eos_token_id": 4,
    "bad_words_ids": [[0], [8]],
    "num_beams": 2,
}
# Float32 sums in another order, of logits of order ten
CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    return oracle(request.param)


def loaded(case):
    return loaded_from(*case[1:3], Symbols(), "seq2seq_lm")


def run(case, prompts=PROMPTS, rng=None, **options):
    config = decoding.GenerationConfig(**{"max_new_tokens": 9, "stop_ids": (4,), **options})
    return decoding.generate(loaded(case), prompts, config, rng=rng)


def theirs(case, prompt, **options):
    result = case.theirs.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=9,
        eos_token_id=4,
        pad_token_id=0,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    score = getattr(result, "sequences_scores", None)
    return result.sequences[0, 1:].tolist(), None if score is None else float(score[0])


@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_equals_transformers(case, options):
    for prompt, ours in zip(PROMPTS, run(case, **options), strict=True):
        tokens, score = theirs(case, prompt, **options)
        assert ours.tokens.tolist() == tokens
        assert ours.text == Symbols().decode(tokens[:-1] if tokens[-1] == 4 else tokens)
        if score is not None:
            # Float32 sums of nine log-probs
            assert ours.score == pytest.approx(score, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_what_must_or_may_not_be_chosen_equals_transformers(case, num_beams):
    asked = {"forbidden_ids": (0, 8), "first_id": 6, "last_id": 4, "num_beams": num_beams}
    for prompt, ours in zip(PROMPTS, run(case, **asked), strict=True):
        tokens, score = theirs(case, prompt, **{**ASKED, "num_beams": num_beams})
        assert ours.tokens.tolist() == tokens and tokens[0] == 6
        assert ours.text == Symbols().decode(tokens[1:-1] if tokens[-1] == 4 else tokens[1:])
        if score is not None:
            assert ours.score == pytest.approx(score, rel=1e-6, abs=1e-5)


def full_logits(case, prompt, written):
    """Of every place, by a forward of both texts as a whole."""
    source = models.Inputs(tokens=jnp.array([prompt]))
    inputs = models.Inputs(tokens=jnp.array([[0, *written]]), encoder=source)
    hidden = case.model.apply({"params": case.params}, inputs).hidden
    return np.asarray(case.model.apply({"params": case.params}, hidden, method="logits"))[0]


def test_log_probs_are_the_model_s_own(case):
    (found,) = run(case, PROMPTS[:1], stop_ids=())
    logits = full_logits(case, PROMPTS[0], found.tokens[:-1].tolist())
    expected = [log_softmax(row)[token] for row, token in zip(logits, found.tokens, strict=True)]
    np.testing.assert_allclose(found.log_probs, expected, **CLOSE)


SAMPLING = decoding.Sampling(temperature=1.5, top_k=12, repetition_penalty=1.3)


def test_a_prompt_draws_the_same_in_any_batch(case):
    rng = jax.random.key(5)
    together = run(case, rng=rng, sampling=SAMPLING)
    alone = [run(case, [prompt], rng=rng, sampling=SAMPLING)[0] for prompt in PROMPTS]
    for one, single in zip(together, alone, strict=True):
        assert one.tokens.tolist() == single.tokens.tolist()
        np.testing.assert_allclose(one.log_probs, single.log_probs, **CLOSE)


def test_reading_through_the_cache_is_the_full_forward(case):
    prompt, written = PROMPTS[2], [3, 9, 9, 2, 14, 7]
    rows = jnp.array([[*prompt, 13, 13]])  # what follows is no prompt
    step = jax.jit(read_token, static_argnums=0)
    logits, reading = jax.jit(read_prompts, static_argnums=(0, 4))(
        case.model, case.params, rows, jnp.array([len(prompt)]), 9
    )
    found = [logits[0]]
    for token in written:
        logits, reading = step(case.model, case.params, reading, jnp.array([token]), jnp.array([True]))
        found.append(logits[0])
    # Logits of order ten
    np.testing.assert_allclose(np.stack(found), full_logits(case, prompt, written), rtol=0, atol=1e-5)


def test_a_stream_ends_in_what_generate_returns():
    case = oracle("t5")
    *_, last = decoding.stream(loaded(case), PROMPTS, decoding.GenerationConfig(max_new_tokens=9))
    expected = run(case, stop_ids=None)
    assert [one.tokens.tolist() for one in last] == [one.tokens.tolist() for one in expected]


def test_the_context_bounds_both_texts():
    case = oracle("marian")
    found = run(case, [[5] * 32, [6]], max_new_tokens=40, stop_ids=())
    assert [len(one.tokens) for one in found] == [32, 32]
    with pytest.raises(ValueError, match="the model reads at most 32"):
        run(case, [[5] * 33])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"first_id": 10**6}, "first_id lies in 0..22, the model's ids: got 1000000"),
        ({"last_id": -1}, "last_id lies in 0..22, the model's ids: got -1"),
        ({"forbidden_ids": (3, 23), "num_beams": 2}, "forbidden_ids lies in 0..22, the model's ids: got 23"),
    ],
)
def test_rules_name_ids_of_the_model(asked, told):
    with pytest.raises(ValueError, match=told):
        run(oracle("t5"), **asked)


def test_what_reads_or_fills_one_text_refuses_an_encoder_decoder():
    case = oracle("t5")
    with pytest.raises(ValueError, match=r"encoder-decoder .* fills no masks; use generate"):
        decoding.fill(loaded(case), "a")
    with pytest.raises(ValueError, match="encoder-decoder does not continue a text"):
        decoding.next_tokens(loaded(case), ["a"])
    with pytest.raises(ValueError, match="encoder-decoder does not continue a text"):
        decoding.CachedLM(case.model, case.params)


def test_relative_positions_bound_no_text():
    case = oracle("t5")
    short = models.build(dataclasses.replace(case.model.config, max_length=4), "seq2seq_lm")
    for options in ({}, {"num_beams": 2}):
        expected = run(case, PROMPTS[2:], **options)
        found = run(case._replace(model=short), PROMPTS[2:], **options)
        assert found[0].tokens.tolist() == expected[0].tokens.tolist() and len(PROMPTS[2]) > 4


def test_a_decoder_without_a_first_token_is_refused():
    sizes = {"vocab_size": 23, "width": 8, "depth": 1, "num_heads": 2}
    config = models.TransformerConfig(**sizes, decoder=models.DecoderConfig())
    with pytest.raises(ValueError, match=r"got decoder\.start_id=None; set it in the config"):
        decoding.generate(loaded_from(models.build(config, "seq2seq_lm"), {}, Symbols(), "seq2seq_lm"), [[1]])
