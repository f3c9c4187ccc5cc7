"""Gradients of texts: the loss is that of `next_tokens`, the masks those of `fill`, errors one line."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models, pretrained, tokenizers
from tests.decoding.conftest import SMALL, loaded_from

TEXTS = ["ab", "a longer text", "é"]
MASKS = ["a[MASK]cd", "[MASK] and [MASK]"]
# Float32 sums in another order
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def causal(writer, tokenizer):
    return loaded_from(*writer()[1:3], tokenizer)


@pytest.fixture(scope="module")
def masked(tokenizer):
    model = models.build(dataclasses.replace(SMALL, causal=False), "masked_lm")
    params = jax.jit(model.init)(jax.random.key(3), jnp.zeros((1, 4), jnp.int32))["params"]
    return loaded_from(model, params, tokenizer, "masked_lm")


def test_the_loss_is_that_of_next_tokens_whatever_is_given(causal):
    targets, read = ["xyz", None, [100]], ["abxy", "a longer text", "é"]
    found = decoding.loss_gradients(causal, TEXTS, targets=targets)
    told = decoding.next_tokens(causal, TEXTS, targets=targets)
    best = told[1].candidates[0]
    assert found.tokens.shape == found.saliency.shape == (3, 13) and found.targets.shape == (3, 3)
    for row, wanted in enumerate([[*b"xyz"], [best.token_id], [100]]):
        assert found.tokens[row, found.segments[row] > 0].tolist() == [*read[row].encode()]
        asked = found.positions[row] >= 0
        first = len(TEXTS[row].encode()) - 1
        assert found.targets[row, asked].tolist() == wanted
        assert found.positions[row, asked].tolist() == list(range(first, first + len(wanted)))
    losses = [told[0].loss, -np.log(best.probability), told[2].loss]
    np.testing.assert_allclose(found.loss, losses, **CLOSE)
    np.testing.assert_allclose(found.saliency.sum(1), 1.0, rtol=1e-5)


def test_it_is_the_function_of_arrays(causal):
    found = decoding.loss_gradients(causal, "abc", targets="d")
    ids = jnp.asarray(causal.tokenizer.encode("abc"))[None]
    expected = jax.jit(
        lambda params: decoding.embedding_gradients(causal.model, params, ids, targets=jnp.array([[100]]))
    )(causal.params)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, jax.device_get(expected))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_masks_are_asked_all_at_once_and_stay_masks(masked):
    found = decoding.loss_gradients(masked, MASKS, targets=[None, "ox"])
    mask = masked.tokenizer.specials.mask
    ids = [masked.tokenizer.encode(text) for text in MASKS]
    for row, text in enumerate(ids):
        assert found.tokens[row, : text.size].tolist() == text.tolist()
        asked = found.positions[row] >= 0
        assert found.positions[row, asked].tolist() == np.flatnonzero(text == mask).tolist()
    logits = []
    for text in ids:
        hidden = masked.model.apply({"params": masked.params}, jnp.asarray(text)[None]).hidden
        at_masks = hidden[0, np.flatnonzero(text == mask)]
        logits.append(masked.model.apply({"params": masked.params}, at_masks, method="logits"))
    log_probs = [jax.nn.log_softmax(rows) for rows in logits]
    assert found.targets[0, 0] == int(logits[0][0].argmax()) and found.targets[1].tolist() == [*b"ox"]
    expected = [-log_probs[0].max(), -(log_probs[1][0, ord("o")] + log_probs[1][1, ord("x")]) / 2]
    np.testing.assert_allclose(found.loss, expected, **CLOSE)
    # What stands on both sides of a mask counts
    assert (found.saliency[0, [0, 2, 3]] > 0).all()


def test_texts_are_read_as_filling_reads_them(masked):
    framed = masked._replace(extra={"experiment": {"data": {"ends": True}}})
    found = decoding.loss_gradients(framed, MASKS[:1])
    opening, closing = framed.frame
    ids = [*opening, *masked.tokenizer.encode(MASKS[0]).tolist(), *closing]
    assert opening and closing and found.tokens[0].tolist() == ids
    plain = decoding.loss_gradients(framed, [masked.tokenizer.encode(MASKS[0])])
    assert plain.tokens[0].tolist() == masked.tokenizer.encode(MASKS[0]).tolist()


@pytest.mark.parametrize(
    ("kind", "texts", "targets", "message"),
    [
        ("causal", [], None, "gradients need at least one text: got none"),
        ("causal", ["a"], ["b", "c"], "every text has a target or None: got 2 for 1 texts"),
        ("causal", ["a" * 60], None, "the prompt is 60 tokens long, and the model reads at most 48"),
        ("causal", ["a"], [[300]], r"ids lie in 0\.\.259: got 300\.\.300"),
        ("masked", ["a"], None, r"nothing to fill in 'a': write \[MASK\] where a token is missing"),
        ("masked", MASKS, [None, "o"], "one token for each of its text's 2 masks: got 1"),
        ("masked", MASKS[:1], [[300]], r"ids lie in 0\.\.259: got 300\.\.300"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(request, kind, texts, targets, message):
    with pytest.raises(ValueError, match=message) as told:
        decoding.loss_gradients(request.getfixturevalue(kind), texts, targets=targets)
    assert "\n" not in str(told.value)


def test_a_model_of_relative_positions_reads_texts_of_any_length(tokenizer):
    config = dataclasses.replace(SMALL, causal=False, position="relative", max_length=4)
    model = models.build(config, "masked_lm")
    params = jax.jit(model.init)(jax.random.key(3), jnp.zeros((1, 4), jnp.int32))["params"]
    loaded = loaded_from(model, params, tokenizer, "masked_lm")
    mask = tokenizer.specials.mask
    tokens = np.array([5, mask, 6, 7, 8, 9])
    assert decoding.loss_gradients(loaded, [tokens]).tokens.tolist() == [tokens.tolist()]
    assert decoding.fill(loaded, tokens).tokens.shape == (6,)


def test_other_models_have_no_such_loss(causal):
    with pytest.raises(ValueError, match="for a causal or a masked LM, and this model is a regression"):
        decoding.loss_gradients(causal._replace(kind=models.REGRESSION), "a")


def test_a_published_masked_lm_has_transformers_gradients(tmp_path):
    """BERT, opened from its folder: both sides of a mask, token types, and the transform of its head."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=260, max_position_embeddings=32, **size)
    theirs = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    theirs.tie_weights()
    theirs.save_pretrained(tmp_path)
    loaded = pretrained.load(tmp_path)._replace(tokenizer=tokenizers.bytes_tokenizer())
    ids = loaded.tokenizer.encode("a[MASK]cd")
    found = decoding.loss_gradients(loaded, [ids], targets=["b"])
    vectors = theirs.get_input_embeddings()(torch.tensor(ids[None].astype(int))).detach().requires_grad_()
    loss = -theirs(inputs_embeds=vectors).logits[0, 1].log_softmax(-1)[ord("b")]
    loss.backward()
    np.testing.assert_allclose(found.loss[0], loss.item(), rtol=1e-4)
    np.testing.assert_allclose(found.gradients[0], vectors.grad[0].numpy(), rtol=1e-3, atol=1e-4)
    strength = (vectors.grad * vectors.detach())[0].sum(-1).abs().numpy()
    np.testing.assert_allclose(found.saliency[0], strength / strength.sum(), rtol=1e-3, atol=1e-5)
