"""Tiny random T5, Marian and BART of transformers, and ours with the same weights."""

import functools
from typing import Any, NamedTuple

import pytest

from jaxlm import models
from jaxlm.pretrained._families import FAMILIES
from jaxlm.pretrained._tensors import as_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from tests.pretrained.parity import read  # noqa: E402

VOCAB = 23
SIDES = {
    "vocab_size": VOCAB,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 32,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 4,
    "forced_eos_token_id": None,
}
KINDS = {
    "t5": (
        "T5",
        "T5ForConditionalGeneration",
        {
            "vocab_size": VOCAB,
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 24,
            "num_layers": 2,
            "num_heads": 2,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 10,
            "decoder_start_token_id": 0,
            "eos_token_id": 4,
        },
    ),
    "marian": ("Marian", "MarianMTModel", SIDES),
    "bart": ("Bart", "BartForConditionalGeneration", SIDES),
}


class Oracle(NamedTuple):
    theirs: Any
    model: Any
    params: dict


@functools.cache
def oracle(name: str) -> Oracle:
    family, kind, options = KINDS[name]
    config = getattr(transformers, f"{family}Config")(**options)
    torch.manual_seed(1)
    theirs = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for path, parameter in theirs.named_parameters():
            if not path.endswith("embed_positions.weight") or name != "marian":
                parameter.add_(torch.randn_like(parameter) * 0.4)
        if hasattr(theirs, "final_logits_bias"):
            theirs.final_logits_bias.normal_(0.0, 1.0)
    tensors = {path: tensor.numpy() for path, tensor in theirs.state_dict().items()}
    table = FAMILIES[name]
    ours = table.config({**config.to_dict(), "n_positions": 32} if name == "t5" else config.to_dict())
    params = as_params(read(table, ours, tensors), ours)
    return Oracle(theirs, models.build(ours, "seq2seq_lm"), params)
