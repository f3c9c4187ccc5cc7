"""Tiny random encoder-decoders of transformers beside ours: logits, gradients, and the way back."""

import functools
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from jaxlm import models
from jaxlm.pretrained._families import family_for, family_of
from jaxlm.pretrained._tensors import as_params, flatten
from tests.pretrained.parity import ROWS, SEGMENTS, Pair, read, torch, transformers, written

WRITTEN = np.array([[0, 3, 7, 4, 9, 2, 5], [0, 8, 6, 1, 1, 1, 1]], np.int32)
WRITTEN_SEGMENTS = np.array([[1] * 7, [1] * 3 + [0] * 4], np.int32)
WEIGHTS = np.random.default_rng(1).normal(size=(10, 13)).astype(np.float32) / 16
# What transformers computes, or no parameter of its.
COMPUTED = ("encoder.embed_positions.weight", "decoder.embed_positions.weight", "final_logits_bias")
# What tiny models of a family have in common.
SIDES = {
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "d_model": 16,
    "vocab_size": 13,
    "max_position_embeddings": 24,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
}
T5_SIZES = {
    "vocab_size": 13,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 2,
    "num_decoder_layers": 1,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}


def packed(rows: np.ndarray, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both texts in one row, with padding behind them."""
    numbers = segments * np.arange(1, len(rows) + 1, dtype=np.int32)[:, None]
    return tuple(np.pad(array[segments > 0], (0, 2))[None] for array in (rows, numbers))


def random_model(kind: Callable, config: Any, *, own_head: bool = False) -> Any:
    """A model whose every tensor is random and far from its start; `own_head`: not tied to the table."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        if own_head:
            model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
        for name, tensor in model.named_parameters():
            if tensor.requires_grad:
                scale = "norm" in name and name.endswith("weight")
                tensor.normal_(1.0 if scale else 0.0, 0.2)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_(0.0, 0.5)
    return model


def imported(theirs: Any, folder: Any) -> Pair:
    theirs.save_pretrained(folder)
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    values = json.loads((folder / "config.json").read_text())
    family = family_of(values)
    ours = family.settle(family.config(values), tensors)
    model = models.build(ours, family.kind)
    return Pair(theirs, values, tensors, ours, model, as_params(read(family, ours, tensors), ours), family)


@functools.partial(
    jax.jit,
    static_argnums=0,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)
def logits_and_gradient(model: Any, params: Any) -> tuple[list[jax.Array], Any]:
    """Logits of all real tokens, of padded rows and of packed ones, and the gradient of the former's sum."""

    def found(params: Any, pack: bool) -> jax.Array:
        read, written = ((ROWS, SEGMENTS), (WRITTEN, WRITTEN_SEGMENTS))
        read, written = (packed(*read), packed(*written)) if pack else (read, written)
        hidden = model.apply(
            {"params": params},
            models.Inputs(
                tokens=written[0],
                segments=written[1],
                encoder=models.Inputs(tokens=read[0], segments=read[1]),
            ),
        ).hidden
        return model.apply({"params": params}, hidden[written[1] > 0], method="logits")

    def total(params: Any) -> tuple[jax.Array, jax.Array]:
        logits = found(params, False)
        return (logits * WEIGHTS).sum(), logits

    gradient, padded = jax.grad(total, has_aux=True)(params)
    return [padded, found(params, True)], gradient


def their_logits(model: Any) -> Any:
    rows, masks, written, written_masks = (
        torch.tensor(array).long() for array in (ROWS, SEGMENTS, WRITTEN, WRITTEN_SEGMENTS)
    )
    named = {"attention_mask": masks, "decoder_input_ids": written, "decoder_attention_mask": written_masks}
    return model(input_ids=rows, **named).logits[written_masks > 0]


def assert_parity(theirs: Any, folder: Any) -> Pair:
    """Logits of rows with padding and packed, gradients, and the way back.

    Args:
      theirs: a model of 13 ids.
      folder: an empty one.
    """
    pair = imported(theirs, folder / "theirs")
    found, gradient = logits_and_gradient(pair.model, pair.params)
    expected = their_logits(theirs)
    for got in found:
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=1e-4)
    theirs.zero_grad()
    (expected * torch.tensor(WEIGHTS)).sum().backward()
    assert_gradients(pair, written(pair.family, pair.config, gradient))
    assert_round_trip(pair, folder / "ours")
    return pair


def assert_gradients(pair: Pair, got: dict[str, np.ndarray]) -> None:
    expected = {name: tensor.grad for name, tensor in pair.theirs.named_parameters() if tensor.requires_grad}
    names = pair.family.names(pair.config, expected).found
    assert {*names} == {*got} - {"final_logits_bias"}
    for canonical, name in names.items():
        np.testing.assert_allclose(got[canonical], expected[name].numpy(), rtol=0, atol=1e-3, err_msg=name)


def assert_round_trip(pair: Pair, folder: Any) -> None:
    """Exported tensors are the file's byte for byte, and transformers computes the same from them."""
    exported = written(pair.family, pair.config, pair.params)
    names = pair.family.names(pair.config, pair.tensors)
    assert exported.keys() == names.found.keys()
    for canonical, name in names.found.items():
        assert exported[canonical].tobytes() == pair.tensors[name].tobytes(), name
        assert exported[canonical].shape == pair.tensors[name].shape, name
    family = family_for(pair.config, "seq2seq_lm")
    assert family is pair.family
    folder.mkdir()
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in exported.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    ids = {name: value for name, value in pair.values.items() if name.endswith("_token_id")}
    (folder / "config.json").write_text(json.dumps(family.config_json(pair.config, ids)))
    loaded, report = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, output_loading_info=True)
    assert type(loaded) is type(pair.theirs)
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert not [name for name in report["missing_keys"] if not name.endswith(COMPUTED)]
    with torch.no_grad():
        expected, got = (their_logits(model).numpy() for model in (pair.theirs, loaded.eval()))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def leaves(params: Any) -> set[str]:
    """The names of all parameters."""
    return {*flatten(params)}
