"""AllenNLP's next-token model: outputs, loss, the parts that may be put in, and a perplexity that adds up."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import decoding, models
from tests.decoding.conftest import SMALL, log_softmax

TOKENS = np.array([[5, 6, 7, 8], [9, 10, 0, 0]], np.int32)
SEGMENTS = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.int32)
TARGETS = np.array([3, 99], np.int32)
# Float32 sums in another order
CLOSE = {"rtol": 0, "atol": 1e-4}


def wrapped(case, **options):
    return decoding.NextTokenModel(case.model, **options), {"language_model": case.params}


def ask(model, params, **options):
    return jax.jit(
        lambda params: model.apply(
            {"params": params},
            jnp.asarray(TOKENS),
            segments=jnp.asarray(SEGMENTS),
            targets=jnp.asarray(TARGETS),
            **options,
        )
    )(params)


def test_it_is_the_language_model_at_the_last_real_position(writer):
    case = writer()
    output = ask(*wrapped(case, top_k=3))
    losses = []
    for row, context in enumerate(([5, 6, 7, 8], [9, 10])):
        expected = log_softmax(case.logits(context))
        best = np.argsort(-expected)[:3]
        assert output.tokens[row].tolist() == best.tolist()
        np.testing.assert_allclose(output.probs[row], np.exp(expected[best]), **CLOSE)
        losses.append(-expected[TARGETS[row]])
    assert float(output.loss) == pytest.approx(np.mean(losses), abs=1e-4)
    assert (float(output.loss_sum), float(output.weight)) == (pytest.approx(sum(losses), abs=1e-4), 2.0)


class Mean(nn.Module):
    """A contextualizer: the mean of the real vectors, times a parameter."""

    @nn.compact
    def __call__(self, hidden, real):
        scale = self.param("scale", nn.initializers.ones, ())
        weights = real[..., None].astype(hidden.dtype)
        return scale * (hidden * weights).sum(1) / weights.sum(1)


def test_a_contextualizer_stands_before_the_head(writer):
    case = writer()
    model, params = wrapped(case, contextualizer=Mean(), top_k=260)
    output = ask(model, {**params, "contextualizer": {"scale": jnp.float32(0.5)}})
    apply = jax.jit(lambda tokens: case.model.apply({"params": case.params}, tokens).hidden)
    hidden = np.asarray(apply(jnp.asarray(TOKENS)))[0]
    logits = case.model.apply({"params": case.params}, jnp.asarray(0.5 * hidden.mean(0)), method="logits")
    expected = np.exp(log_softmax(logits))
    np.testing.assert_allclose(output.probs[0], np.sort(expected)[::-1], **CLOSE)


def test_dropout_is_on_the_head_alone_and_only_in_training(writer):
    model, params = wrapped(writer(), dropout=0.5)
    still = ask(model, params)
    np.testing.assert_array_equal(still.probs, ask(model, params).probs)
    keys = [{"dropout": jax.random.key(seed)} for seed in (0, 1)]
    drawn = [ask(model, params, deterministic=False, rngs=key).loss for key in keys]
    assert len({float(loss) for loss in (*drawn, still.loss)}) == 3


def test_an_initializer_has_the_last_word():
    model = decoding.NextTokenModel(
        models.CausalLM(SMALL), initializer=lambda rng, params: jax.tree.map(jnp.zeros_like, params)
    )
    params = model.init_params(jax.random.key(0), jnp.asarray(TOKENS))
    assert all(not leaf.any() for leaf in jax.tree.leaves(params))
    output = ask(model, params)
    # Of zeros alone every token is as likely
    assert float(output.loss) == pytest.approx(math.log(260), rel=1e-6)


def test_perplexity_is_that_of_all_batches_together_and_resets():
    total = decoding.PerplexityTotal()
    nats = [[1.0, 2.0, 3.0], [0.5]]
    for batch in nats:
        total = total.update(sum(batch), len(batch))
    assert total.value == pytest.approx(math.exp(6.5 / 4))
    assert decoding.PerplexityTotal().update(0.0, 5.0).value == 1.0
    assert total.reset().value == 1.0 and total.value > 1


def test_readable_names_the_tokens(writer, tokenizer):
    output = ask(*wrapped(writer(), top_k=2))
    first, second = decoding.readable(output, tokenizer, jnp.asarray(TOKENS))
    assert set(first) == {"probabilities", "top_indices", "top_tokens", "token_ids", "tokens"}
    assert first["top_tokens"] == [tokenizer.token(id) for id in first["top_indices"]]
    assert second["token_ids"] == TOKENS[1].tolist() and len(second["tokens"]) == 4
    assert first["probabilities"] == sorted(first["probabilities"], reverse=True)
