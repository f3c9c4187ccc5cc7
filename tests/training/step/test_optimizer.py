"""AdamW against torch's, and what decays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxlm import models, training
from jaxlm.training.step._optimizer import clip_factor

SHAPES = {"kernel": (3, 4), "bias": (4,)}


def updated(optimizer, gradients, params, clip_norm):
    """Parameters after a list of gradients."""

    @jax.jit
    def update(gradient, state, params):
        factor = clip_factor(optax.tree.norm(gradient), clip_norm)
        gradient = jax.tree.map(lambda leaf: leaf * factor, gradient)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for gradient in gradients:
        params, state = update(gradient, state, params)
    return params


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}
        for _ in range(count)
    ]


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_it_is_torchs(clip_norm):
    torch = pytest.importorskip("torch")
    config = training.OptimizerConfig(
        learning_rate=0.03,
        warmup=3,
        beta1=0.8,
        beta2=0.95,
        epsilon=1e-6,
        weight_decay=0.1,
        clip_norm=clip_norm,
    )
    start, *gradients = drawn(9)
    ours = updated(training.make_optimizer(config, 12), gradients, start, clip_norm)

    tensors = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in start.items()}
    groups = [
        {"params": [tensors["kernel"]], "weight_decay": 0.1},
        {"params": [tensors["bias"]], "weight_decay": 0.0},
    ]
    peer = torch.optim.AdamW(groups, lr=1.0, betas=(0.8, 0.95), eps=1e-6)
    rate = config.schedule(12)
    for count, gradient in enumerate(gradients):
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(np.array(gradient[name]))
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(list(tensors.values()), clip_norm)
        for group in peer.param_groups:
            group["lr"] = float(rate(jnp.int32(count)))
        peer.step()
    # Eight float32 steps; torch adds 1e-6 to the norm that it clips by.
    tolerance = 1e-6 if clip_norm == 0 else 5e-6
    for name, tensor in tensors.items():
        np.testing.assert_allclose(ours[name], tensor.detach().numpy(), atol=tolerance)


def test_it_is_optaxs_own_chain():
    config = training.OptimizerConfig(learning_rate=0.02, warmup=2, weight_decay=0.1)
    start, *gradients = drawn(6)
    ours = updated(training.make_optimizer(config, 8), gradients, start, 0.0)
    peer = optax.adamw(config.schedule(8), weight_decay=0.1, mask=training.decay_mask)
    with jax.numpy_dtype_promotion("standard"):
        theirs = updated(peer, gradients, start, 0.0)
    for name in start:
        # Float32 over five steps.
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6)


def test_an_update_that_is_not_finite_is_none():
    start, gradient = drawn(2)
    optimizer = training.make_optimizer(training.OptimizerConfig(), 8)
    _, state = optimizer.update(gradient, optimizer.init(start), start)
    poisoned = jax.tree.map(lambda leaf: leaf * jnp.nan, gradient)
    updates, after = optimizer.update(poisoned, state, start, finite=jnp.array(False))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_biases_norms_and_embeddings_do_not_decay():
    config = models.TransformerConfig(
        vocab_size=9, width=8, depth=1, num_heads=2, position="learned", embedding_norm=True
    )
    shapes = jax.eval_shape(models.build(config).init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))[
        "params"
    ]
    flags = jax.tree_util.tree_flatten_with_path(training.decay_mask(shapes))[0]
    by_name = {jax.tree_util.keystr(path, simple=True, separator="."): flag for path, flag in flags}
    decayed = sorted(name for name, flag in by_name.items() if flag)
    assert decayed, "kernels decay"
    assert all(name.endswith("kernel") and "embed" not in name for name in decayed)
    kept = {name for name, flag in by_name.items() if not flag}
    assert any("embed" in name for name in kept)
    assert any(name.endswith("scale") for name in kept) and any(name.endswith("bias") for name in kept)
    # Matrices that are neither an embedding nor a table of positions all decay.
    leaves = jax.tree_util.tree_flatten_with_path(shapes)[0]
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        assert by_name[name] == (leaf.ndim == 2 and "embed" not in name), name


def test_stacked_layers_decay_as_single_ones_do():
    flags = training.decay_mask(
        {"blocks": {"mlp": {"kernel": jnp.ones((3, 2, 2)), "bias": jnp.ones((3, 2))}}}
    )
    assert flags == {"blocks": {"mlp": {"kernel": True, "bias": False}}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"warmup": 1.0}, "optimizer.warmup is a fraction"),
        ({"learning_rate": 0.0}, "optimizer.learning_rate is positive, got 0"),
        ({"beta2": 1.0}, "optimizer.beta2 lies"),
        ({"weight_decay": -0.1}, "optimizer.weight_decay is not negative"),
        ({"accumulation": 0}, "optimizer.accumulation is at least 1"),
        ({"learning_rate": float("nan")}, "optimizer.learning_rate is finite"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as refused:
        dataclasses.replace(training.OptimizerConfig(), **wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["learning_rate", "epsilon", "weight_decay", "clip_norm"])
def test_what_is_not_finite_is_refused(name):
    with pytest.raises(ValueError, match=f"optimizer.{name} is finite"):
        training.OptimizerConfig(**{name: float("inf")})
