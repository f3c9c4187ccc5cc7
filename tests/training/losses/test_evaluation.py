"""Held-out scores: the same masks at every call, and frequencies judged on them by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import data, training
from jaxlm.training.step import _evaluator


@pytest.fixture(scope="module")
def held_out(task):
    return task.splits["validation"]


@pytest.fixture(scope="module")
def scored(experiment, task, model, params, held_out, masking):
    """Returns the evaluation of the validation split at a batch size on some devices."""
    unigrams = training.unigram_log_probs(task.splits["train"].cache, masking.noise.forbidden)

    def score(batch_size, num_devices):
        return training.evaluate(
            model,
            params,
            task.tokenizer,
            held_out.cache,
            noise=experiment.resolved_input_noise,
            row_length=32,
            batch_size=batch_size,
            log_unigrams=unigrams,
            devices=jax.local_devices()[:num_devices],
        )

    return score


def test_neither_batch_size_nor_devices_change_the_scores(scored):
    one, other = scored(4, 1), scored(8, 4)
    assert (one.scored, one.tokens, one.accuracy) == (other.scored, other.tokens, other.accuracy)
    assert one.unigram_accuracy == other.unigram_accuracy and one.overflow == 0
    # The same float32 terms added in another order.
    np.testing.assert_allclose(one.nll, other.nll, rtol=1e-6)
    np.testing.assert_allclose(one.perplexity, np.exp(one.nll), rtol=1e-9)


def test_the_masks_are_the_same_under_any_kind_of_key(scored):
    first = scored(4, 1)
    with jax.default_prng_impl("rbg"):
        assert scored(4, 1) == first


def test_an_untrained_model_is_near_the_uniform_one(scored, task):
    np.testing.assert_allclose(scored(4, 1).nll, np.log(task.config.vocab_size), rtol=0.02)


def test_the_baseline_is_that_of_counting(scored, task, masking, held_out, experiment):
    """Frequencies by counting, on the positions that the evaluation masks."""
    train = task.splits["train"].cache
    counts = np.zeros(task.config.vocab_size)
    for index in range(len(train)):
        np.add.at(counts, train[index], 1)
    probs = np.where(masking.noise.forbidden, 0, counts + 1)
    probs /= probs.sum()

    rng = training.named_rng(jax.random.key(_evaluator.EVALUATION_SEED), "evaluation")
    targets = []
    for batch in data.eval_batches(held_out.cache, held_out.plan, 8):
        masked = training.mask_batch(rng, jax.tree.map(jnp.asarray, batch), masking)
        targets += np.asarray(masked.targets)[np.asarray(masked.weights) > 0].tolist()
    scores = scored(8, 4)
    assert scores.scored == len(targets)
    np.testing.assert_allclose(scores.unigram_nll, -np.log(probs[targets]).mean(), rtol=1e-5)
    np.testing.assert_allclose(scores.unigram_perplexity, np.exp(scores.unigram_nll), rtol=1e-9)
    assert scores.unigram_accuracy == np.mean(np.array(targets) == probs.argmax())


def test_log_frequencies_are_add_one_smoothed():
    log_probs = training.log_frequencies(np.array([5, 3, 0, 1]), np.array([True, False, False, False]))
    np.testing.assert_allclose(np.exp(log_probs), [0, 4 / 7, 1 / 7, 2 / 7], rtol=1e-6)


def test_nothing_masked_is_no_evaluation():
    assert training.summarize({}) is None
    assert training.summarize({"weight": 0.0, "loss_sum": 0.0}) is None


def test_a_spread_plan_takes_rows_from_all_over(task):
    plan = task.splits["train"].plan
    part = _evaluator.sample_rows_evenly(plan, 5)
    assert part.num_rows == 5
    cache = task.splits["train"].cache
    whole = data.gather_rows(cache, plan, np.arange(plan.num_rows), np.zeros(plan.num_rows, int))
    kept = np.linspace(0, plan.num_rows - 1, 5).round().astype(int)
    rows = data.gather_rows(cache, part, np.arange(5), np.zeros(5, int))
    np.testing.assert_array_equal(rows.tokens, whole.tokens[kept])
    np.testing.assert_array_equal(rows.offsets, whole.offsets[kept])
    assert (
        _evaluator.sample_rows_evenly(plan, 0) is plan and _evaluator.sample_rows_evenly(plan, 10**6) is plan
    )
