"""Every method on models whose mechanism is known: the README's table, contrasts, padding, completeness."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution, models, steps
from tests.attribution import planted_table
from tests.attribution.planted import PLANTED

CONTRAST_FREE = ("attention", "attention_rollout", "value_zeroing")


@functools.cache
def logits_of(name):
    planted = PLANTED[name]()

    @functools.partial(jax.jit, static_argnums=0)
    def run(model, params, inputs):
        return models.apply_head(model, params, models.apply_model(model, params, inputs).hidden)

    return np.asarray(run(planted.model, planted.params, planted.inputs))


@pytest.mark.parametrize("name", PLANTED)
def test_the_models_do_what_was_planted(name):
    planted = PLANTED[name]()
    for row, (positions, targets) in enumerate(zip(*map(np.asarray, planted.predictions[:2]), strict=True)):
        for position, target in zip(positions, targets, strict=True):
            if position >= 0:
                probs = jax.nn.softmax(logits_of(name)[row, position])
                assert probs.argmax() == target and probs[target] > 0.8


@functools.cache
def rows_of_the_readme():
    text = planted_table.README.read_text()
    table = text.split(planted_table.START)[1].split(planted_table.END)[0].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0][1:] == list(PLANTED)
    return {row[0].strip("`"): dict(zip(PLANTED, row[1:], strict=True)) for row in cells[2:]}


@pytest.mark.parametrize("method", attribution.METHODS)
def test_the_readme_s_table_is_measured(method):
    row = rows_of_the_readme()[method]
    assert row == {
        name: planted_table.shown(planted_table.verdicts(make(), method)) for name, make in PLANTED.items()
    }


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "occlusion"])
def test_with_a_contrast_the_same_is_found(method):
    for name in ("copier", "gate"):
        planted = PLANTED[name]()
        assert all(planted_table.verdicts(planted, method, planted_table.COMPARED)), name


@pytest.mark.parametrize("name", ["copier", "backup", "fill", "translator"])
def test_integrated_gradients_add_up_and_give_other_tokens_nothing(name):
    planted = PLANTED[name]()
    scores = planted_table.scores_of(planted, "integrated_gradients")
    total = scores.target.sum(1) + (0.0 if scores.source is None else scores.source.sum(1))
    np.testing.assert_allclose(total, scores.values - scores.baseline_values, atol=1e-3)
    np.testing.assert_allclose(scores.target[~planted.truth], 0.0, atol=1e-3)


@pytest.mark.parametrize("method", ["integrated_gradients", *CONTRAST_FREE])
def test_each_text_alone_and_without_padding_has_the_same_scores(method):
    planted = PLANTED["gate"]()
    batch = planted_table.scores_of(planted, method).target
    for row, length in enumerate((5, 7)):
        one = jax.tree.map(lambda array, row=row: array[row : row + 1], (planted.inputs, planted.predictions))
        inputs = models.Inputs(tokens=one[0].tokens[:, :length])
        task = attribution.MethodTask(
            model=planted.model,
            params=planted.params,
            inputs=inputs,
            predictions=one[1]._replace(contrast_targets=None),
        )
        alone = jax.jit(attribution.METHODS[method].function)(task)
        np.testing.assert_allclose(batch[row, :length], alone.target[0], atol=1e-5)
        assert not batch[row, length:].any()


def test_patching_finds_where_the_copied_token_goes():
    planted = PLANTED["copier"]()
    # The first prediction, at position 2, copies token 0.
    donor = planted.inputs._replace(tokens=planted.inputs.tokens.at[:, 0].set(jnp.array([8, 9])))
    step = steps.step_function("probability")
    patching = jax.jit(attribution.activation_patching, static_argnames=("model", "step"))(
        planted.model, planted.params, planted.inputs, donor, planted.predictions, step
    )
    effects = np.asarray(patching.effects)
    # After either layer the difference is in the residual stream of the position that predicts.
    np.testing.assert_allclose(effects[:, 2, 0, 0], 1.0, atol=1e-4)
    np.testing.assert_allclose(effects[:, [0, 1, 3], 0, 0], 0.0, atol=1e-4)


def test_reduction_keeps_and_hotflip_changes_what_was_planted():
    planted = PLANTED["gate"]()
    last = jnp.array([[4], [6]], jnp.int32)
    may = planted.inputs.segments > 0
    reduced = jax.jit(attribution.reduce_inputs, static_argnums=0)(
        planted.model, planted.params, planted.inputs, last, may
    )
    # Two tokens are needed, in this order; the prediction is made after the last one that is left.
    assert np.asarray(reduced.kept)[:, :2].all()
    assert np.asarray(reduced.predictions).tolist() == [[3], [6]]
    flips = jax.jit(attribution.flip_tokens, static_argnums=0)(
        planted.model, planted.params, planted.inputs, last, may, jnp.arange(10) > 0
    )
    assert bool(flips.succeeded.all())
    # The prediction's own position has a gradient, too, but no other token there changes the prediction.
    assert (np.asarray(flips.order)[:, :2] >= 0).any(1).all()


def test_the_true_causes_are_the_most_faithful_scores():
    planted = PLANTED["gate"]()
    one = jax.tree.map(lambda array: array[:1], (planted.inputs, planted.predictions))
    task = attribution.MethodTask(
        model=planted.model,
        params=planted.params,
        inputs=one[0],
        predictions=one[1]._replace(contrast_targets=None),
        chunk=16,
    )
    values = attribution.removal_values(task)
    truth = jnp.asarray(planted.truth[0], jnp.float32)
    others = jnp.flip(truth[:5], axis=0)
    others = jnp.concatenate([others, truth[5:]])
    for scores, removed, kept in ((truth, True, True), (others, False, False)):
        needed = attribution.comprehensiveness(values, scores, (2,))
        alone = attribution.sufficiency(values, scores, (2,))
        assert bool((needed > 0.5).all()) == removed
        assert bool((alone < 1e-3).all()) == kept
