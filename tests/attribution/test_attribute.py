"""`attribute` against one prediction at a time, and its invariances."""

import jax
import numpy as np
import pytest

from jaxlm.attribution import IntegratedGradients, attribute
from tests.attribution.one_prediction import OnePrediction, ids, loop
from tests.steps.tiny_models import open_model

ONE_DEVICE = tuple(jax.local_devices()[:1])
STEP = "contrast_prob_diff"
# Float32 sums in another order, of probabilities and their derivatives
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
METHODS = ["saliency", "input_x_gradient", "integrated_gradients", "occlusion"]
THREE_POINTS = IntegratedGradients(steps=3)
TEXTS = {
    "causal": (["To be or", "a"], ["To be or not", "a rose"], ["To be or why", "a cold"]),
    "masked": (["To [MASK]e", "no[MASK] t[MASK]"], ["To be", "not to"], ["To me", "now ta"]),
    "seq2seq": (["To be or not", "Whether"], ["Sein", "ob"], ["Nein", "zu"]),
}


@pytest.fixture(scope="module", params=["causal", "masked", "seq2seq"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(kind):
    return open_model(kind)


def explain(loaded, texts, **how):
    return attribute(loaded, texts, **{"devices": ONE_DEVICE, **how})


def predictions(kind, loaded, text, target, other):
    """Each prediction of a text alone, with what it does not see cut off."""
    if kind == "causal":
        tokens, others = ids(target), ids(other)
        for index in range(len(text), len(tokens)):
            yield OnePrediction(loaded, STEP, tokens[:index], index - 1, tokens[index], others[index])
    elif kind == "masked":
        mask, tokens = loaded.tokenizer.specials.mask, loaded.tokenizer.encode(text)
        for index in np.flatnonzero(tokens == mask):
            yield OnePrediction(loaded, STEP, tokens, index, ids(target)[index], ids(other)[index])
    else:
        written, others = ids(target), ids(other)
        for index in range(len(written)):
            read = np.array([0, *written[:index]])
            yield OnePrediction(loaded, STEP, read, index, written[index], others[index], ids(text))


def assert_equals_loop(kind, loaded, method, result, *texts):
    for number, one in enumerate(predictions(kind, loaded, *texts)):
        own, source = loop(method, one)
        column = result.scores[:, number]
        np.testing.assert_allclose(column[: len(own)], own, **CLOSE)
        assert np.isnan(column[len(own) :]).all(), "later tokens are not seen"
        np.testing.assert_allclose(result.values[number], one.value(), **CLOSE)
        if source is not None:
            np.testing.assert_allclose(result.source_scores[:, number], source, **CLOSE)


@pytest.mark.parametrize("method", METHODS)
def test_all_predictions_at_once_are_each_prediction_alone(kind, loaded, method):
    """A batch of unequal texts, padded, against prefixes, one by one: with a contrast, on both sides."""
    texts, targets, others = TEXTS[kind]
    settings = THREE_POINTS if method == "integrated_gradients" else None
    results = explain(
        loaded, texts, targets=targets, method=method, step=STEP, contrast=others, settings=settings
    )
    for result, *parts in zip(results, texts, targets, others, strict=True):
        assert_equals_loop(kind, loaded, method, result, *parts)
        assert result.method == method and result.step_function == STEP
        assert result.is_signed == (method != "saliency")
        assert set(result.contrast_tokens) <= set(parts[2])
        if result.completeness_error is not None:
            total = np.nansum(result.scores, 0)
            total += 0.0 if result.source_scores is None else result.source_scores.sum(0)
            error = np.abs(total - (result.values - result.baseline_values))
            np.testing.assert_allclose(result.completeness_error, error, atol=1e-6)
    assert (results[0].completeness_error is not None) == (method == "integrated_gradients")
