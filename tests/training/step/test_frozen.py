import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, training

CONFIG = models.TransformerConfig(vocab_size=11, width=8, depth=3, num_heads=2, max_length=6)


@pytest.fixture(scope="module")
def drawn():
    params = jax.jit(models.build(CONFIG).init)(jax.random.key(0), jnp.array([[1]]))["params"]
    return jax.tree.map(lambda leaf: leaf + 0.1, params)


def names(tree, value):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {part for path, leaf in leaves if leaf == value for part in [path[0].key, path[1].key][-2:]}


@pytest.mark.parametrize(
    ("last", "blocks"), [(0, []), (1, ["block_02"]), (3, ["block_00", "block_01", "block_02"])]
)
def test_which_parameters_are_trained(drawn, last, blocks):
    trained = training.last_layers(CONFIG.depth, last)(drawn)
    assert jax.tree.structure(trained) == jax.tree.structure(drawn)
    assert names(trained["body"], True) & {f"block_{n:02d}" for n in range(3)} == set(blocks)
    assert all(jax.tree.leaves(trained["head"])) and all(jax.tree.leaves(trained["body"]["final_norm"]))
    assert not any(jax.tree.leaves(trained["body"]["embeddings"]))


def test_all_layers_is_no_rule():
    assert training.last_layers(3, None) is None
    objective = training.causal_lm_loss()
    assert training.freeze(objective, None) is objective


def test_what_is_held_has_no_gradient_and_costs_none(drawn):
    trained = training.last_layers(CONFIG.depth, 1)
    model, tokens = models.build(CONFIG), jnp.array([[1, 2, 3]])

    def objective(apply_fn, params, batch, rngs, step=0):
        return jnp.square(apply_fn({"params": params}, batch).hidden).sum()

    def gradient(one):
        return jax.jit(jax.grad(lambda params: one(model.apply, params, tokens, {})))

    held, free = gradient(training.freeze(objective, trained)), gradient(objective)
    for leaf, full, moves in zip(
        *map(jax.tree.leaves, (held(drawn), free(drawn), trained(drawn))), strict=True
    ):
        np.testing.assert_array_equal(leaf, full if moves else jnp.zeros_like(full))
    costs = [one.lower(drawn).compile().cost_analysis()["flops"] for one in (held, free)]
    assert costs[0] < 0.75 * costs[1]  # one of three blocks is gone back through instead of all


def test_the_optimizer_leaves_the_others_alone_to_the_bit(drawn):
    params = dict(drawn) | {"body": dict(drawn["body"]) | {"block_00": jnp.array([0.0, -0.0, 3.0])}}
    config = training.OptimizerConfig(learning_rate=0.1, warmup=0, weight_decay=0.5)
    trained = training.last_layers(CONFIG.depth, 0)
    optimizer = training.make_optimizer(config, 10, trained=trained)
    state = optimizer.init(params)
    gradient = jax.tree.map(jnp.ones_like, params)
    updates, state = optimizer.update(gradient, state, params)
    after = jax.tree.map(jnp.add, params, updates)
    for old, new, moment, moves in zip(
        *map(jax.tree.leaves, (params, after, state.mu, trained(params))), strict=True
    ):
        assert (np.asarray(old).tobytes() == np.asarray(new).tobytes()) == (not moves)
        assert moment.shape == (old.shape if moves else ())


def test_a_rule_for_all_is_the_same_as_none(drawn):
    config = training.OptimizerConfig(warmup=0)
    gradient = jax.tree.map(jnp.cos, drawn)
    results = []
    for trained in (None, lambda params: jax.tree.map(lambda _: True, params)):
        optimizer = training.make_optimizer(config, 10, trained=trained)
        results.append(optimizer.update(gradient, optimizer.init(drawn), drawn))
    jax.tree.map(np.testing.assert_array_equal, *results)
