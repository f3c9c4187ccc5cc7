"""An ensemble predicts what its members, one by one, say together."""

import functools
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops
from tests.models.conftest import SMALL

MEMBERS = 3
TOKENS = jnp.array([[1, 2, 3, 4, 6, 0], [7, 8, 9, 0, 0, 0]])
SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 0, 0, 0]])


@functools.cache
def make(objective, head=None, causal=False, shared_body=False):
    config = models.TransformerConfig(**{**vars(SMALL), "causal": causal, "init_std": 0.5})
    model = models.build(config, objective, head)
    keys = jax.random.split(jax.random.key(1), MEMBERS)
    params = jax.jit(jax.vmap(model.init, in_axes=(0, None)))(keys, TOKENS)["params"]
    if shared_body:
        params = {**params, "body": jax.tree.map(lambda leaf: leaf[0], params["body"])}
    return model, params


def member(params, number, shared_body=False):
    return {
        name: tree if shared_body and name == "body" else jax.tree.map(lambda leaf: leaf[number], tree)
        for name, tree in params.items()
    }


@functools.cache
def masked_logits(shared_body=False):
    return logits_one_by_one(*make("masked_lm", shared_body=shared_body), shared_body)


def logits_one_by_one(model, params, shared_body):
    @jax.jit
    def one(params):
        hidden = model.apply({"params": params}, models.Inputs(tokens=TOKENS, segments=SEGMENTS)).hidden
        return model.apply({"params": params}, hidden, method="logits").reshape(TOKENS.size, -1)

    rows = [one(member(params, number, shared_body)) for number in range(MEMBERS)]
    return np.stack(rows).astype(np.float64)


@pytest.mark.parametrize("shared_body", [False, True])
def test_tokens(shared_body):
    model, params = make("masked_lm", shared_body=shared_body)
    indices = jnp.array([1, 4, 8])
    logits = masked_logits(shared_body)[:, indices]
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chex.clear_trace_counter()

    @partial(jax.jit, static_argnames="combine")
    @chex.assert_max_traces(n=2)
    def predict(*arrays, **options):
        return models.predict_tokens(model, *arrays, shared_body=shared_body, **options)

    for _ in range(2):  # each way is compiled once
        mixture = predict(params, TOKENS, indices, segments=SEGMENTS)
        geometric = predict(params, TOKENS, indices, segments=SEGMENTS, combine="log_probs")
    # Logits of some units, float32.
    np.testing.assert_allclose(mixture.log_probs, np.log(probs.mean(0)), atol=2e-4)
    powered = np.exp(np.log(probs).mean(0))
    np.testing.assert_allclose(
        geometric.log_probs, np.log(powered / powered.sum(-1, keepdims=True)), atol=2e-4
    )
    entropy = -(probs.mean(0) * np.log(probs.mean(0))).sum(-1)
    information = entropy + (probs * np.log(probs)).sum(-1).mean(0)
    for prediction in (mixture, geometric):
        np.testing.assert_allclose(prediction.disagreement.predictive_entropy, entropy, atol=2e-4)
        np.testing.assert_allclose(prediction.disagreement.mutual_information, information, atol=2e-4)


class Variants(chex.TestCase):
    """Compiled, interpreted and on several devices by pmap, an ensemble predicts the same."""

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_predictions_agree(self):
        model, params = make("masked_lm")
        indices = jnp.array([1, 4, 8])
        predict = self.variant(
            lambda params, tokens, segments: models.predict_tokens(
                model, params, tokens, indices, segments=segments
            )
        )
        found = predict(params, TOKENS, SEGMENTS)
        logits = masked_logits()[:, indices]
        probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(found.log_probs, np.log(probs.mean(0)), atol=2e-4)  # as above


def test_the_formatted_output_shifts_its_targets_and_leaves_padding_out():
    model, params = make("causal_lm", causal=True)
    output = jax.jit(partial(models.ensemble_output, model))(
        params, TOKENS, *ops.next_token_targets(TOKENS, SEGMENTS), segments=SEGMENTS
    )
    np.testing.assert_allclose(output.logits, logits_one_by_one(model, params, False), atol=1e-4)
    counted = np.flatnonzero(output.weights)
    assert counted.tolist() == [0, 1, 3, 6, 7]  # never from a segment into the next one, never padding
    assert output.targets[counted].tolist() == [2, 3, 6, 8, 9]


def test_classes_and_values():
    tokens, segments = TOKENS, SEGMENTS
    head = models.HeadConfig(num_outputs=4)
    model, params = make("classification", head)
    call = {"segments": segments, "num_segments": 2}

    @jax.jit
    def one(params):
        hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments)).hidden
        return model.apply({"params": params}, hidden, **call, method="outputs")

    outputs = np.stack([one(member(params, number)) for number in range(MEMBERS)])
    classes = jax.jit(partial(models.predict_classes, model), static_argnames="num_segments")(
        params, tokens, **call
    )
    probs = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(classes.log_probs), probs.mean(0), atol=1e-5)
    assert classes.disagreement.mutual_information.shape == (2, 2)
    assert float(classes.disagreement.mutual_information[1, 1]) < 1e-6  # no such segment: all say the same
    values = jax.jit(partial(models.predict_values, model), static_argnames="num_segments")(
        params, tokens, **call
    )
    np.testing.assert_allclose(values.mean, outputs.mean(0), atol=1e-5)
    np.testing.assert_allclose(values.deviation, outputs.std(0), atol=1e-5)


def test_a_shared_body_runs_once():
    """What the heads cost beside it is all that more members cost."""
    model, params = make("masked_lm", shared_body=True)

    def flops(params, shared_body):
        predict = jax.jit(partial(models.predict_tokens, model, shared_body=shared_body))
        compiled = predict.lower(params, TOKENS, jnp.array([1])).compile()
        return compiled.cost_analysis()["flops"]

    separate = make("masked_lm")[1]
    assert flops(params, True) < 0.5 * flops(separate, False)
