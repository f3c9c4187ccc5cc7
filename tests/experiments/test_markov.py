"""The source's entropy against enumeration, and a model that learns all there is to learn of a small one."""

import importlib.util
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxlm import data, models, training

FOLDER = Path(__file__).parents[2] / "experiments" / "markov"


@pytest.fixture(scope="module")
def source():
    spec = importlib.util.spec_from_file_location("markov_data", FOLDER / "data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("states", "bandwidth"), [(5, 1), (8, 3), (16, 3)])
def test_a_matrix_is_a_sparse_ergodic_chain(source, states, bandwidth):
    matrix = source.transition_matrix(states, bandwidth)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert ((matrix > 0).sum(1) == 2 * bandwidth + 1).all()
    law = source.stationary_law(matrix)
    np.testing.assert_allclose(law @ matrix, law, atol=1e-12)
    np.testing.assert_allclose(np.linalg.matrix_power(matrix, 4096), np.tile(law, (states, 1)), atol=1e-9)


def test_the_entropy_rate_is_what_one_more_state_adds_to_the_entropy_of_all_walks(source):
    matrix = source.transition_matrix(5, 1, temperature=0.7, seed=3)
    law = source.stationary_law(matrix)

    def entropy(length):
        """Of all walks of a length, each with its probability."""
        total = 0.0
        for walk in itertools.product(range(5), repeat=length):
            chance = law[walk[0]] * np.prod([matrix[a, b] for a, b in itertools.pairwise(walk)])
            total -= chance * np.log(chance) if chance > 0 else 0.0
        return total

    np.testing.assert_allclose(entropy(4) - entropy(3), source.entropy_rate(matrix), rtol=1e-10)


def test_walks_follow_the_chain(source):
    matrix = source.transition_matrix(6, 2)
    states = source.walks(matrix, 2000, 20)
    counts = np.zeros((6, 6))
    np.add.at(counts, (states[:, :-1].ravel(), states[:, 1:].ravel()), 1)
    # 38,000 steps, about 6,000 from each state: a share is known to about 0.006.
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), matrix, atol=0.03)
    np.testing.assert_allclose(source.loss_of_source(matrix, states), source.entropy_rate(matrix), rtol=0.01)


def test_the_text_is_a_line_a_walk(source, tmp_path, capsys):
    path = tmp_path / "some.txt"
    source.main([str(path), "--lines", "50", "--length", "30", "--states", "6", "--bandwidth", "1"])
    lines = path.read_text().splitlines()
    assert len(lines) == 50 and {len(line) for line in lines} == {30} and set("".join(lines)) <= set("abcdef")
    rate = source.entropy_rate(source.transition_matrix(6, 1))
    assert f"entropy rate {rate:.4f} nats" in capsys.readouterr().out


def test_requests_that_no_chain_fits_are_refused(source, tmp_path):
    with pytest.raises(ValueError, match="does not fit in 4"):
        source.transition_matrix(4, 2)
    with pytest.raises(SystemExit):
        source.main([str(tmp_path / "some.txt"), "--states", "60"])


def rows(states):
    tokens = states.astype(np.int32)
    offsets = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
    zeros = np.zeros(tokens.shape, np.int32)
    return data.Batch(tokens, zeros + 1, offsets, zeros, offsets, np.zeros(len(tokens), np.int32))


def test_a_small_model_comes_within_one_percent_of_the_entropy(source):
    """From both sides: a loss below the source's own on the same walks would be of one that looks ahead."""
    matrix = source.transition_matrix(6, 1)
    config = models.TransformerConfig(
        vocab_size=6, width=16, depth=1, num_heads=2, max_length=32, causal=True, position="rotary"
    )
    model = models.build(config, "causal_lm")
    settings = training.OptimizerConfig(learning_rate=2e-2, warmup=0.05)
    optimizer = training.make_optimizer(settings, 200)
    state = training.init_state(model, optimizer, jax.random.key(0))
    step = jax.jit(
        training.make_train_step(
            training.causal_lm_loss(), model.apply, optimizer, settings.schedule(200), clip_norm=1.0
        )
    )
    seen = source.walks(matrix, 200 * 32, 32, seed=1)
    for start in range(0, len(seen), 32):
        state, _ = step(state, rows(seen[start : start + 32]))
    held_out = source.walks(matrix, 1000, 32, seed=2)
    evaluate = jax.jit(training.make_eval_step(training.causal_lm_loss(deterministic=True), model.apply))
    nll = training.summarize_tokens(evaluate(state.params, rows(held_out))).nll
    np.testing.assert_allclose(nll, source.loss_of_source(matrix, held_out), rtol=0.01)
    np.testing.assert_allclose(nll, source.entropy_rate(matrix), rtol=0.02)  # sampled: 31,000 steps
