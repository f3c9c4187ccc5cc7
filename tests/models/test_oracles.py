"""Tiny random Hugging Face models, whose tensors are copied into ours: the same logits."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# float32 sums of at most 64 terms of order one, through three blocks
TOLERANCE = {"rtol": 0, "atol": 2e-5}
TOKENS = np.array([[1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 0, 0]], np.int32)
SEGMENTS = np.array([[1] * 7, [1] * 5 + [0] * 2], np.int32)


def drawn(model):
    """Every tensor random and far from its start, or an unused bias would pass."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.normal_(1.0 if "norm" in name.lower() and "weight" in name else 0.0, 0.2)
    return model.eval()


def arrays(model):
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def ours(model, params, tokens, segments):
    variables = {"params": params}
    hidden = model.apply(variables, models.Inputs(tokens=tokens, segments=segments)).hidden
    return np.asarray(model.apply(variables, hidden, method="logits"))


def theirs(model, tokens, segments):
    with torch.no_grad():
        attention_mask = torch.tensor(segments > 0).long()
        return model(input_ids=torch.tensor(tokens).long(), attention_mask=attention_mask).logits.numpy()


def joined(tensors, names, kind):
    return jnp.asarray(np.concatenate([tensors[f"{name}.{kind}"] for name in names]))


def renamed(tensors, name, **kinds):
    return {ours: jnp.asarray(tensors[f"{name}.{theirs}"]) for theirs, ours in kinds.items()}


def test_bert():
    model = drawn(
        transformers.BertForMaskedLM(
            transformers.BertConfig(
                vocab_size=13,
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=4,
                intermediate_size=32,
                max_position_embeddings=8,
                layer_norm_eps=1e-3,
            )
        )
    )
    tensors = arrays(model)
    config = models.TransformerConfig(
        vocab_size=13,
        width=16,
        depth=3,
        num_heads=4,
        mlp_width=32,
        max_length=8,
        norm_placement="post",
        norm_epsilon=1e-3,
        embedding_norm=True,
    )
    linear, norm = {"weight": "kernel", "bias": "bias"}, {"weight": "scale", "bias": "bias"}

    def block(layer):
        prefix = f"bert.encoder.layer.{layer}"
        names = [f"{prefix}.attention.self.{name}" for name in ("query", "key", "value")]
        return {
            "attention": {
                "qkv": {"kernel": joined(tensors, names, "weight"), "bias": joined(tensors, names, "bias")},
                "output": renamed(tensors, f"{prefix}.attention.output.dense", **linear),
            },
            "attention_norm": renamed(tensors, f"{prefix}.attention.output.LayerNorm", **norm),
            "mlp": {
                "up": renamed(tensors, f"{prefix}.intermediate.dense", **linear),
                "down": renamed(tensors, f"{prefix}.output.dense", **linear),
            },
            "mlp_norm": renamed(tensors, f"{prefix}.output.LayerNorm", **norm),
        }

    embeddings = "bert.embeddings"
    kinds = tensors[f"{embeddings}.token_type_embeddings.weight"][:1]  # every token is of the first type
    places = tensors[f"{embeddings}.position_embeddings.weight"] + kinds
    params = {
        "body": {
            "embeddings": {
                "token": renamed(tensors, f"{embeddings}.word_embeddings", weight="embedding"),
                "position": {"embedding": jnp.asarray(places)},
                "norm": renamed(tensors, f"{embeddings}.LayerNorm", **norm),
            },
            **{f"block_{layer:02d}": block(layer) for layer in range(3)},
        },
        "head": {
            "transform": renamed(tensors, "cls.predictions.transform.dense", **linear),
            "norm": renamed(tensors, "cls.predictions.transform.LayerNorm", **norm),
            "decode": renamed(tensors, "cls.predictions", bias="bias"),
        },
    }
    got = ours(models.MaskedLM(config), params, TOKENS, SEGMENTS)
    expected = theirs(model, TOKENS, SEGMENTS)
    np.testing.assert_allclose(got[SEGMENTS > 0], expected[SEGMENTS > 0], **TOLERANCE)


def test_mistral():
    """Causal, rotary, grouped heads of a width of their own, a window, RMSNorm, SwiGLU, no biases, untied."""
    model = drawn(
        transformers.MistralForCausalLM(
            transformers.MistralConfig(
                vocab_size=13,
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=6,
                intermediate_size=24,
                sliding_window=3,
                rms_norm_eps=1e-3,
                rope_parameters={"rope_type": "default", "rope_theta": 100.0},
                attn_implementation="eager",
            )
        )
    )
    tensors = arrays(model)
    config = models.TransformerConfig(
        vocab_size=13,
        width=16,
        depth=3,
        num_heads=4,
        num_kv_heads=2,
        head_width=6,
        mlp_width=24,
        window=3,
        causal=True,
        position=models.Rotary(base=100.0),
        norm="rms",
        norm_epsilon=1e-3,
        activation="swiglu",
        use_bias=False,
        tie_embeddings=False,
        head="linear",
        head_bias=False,
    )

    def block(layer):
        prefix = f"model.layers.{layer}"
        names = [f"{prefix}.self_attn.{name}_proj" for name in "qkv"]
        gate_and_up = [f"{prefix}.mlp.{name}_proj" for name in ("gate", "up")]
        return {
            "attention": {
                "qkv": {"kernel": joined(tensors, names, "weight")},
                "output": renamed(tensors, f"{prefix}.self_attn.o_proj", weight="kernel"),
            },
            "attention_norm": renamed(tensors, f"{prefix}.input_layernorm", weight="scale"),
            "mlp": {
                "up": {"kernel": joined(tensors, gate_and_up, "weight")},
                "down": renamed(tensors, f"{prefix}.mlp.down_proj", weight="kernel"),
            },
            "mlp_norm": renamed(tensors, f"{prefix}.post_attention_layernorm", weight="scale"),
        }

    blocks = {f"block_{layer:02d}": block(layer) for layer in range(3)}
    params = {
        "body": {
            "embeddings": {"token": renamed(tensors, "model.embed_tokens", weight="embedding")},
            **blocks,
            "final_norm": renamed(tensors, "model.norm", weight="scale"),
        },
        "head": {"decode": renamed(tensors, "lm_head", weight="kernel")},
    }
    got = ours(models.CausalLM(config), params, TOKENS, SEGMENTS)
    expected = theirs(model, TOKENS, SEGMENTS)
    np.testing.assert_allclose(got[SEGMENTS > 0], expected[SEGMENTS > 0], **TOLERANCE)
    # A wider window or full heads would not pass: the comparison sees them.
    wider = ours(models.CausalLM(dataclasses.replace(config, window=4)), params, TOKENS, SEGMENTS)
    assert np.abs(wider - expected)[SEGMENTS > 0].max() > 1e-2
