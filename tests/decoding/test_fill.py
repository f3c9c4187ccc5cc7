import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models, tokenizers
from jaxlm.decoding._fill_masks import fill_masks
from tests.decoding.conftest import loaded_from

TRACES = ["mov rax 42 [NEXT] xor rbx rbx [NEXT] ret", "push rbp [NEXT] mov rbp rsp [NEXT] pop rbp [NEXT] ret"]
# float32 sums over rows of other lengths are taken in another order: 1e-5 of a probability of about 1/300.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.train_instructions(TRACES, vocab_size=450)


def tiny(tokenizer, **changes):
    """A tiny model with weights large enough for predictions to depend on the neighbours."""
    config = models.TransformerConfig(
        vocab_size=tokenizer.vocab_size, width=16, depth=1, num_heads=2, max_length=64, init_std=0.4
    )
    model = models.build(dataclasses.replace(config, **changes))
    return model, jax.jit(model.init)(jax.random.key(1), jnp.zeros((1, 4), jnp.int32))["params"]


@pytest.fixture(scope="module")
def learned(tokenizer):
    return tiny(tokenizer)


def masked(model, params, tokenizer):
    return loaded_from(model, params, tokenizer, "masked_lm")


@functools.partial(jax.jit, static_argnames="model")
def all_logits(model, params, tokens):
    hidden = model.apply({"params": params}, tokens).hidden
    return model.apply({"params": params}, hidden, method="logits")


def probabilities(model, params, tokenizer, ids):
    """The slow way: every position of one unpadded text, a float64 softmax over ids that are no special."""
    tokens = jnp.asarray(ids)[None]
    logits = np.array(all_logits(model, params, tokens)[0], np.float64)
    logits[:, list(tokenizer.special_ids)] = -np.inf
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def test_parallel_is_the_argmax_at_each_mask_of_the_text_as_given(tokenizer, learned):
    text = "mov [MASK] 42 [NEXT] xor [MASK] rbx [NEXT] [MASK]"
    ids = tokenizer.encode(text)
    filled = decoding.fill(masked(*learned, tokenizer), text, top_k=4)
    expected = probabilities(*learned, tokenizer, ids)
    assert [prediction.position for prediction in filled.predictions] == np.flatnonzero(ids == 4).tolist()
    for prediction in filled.predictions:
        best = np.argsort(-expected[prediction.position])[:4]
        assert [one.token_id for one in prediction.candidates] == best.tolist()
        np.testing.assert_allclose(
            [one.probability for one in prediction.candidates], expected[prediction.position][best], **CLOSE
        )
        assert [one.token for one in prediction.candidates] == [tokenizer.token(id) for id in best]
        assert (prediction.token, prediction.probability) == prediction.candidates[0][1:]
    chosen = np.where(ids == 4, expected.argmax(axis=-1), ids)
    np.testing.assert_array_equal(filled.tokens, chosen)
    assert filled.text == tokenizer.decode(chosen)


@pytest.mark.parametrize("position", ["learned", "instruction", "rotary"])
def test_iterative_fills_the_most_confident_first_and_looks_again(tokenizer, position):
    next_id = tokenizer.specials.next
    scheme = models.Instruction(next_id=next_id) if position == "instruction" else position
    model = tiny(tokenizer, position=scheme)
    text = "mov [MASK] [MASK] [NEXT] xor [MASK] rbx [NEXT] [MASK] rbp [NEXT] [MASK]"
    filled = decoding.fill(masked(*model, tokenizer), text, top_k=3, method="iterative")
    ids, found = tokenizer.encode(text), {}
    while (ids == 4).any():
        expected = probabilities(*model, tokenizer, ids)
        best = max(np.flatnonzero(ids == 4), key=lambda place: expected[place].max())
        found[int(best)] = expected[best]
        ids[best] = expected[best].argmax()
    np.testing.assert_array_equal(filled.tokens, ids)
    for prediction in filled.predictions:
        top = np.sort(found[prediction.position])[::-1][:3]
        np.testing.assert_allclose([one.probability for one in prediction.candidates], top, **CLOSE)


def test_the_two_methods_differ_where_masks_depend_on_each_other(tokenizer, learned):
    text = "mov [MASK] [MASK] [NEXT] [MASK] [MASK] [MASK] [NEXT] [MASK]"
    parallel, iterative = (
        decoding.fill(masked(*learned, tokenizer), text, method=method)
        for method in ("parallel", "iterative")
    )
    assert parallel.tokens.tolist() != iterative.tokens.tolist()


def test_a_batch_gives_each_text_what_it_gets_alone(tokenizer, learned):
    texts = [
        "[MASK]",
        "push [MASK] [NEXT] " * 9 + "ret",
        "mov rax [MASK] [NEXT] [MASK]",
        tokenizer.encode("xor [MASK]"),
    ]
    for method in ("parallel", "iterative"):
        together = decoding.fill_batch(masked(*learned, tokenizer), texts, method=method)
        for text, filled in zip(texts, together, strict=True):
            alone = decoding.fill(masked(*learned, tokenizer), text, method=method)
            np.testing.assert_array_equal(filled.tokens, alone.tokens)
            assert [one.position for one in filled.predictions] == [one.position for one in alone.predictions]
            np.testing.assert_allclose(
                [one.probability for one in filled.predictions],
                [one.probability for one in alone.predictions],
                **CLOSE,
            )


def test_specials_are_never_predicted_and_the_others_sum_to_one(tokenizer, learned):
    model, params = learned
    # A bias that makes the model all but sure of [NEXT] and [PAD].
    bias = params["head"]["decode"]["bias"].at[jnp.array([0, 5])].set(100.0)
    params = {**params, "head": {**params["head"], "decode": {"bias": bias}}}
    everything = tokenizer.vocab_size
    filled = decoding.fill(masked(model, params, tokenizer), "mov [MASK] 42", top_k=everything)
    candidates = filled.predictions[0].candidates
    assert len(candidates) == everything - len(tokenizer.special_ids)
    assert not {one.token_id for one in candidates} & set(tokenizer.special_ids)
    # 300 float32 exponentials.
    assert sum(one.probability for one in candidates) == pytest.approx(1, abs=1e-5)


def test_ids_that_only_the_model_has_are_never_predicted(tokenizer):
    model, params = tiny(tokenizer, vocab_size=tokenizer.vocab_size + 8)
    bias = params["head"]["decode"]["bias"].at[-8:].set(100.0)
    params = {**params, "head": {**params["head"], "decode": {"bias": bias}}}
    filled = decoding.fill(masked(model, params, tokenizer), "mov [MASK] 42")
    assert all(one.token_id < tokenizer.vocab_size for one in filled.predictions[0].candidates)


def test_calls_of_about_the_same_size_share_one_compilation(tokenizer, learned):
    before = fill_masks._cache_size()
    for text in ("mov [MASK] 42 [NEXT] ret", "[MASK]", "push [MASK] [NEXT] pop rbp [NEXT] ret"):
        decoding.fill(masked(*learned, tokenizer), text, top_k=2, method="iterative")
    assert fill_masks._cache_size() == before + 1


def test_bfloat16_models_report_float32_probabilities(tokenizer):
    model, params = tiny(tokenizer, dtype="bfloat16")
    filled = decoding.fill(masked(model, params, tokenizer), "mov [MASK] 42", top_k=tokenizer.vocab_size)
    # A sum of 300 bfloat16 numbers would miss 1 by far more.
    assert sum(one.probability for one in filled.predictions[0].candidates) == pytest.approx(1, abs=1e-5)


def test_no_texts_give_no_results(tokenizer, learned):
    assert decoding.fill_batch(masked(*learned, tokenizer), []) == []


def test_a_request_that_cannot_be_met_is_refused(tokenizer, learned):
    with pytest.raises(ValueError, match="method is one of parallel, iterative: got 'both'"):
        decoding.fill(masked(*learned, tokenizer), "[MASK]", method="both")
    with pytest.raises(ValueError, match="top_k is at least 1: got 0"):
        decoding.fill(masked(*learned, tokenizer), "[MASK]", top_k=0)
    with pytest.raises(ValueError, match="at most 64"):
        decoding.fill(masked(*learned, tokenizer), "[MASK] " * 65)
    causal = models.build(models.TransformerConfig(vocab_size=300, causal=True), "causal_lm")
    with pytest.raises(ValueError, match=r"causal model .* cannot fill masks"):
        decoding.fill(loaded_from(causal, {}, tokenizer), "[MASK]")
