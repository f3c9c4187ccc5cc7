import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops
from tests.models.conftest import INSTRUCTION


def test_logits_are_features_times_output_weights(small):
    for case in (small(), small(tie_embeddings=False, head="linear", head_bias=False)):
        hidden = case.model.apply(case.variables, jnp.array([[1, 2, 3]])).hidden
        logits = case.model.apply(case.variables, hidden, method="logits")
        features = case.model.apply(case.variables, hidden, method="features")
        kernel, bias = case.model.apply(case.variables, method="output_weights")
        expected = np.asarray(features) @ np.asarray(kernel).T + (0 if bias is None else np.asarray(bias))
        np.testing.assert_allclose(logits, expected, atol=1e-5)  # float32 sums of 16 terms
        picked = case.model.apply(case.variables, hidden[0, 1], method="logits")
        np.testing.assert_allclose(picked, logits[0, 1], atol=1e-5)


def test_a_tied_kernel_is_the_embedding(small):
    case = small()
    kernel, bias = case.model.apply(case.variables, method="output_weights")
    np.testing.assert_array_equal(
        kernel, case.variables["params"]["body"]["embeddings"]["token"]["embedding"]
    )
    assert bias.shape == (11,)
    assert "kernel" not in case.variables["params"]["head"]["decode"]


def test_names_and_shapes_of_parameters(small):
    params = small(num_kv_heads=2, activation="geglu", embedding_norm=True).variables["params"]
    shapes = {
        ".".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if "block_01" not in str(path)
    }
    assert shapes == {
        "body.embeddings.token.embedding": (11, 16),
        "body.embeddings.position.embedding": (16, 16),
        "body.embeddings.norm.scale": (16,),
        "body.embeddings.norm.bias": (16,),
        "body.block_00.attention_norm.scale": (16,),
        "body.block_00.attention_norm.bias": (16,),
        "body.block_00.attention.qkv.kernel": (32, 16),  # 4 query, 2 key and 2 value heads of 4
        "body.block_00.attention.qkv.bias": (32,),
        "body.block_00.attention.output.kernel": (16, 16),
        "body.block_00.attention.output.bias": (16,),
        "body.block_00.mlp_norm.scale": (16,),
        "body.block_00.mlp_norm.bias": (16,),
        "body.block_00.mlp.up.kernel": (64, 16),  # gate, then up
        "body.block_00.mlp.up.bias": (64,),
        "body.block_00.mlp.down.kernel": (16, 32),
        "body.block_00.mlp.down.bias": (16,),
        "body.final_norm.scale": (16,),
        "body.final_norm.bias": (16,),
        "head.transform.kernel": (16, 16),
        "head.transform.bias": (16,),
        "head.norm.scale": (16,),
        "head.norm.bias": (16,),
        "head.decode.bias": (11,),
    }


def test_parameters_start_as_documented():
    config = models.TransformerConfig(vocab_size=500, width=64, depth=1, embedding_norm=True)
    params = jax.jit(models.build(config).init)(jax.random.key(0), jnp.array([[1]]))["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        kind = path[-1].key
        if kind in ("kernel", "embedding"):
            # 4,096 draws or more: 6 sigma of their mean and of their deviation
            assert abs(leaf.mean()) < 6 * 0.02 / leaf.size**0.5
            assert abs(leaf.std() - 0.02) < 6 * 0.02 / (2 * leaf.size) ** 0.5
        else:
            np.testing.assert_array_equal(leaf, 1.0 if kind == "scale" else 0.0)


@pytest.mark.parametrize("scan_layers", [False, True])
def test_intermediates(small, scan_layers):
    case = small(position="none", causal=True, num_kv_heads=2, scan_layers=scan_layers)
    inputs = models.Inputs(tokens=jnp.array([[1, 2, 3, 4]]), segments=jnp.array([[1, 1, 1, 0]]))
    wanted = (models.Site.ATTENTION_PROBS, models.Site.RESIDUAL)
    output = case.model.apply(case.variables, inputs, intermediates=wanted)
    assert set(output.intermediates) == set(wanted)
    probs = np.asarray(output.intermediates[models.Site.ATTENTION_PROBS][1])
    assert probs.shape == (1, 4, 4, 4) and probs.dtype == np.float32
    np.testing.assert_allclose(probs[0, :, :3].sum(-1), 1.0, atol=1e-6)
    assert not probs[0][:, ~np.tril(np.ones((4, 4), bool))].any() and not probs[..., 3].any()
    norm = case.variables["params"]["body"]["final_norm"]
    last = ops.layer_norm(output.intermediates[models.Site.RESIDUAL][1], norm["scale"], norm["bias"], 1e-5)
    np.testing.assert_allclose(last, output.hidden, atol=1e-6)
    plain = case.model.apply(case.variables, inputs)
    assert plain.intermediates == {}
    np.testing.assert_allclose(plain.hidden, output.hidden, atol=1e-5)


def test_an_attention_mask_restricts_further(small):
    case = small(position="rotary")
    tokens, segments = jnp.array([[1, 2, 3, 4]]), jnp.array([[1, 1, 2, 2]])
    free = case.logits(case.variables, tokens, attention_mask=ops.attention_mask(segments))
    # Without segments the positions run on, but rotary ones only matter by their distance.
    np.testing.assert_allclose(free, case.logits(case.variables, tokens, segments=segments), atol=1e-5)
    nothing = jnp.zeros((1, 4, 4, 4), bool)
    alone = case.logits(case.variables, tokens, segments=segments, attention_mask=nothing)
    one = case.logits(case.variables, tokens.reshape(4, 1), attention_mask=jnp.zeros((4, 1, 1, 1), bool))
    np.testing.assert_allclose(alone[0], one[:, 0], atol=1e-5)


def test_the_embedding_scale_multiplies_tokens_only(small):
    case = small(embedding_scale=4.0)
    params = dict(case.variables["params"]["body"]["embeddings"])
    wanted = (models.Site.EMBEDDINGS,)
    start = case.model.apply(case.variables, jnp.array([[3, 1]]), intermediates=wanted)
    expected = 4.0 * params["token"]["embedding"][jnp.array([3, 1])] + params["position"]["embedding"][:2]
    np.testing.assert_allclose(start.intermediates[models.Site.EMBEDDINGS][0, 0], expected, atol=1e-6)


DROPOUTS = ["embedding_dropout", "attention_dropout", "attention_output_dropout", "mlp_dropout"]


@pytest.mark.parametrize("name", DROPOUTS)
def test_each_dropout_acts_in_training_and_only_there(small, name):
    case, plain = small(depth=1, **{name: 0.5}), small(depth=1)
    tokens = jnp.array([[1, 2, 3, 4]])

    @jax.jit
    def hidden(rng):
        return case.model.apply(case.variables, tokens, deterministic=False, rngs={"dropout": rng}).hidden

    first, again, other = (hidden(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    np.testing.assert_array_equal(case.logits(case.variables, tokens), plain.logits(plain.variables, tokens))


@pytest.mark.parametrize("scan_layers", [False, True])
def test_dropout_differs_between_blocks(small, scan_layers):
    """Biases alone feed the residual stream, so that an element is 0 exactly where it was dropped."""
    case = small(width=64, position="none", attention_output_dropout=0.5, scan_layers=scan_layers)

    def only_output_biases(path, leaf):
        names = [key.key for key in path]
        return jnp.ones_like(leaf) if names[-3:] == ["attention", "output", "bias"] else jnp.zeros_like(leaf)

    variables = jax.tree_util.tree_map_with_path(only_output_biases, case.variables)
    how = {"deterministic": False, "rngs": {"dropout": jax.random.key(0)}}
    output = case.model.apply(variables, jnp.arange(8)[None], intermediates=(models.Site.RESIDUAL,), **how)
    streams = output.intermediates[models.Site.RESIDUAL]
    first, second = streams[0] != 0, streams[1] - streams[0] != 0
    # 512 fair coins each: independent patterns agree on half of them, to 6 sigma
    assert abs((first == second).mean() - 0.5) < 6 * 0.5 / 512**0.5


def test_learned_positions_end_and_given_ones_are_clipped(small):
    case = small(max_length=4)
    with pytest.raises(ValueError, match="learned positions end at max_length=4: got rows of 5 tokens"):
        case.logits(case.variables, jnp.ones((1, 5), jnp.int32))
    tokens = jnp.ones((1, 2), jnp.int32)
    beyond = case.logits(case.variables, tokens, positions=jnp.array([[3, 9]]))
    last = case.logits(case.variables, tokens, positions=jnp.array([[3, 3]]))
    np.testing.assert_array_equal(beyond, last)


def test_instruction_positions_follow_from_the_tokens_seen_unless_given(small):
    case = small(position=INSTRUCTION)
    clean, corrupted = jnp.array([[1, 5, 2, 3]]), jnp.array([[1, 4, 2, 3]])
    merged = ops.instruction_positions(corrupted, None, 5)
    seen = case.logits(case.variables, corrupted)
    np.testing.assert_array_equal(seen, case.logits(case.variables, corrupted, positions=merged))
    told = case.logits(case.variables, corrupted, positions=ops.instruction_positions(clean, None, 5))
    assert np.abs(told - seen).max() > 1e-3


def test_an_id_outside_the_vocabulary_is_seen(small):
    case = small()
    assert np.isnan(case.logits(case.variables, jnp.array([[1, 11]]))).any()


WRONG_CALLS = [
    ({"position": "learned"}, {}, "tokens or embeddings: got neither"),
    ({"position": INSTRUCTION}, {"embeddings": jnp.zeros((1, 2, 16))}, "pass positions too"),
    (
        {"position": INSTRUCTION},
        {"tokens": jnp.zeros((1, 2), jnp.int32), "positions": jnp.zeros((1, 2), jnp.int32)},
        r"reads positions of shape \(1, 2, 2\): got \(1, 2\)",
    ),
]


@pytest.mark.parametrize(("options", "call", "message"), WRONG_CALLS)
def test_a_wrong_call_is_one_line(small, options, call, message):
    case = small(**options)
    with pytest.raises(ValueError, match=message):
        case.model.apply(case.variables, models.Inputs(**call))


def test_build_refuses_what_the_objective_contradicts(small):
    config = small().config
    causal = dataclasses.replace(config, causal=True)
    for wrong, objective, message in [
        (causal, "masked_lm", "got causal=True"),
        (config, "causal_lm", "got causal=False"),
        (dataclasses.replace(config, vocab_size=None), "masked_lm", "needs vocab_size"),
    ]:
        with pytest.raises(ValueError, match=message):
            models.build(wrong, objective)
    assert type(models.build(config, "masked_lm")) is models.MaskedLM
    assert type(models.build(causal, "causal_lm")) is models.CausalLM
