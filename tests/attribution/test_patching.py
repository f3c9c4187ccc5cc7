"""Activation patching against one run of the model for each layer and position."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models, ops, steps
from jaxlm.errors import UsageError
from jaxlm.models import Intervention, Site
from tests.attribution.random_models import opened, rows

patch = jax.jit(attribution.activation_patching, static_argnames=("model", "step", "site", "layers", "chunk"))
LOG_PROB = steps.step_function("probability", logprob=True)
TARGETS = jnp.array([[2, 3, 4], [5, 6, 0]], jnp.int32)


def donor_of(inputs):
    """The same rows with other tokens at position 1, of the encoder's row if there is one."""
    row = inputs if inputs.encoder is None else inputs.encoder
    row = row._replace(tokens=row.tokens.at[:, 1].set(jnp.array([10, 2])))
    return row if inputs.encoder is None else inputs._replace(encoder=row)


@pytest.mark.parametrize(
    ("kind", "site"),
    [("causal", Site.RESIDUAL), ("masked", Site.VALUES), ("seq2seq", Site.ENCODER_FEED_FORWARD_OUTPUT)],
)
def test_values_are_those_of_one_run_each(kind, site):
    model, params = opened(kind)
    batch = rows(kind)
    donor, asked = donor_of(batch.inputs), attribution.Predictions(batch.positions, TARGETS)
    result = patch(model, params, batch.inputs, donor, asked, LOG_PROB, site=site, chunk=5)
    given = models.apply_model(model, params, donor, intermediates=(site,)).intermediates[site]

    @jax.jit
    def run(layer, mask):
        change = Intervention(site=site, layer=layer, value=given[layer], mask=mask)
        hidden = models.apply_model(model, params, batch.inputs, interventions=(change,)).hidden
        logits = models.apply_head(model, params, hidden)
        by_row = [logits[row, jnp.maximum(batch.positions[row], 0)] for row in range(2)]
        return ops.gather_log_probs(jnp.stack(by_row), TARGETS)

    is_used = np.asarray(batch.positions) >= 0
    real = np.asarray((batch.inputs if kind != "seq2seq" else batch.inputs.encoder).segments) > 0
    for layer in range(2):
        for position in range(8):
            expected = np.where(is_used, run(layer, jnp.broadcast_to(jnp.arange(8) == position, (2, 8))), 0)
            expected = np.where(real[:, position, None], expected, np.nan)
            np.testing.assert_allclose(result.values[layer, position], expected, atol=1e-5)
    nothing = jnp.zeros((2, 8), bool)
    np.testing.assert_allclose(result.own_values, np.where(is_used, run(0, nothing), 0), atol=1e-5)


def test_all_of_a_difference_in_one_embedding_is_found_there():
    model, params = opened("causal")
    batch = rows("causal")
    asked = attribution.Predictions(batch.positions, TARGETS)
    result = patch(model, params, batch.inputs, donor_of(batch.inputs), asked, LOG_PROB, site=Site.EMBEDDINGS)
    assert result.values.shape == (1, 8, 2, 3)
    effects = np.asarray(result.effects)[0]
    np.testing.assert_allclose(effects[1][np.asarray(batch.positions) >= 0], 1.0, atol=1e-4)
    np.testing.assert_allclose(effects[0, 0], 0.0, atol=1e-6)
    assert np.isnan(effects[7]).all()  # padding in both rows
    assert np.isnan(effects[:, 1, 2]).all()  # an unused entry has no difference


def test_rows_of_other_lengths_and_functions_that_draw_are_refused():
    model, params = opened("causal")
    batch = rows("causal")
    asked = attribution.Predictions(batch.positions, TARGETS)
    alone, _ = batch.alone[0]
    with pytest.raises(UsageError, match="a row and its donor are compared position by position"):
        attribution.activation_patching(model, params, batch.inputs, alone, asked, LOG_PROB)
    noisy = steps.step_function("mc_dropout_prob_avg")
    with pytest.raises(UsageError, match="mc_dropout_prob_avg needs noisy_logits"):
        attribution.activation_patching(model, params, batch.inputs, batch.inputs, asked, noisy)
