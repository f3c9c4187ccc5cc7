"""Deletion, insertion, comprehensiveness and sufficiency, by hand on functions of which tokens are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import attribution
from jaxlm.errors import UsageError

WEIGHTS = jnp.array([[1.0, 0.0], [4.0, 3.0], [2.0, -5.0]])
SCORES = jnp.array([[0.1, jnp.nan], [0.4, 3.0], [0.2, -5.0]])


def linear(kept, prediction):
    """Of the copy's prediction the sum of the weights of what is kept."""
    return jnp.where(kept, WEIGHTS.T[prediction], 0.0).sum(-1)


def test_curves_of_two_predictions_of_which_one_sees_less():
    deletion = attribution.deletion_curve(linear, SCORES)
    assert deletion.counts.tolist() == [0, 1, 2, 3]
    assert deletion.values.T.tolist() == [[7, 3, 1, 0], [-2, -5, 0, 0]]
    assert deletion.kept.T.tolist() == [[3, 2, 1, 0], [2, 1, 0, 0]]
    np.testing.assert_allclose(deletion.area, [(7 / 2 + 3 + 1) / 3, (-1 - 5) / 3])
    insertion = attribution.insertion_curve(linear, SCORES, (0, 1, 3))
    assert insertion.values.T.tolist() == [[0, 4, 7], [0, 3, -2]]
    np.testing.assert_allclose(insertion.area, [(2 + 11) / 3, (1.5 + 1) / 3])


def test_comprehensiveness_and_sufficiency_at_equal_numbers_of_tokens():
    found = attribution.comprehensiveness(linear, SCORES, (1, 2))
    assert found.tolist() == [(4 + 6) / 2, (3 - 2) / 2]
    assert attribution.sufficiency(linear, SCORES, (1, 2)).tolist() == [(3 + 1) / 2, (-5 + 0) / 2]
    # Twice the scores is the same order.
    assert attribution.comprehensiveness(linear, 2 * SCORES, (1, 2)).tolist() == found.tolist()


def test_the_truth_is_at_least_as_faithful_as_every_other_order():
    generator = np.random.default_rng(0)
    weights = jnp.asarray(generator.normal(size=(6, 1)), jnp.float32)
    orders = jnp.asarray(generator.normal(size=(20, 6, 1)), jnp.float32)

    def value(kept, _):
        return jnp.where(kept, weights[:, 0], 0.0).sum(-1)

    best = attribution.deletion_curve(value, weights).area[0]
    others = [attribution.deletion_curve(value, order).area[0] for order in orders]
    assert best <= min(others) + 1e-6
    best = attribution.insertion_curve(value, weights).area[0]
    assert best >= max(attribution.insertion_curve(value, order).area[0] for order in orders) - 1e-6


def test_equal_scores_are_taken_from_the_left_and_functions_are_jitted():
    curve = jax.jit(lambda scores: attribution.deletion_curve(linear, scores))(jnp.ones((3, 2)))
    assert curve.values.T.tolist() == [[7, 6, 2, 0], [-2, -2, -5, 0]]


@pytest.mark.parametrize("counts", [(), (2, 1), (-1, 2), (1, 1)])
def test_numbers_of_tokens_that_do_not_ascend_are_refused(counts):
    with pytest.raises(UsageError, match="numbers of tokens ascend from 0 or more"):
        attribution.deletion_curve(linear, SCORES, counts)
