"""A tiny random GPT-2 of transformers, and ours with the same weights."""

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest

from jaxlm import models

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCAB = 23


class Oracle(NamedTuple):
    theirs: Any
    model: Any
    params: dict


@functools.cache
def oracle() -> Oracle:
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2, n_positions=40, bos_token_id=0, eos_token_id=0
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.4)
    theirs.tie_weights()
    ours = models.TransformerConfig(
        vocab_size=VOCAB,
        width=16,
        depth=1,
        num_heads=2,
        max_length=40,
        causal=True,
        activation="gelu_tanh",
        head="linear",
        head_bias=False,
    )
    tensors = {name: tensor.detach().numpy() for name, tensor in theirs.transformer.named_parameters()}
    return Oracle(theirs, models.build(ours, "causal_lm"), {"body": body(tensors, ours.depth), "head": {}})


def body(tensors: dict[str, np.ndarray], depth: int) -> dict:
    """GPT-2's kernels are stored [in, out], ours [out, in]."""

    def linear(name):
        return {"kernel": tensors[name + ".weight"].T, "bias": tensors[name + ".bias"]}

    def norm(name):
        return {"scale": tensors[name + ".weight"], "bias": tensors[name + ".bias"]}

    blocks = {
        f"block_{layer:02d}": {
            "attention": {
                "qkv": linear(f"h.{layer}.attn.c_attn"),
                "output": linear(f"h.{layer}.attn.c_proj"),
            },
            "attention_norm": norm(f"h.{layer}.ln_1"),
            "mlp": {"up": linear(f"h.{layer}.mlp.c_fc"), "down": linear(f"h.{layer}.mlp.c_proj")},
            "mlp_norm": norm(f"h.{layer}.ln_2"),
        }
        for layer in range(depth)
    }
    embeddings = {
        "token": {"embedding": tensors["wte.weight"]},
        "position": {"embedding": tensors["wpe.weight"]},
    }
    return {"embeddings": embeddings, "final_norm": norm("ln_f"), **blocks}


class Symbols:
    """A tokenizer of as many letters as the vocabulary has ids, which is all that generation asks of one."""

    def __new__(cls):
        import tokenizers as hf

        from jaxlm import tokenizers

        vocab = {chr(ord("a") + index): index for index in range(VOCAB)}
        backend = hf.Tokenizer(hf.models.WordLevel(vocab, unk_token="a"))
        backend.pre_tokenizer = hf.pre_tokenizers.Split("", "isolated")
        backend.decoder = hf.decoders.Fuse()
        return tokenizers.Tokenizer.from_json(backend.to_str())
