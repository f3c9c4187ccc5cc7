"""Tiny random models of transformers beside ours: imported, compared in logits and gradients, exported."""

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxlm import models
from jaxlm.pretrained._families import family_for, family_of
from jaxlm.pretrained._rows import to_file_tensors, to_parameter
from jaxlm.pretrained._tensors import as_params, flatten

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ROWS = np.array([[11, 2, 3, 4, 5, 6, 7, 8, 9, 10], [8, 9, 10, 11, 12, 3, 1, 1, 1, 1]], np.int32)
SEGMENTS = np.array([[1] * 10, [1] * 6 + [0] * 4], np.int32)
# The same two texts each in a row of its own, padded further, and both in one row.
TOKENS = np.concatenate([np.pad(ROWS, ((0, 0), (0, 6))), ROWS[SEGMENTS > 0][None]])
SEGMENTS_OF_TOKENS = np.pad(SEGMENTS, ((0, 1), (0, 6)))
SEGMENTS_OF_TOKENS[2] = [1] * 10 + [2] * 6
# Of the logits that a gradient is taken of: those of the texts in rows of their own.
WEIGHTS = np.random.default_rng(0).normal(size=(3, 16, 300)).astype(np.float32) / 16
WEIGHTS[2] = 0.0
WEIGHTS[:2] *= (SEGMENTS_OF_TOKENS[:2] > 0)[..., None]
# What transformers wants in a file and no language model reads: BERT's second bias of untied embeddings, the
# head for contacts of ESM, and what it computes anew.
IDLE = (
    "cls.predictions.bias",
    "lm_head.bias",
    "contact_head.regression.weight",
    "contact_head.regression.bias",
)
COMPUTED = "rotary_embeddings.inv_freq"


class Pair(NamedTuple):
    """A model of transformers, its config.json and its tensors, and ours made of them."""

    theirs: Any
    values: dict[str, Any]
    tensors: dict[str, np.ndarray]
    config: models.TransformerConfig
    model: Any
    params: dict[str, Any]
    family: Any


def random_model(kind: Callable, config: Any) -> Any:
    """A model whose every tensor is random and far from its start, or an unused one would pass."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            scale = "norm" in name.lower() or ".ln_" in name
            tensor.normal_(1.0 if scale and name.endswith("weight") else 0.0, 0.2)
        model.tie_weights()
    return model


def saved(model: Any, folder: Any) -> dict[str, np.ndarray]:
    """The tensors as `save_pretrained` writes them."""
    model.save_pretrained(folder)
    return safetensors.numpy.load_file(folder / "model.safetensors")


def imported(kind: Callable, config: Any, folder: Any) -> Pair:
    theirs = random_model(kind, config)
    tensors = saved(theirs, folder)
    values = json.loads((folder / "config.json").read_text())
    family = family_of(values)
    ours = family.config(values)
    model = models.build(ours, family.kind)
    params = as_params(read(family, ours, tensors), ours)
    return Pair(theirs, values, tensors, ours, model, params, family)


def read(
    family: Any, config: models.TransformerConfig, tensors: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    names, rows = family.names(config, tensors), family.rows(config)
    assert set(names.found) == {name for row in rows for name in row.theirs}
    return {row.ours: to_parameter(row, [tensors[names.found[name]] for name in row.theirs]) for row in rows}


def written(family: Any, config: models.TransformerConfig, params: Any) -> dict[str, np.ndarray]:
    leaves = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
    return {
        name: part
        for row in family.rows(config)
        for name, part in zip(row.theirs, to_file_tensors(row, leaves[row.ours]), strict=True)
    }


# What is compiled here runs once, on a few tokens: the time is the compiler's.
quickly = functools.partial(
    jax.jit,
    static_argnums=0,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)


@quickly
def logits(model: Any, params: Any, tokens: jax.Array, segments: jax.Array, *extra: jax.Array) -> jax.Array:
    return _apply(model, params, tokens, segments, **({"token_types": extra[0]} if extra else {}))


@quickly
def logits_and_gradient(model: Any, params: Any) -> tuple[jax.Array, Any]:
    """Logits of `TOKENS`, and the gradient of their sum with the weights `WEIGHTS`."""

    def total(params: Any) -> tuple[jax.Array, jax.Array]:
        found = _apply(model, params, jnp.asarray(TOKENS), jnp.asarray(SEGMENTS_OF_TOKENS))
        return (found * WEIGHTS[..., : found.shape[-1]]).sum(), found

    gradient, found = jax.grad(total, has_aux=True)(params)
    return found, gradient


def _apply(model: Any, params: Any, tokens: Any, segments: Any, **named: jax.Array) -> jax.Array:
    hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments, **named)).hidden
    return model.apply({"params": params}, hidden, method="logits")


def their_logits(model: Any, tokens: np.ndarray, segments: np.ndarray, **named: np.ndarray) -> Any:
    arrays = {name: torch.tensor(array).long() for name, array in named.items()}
    mask = torch.tensor(segments > 0).long()
    return model(input_ids=torch.tensor(tokens).long(), attention_mask=mask, **arrays).logits


def their_texts(model: Any, alone: bool) -> Any:
    """Logits of all real tokens, one text after the other; `alone`: each in a batch of its own, unpadded."""
    if not alone:
        return their_logits(model, ROWS, SEGMENTS)[torch.tensor(SEGMENTS > 0)]
    rows = [(row[mask > 0][None], mask[mask > 0][None]) for row, mask in zip(ROWS, SEGMENTS, strict=True)]
    return torch.cat([their_logits(model, *row)[0] for row in rows])


def assert_same_logits(pair: Pair, rows: np.ndarray = ROWS, segments: np.ndarray = SEGMENTS) -> None:
    with torch.no_grad():
        expected = their_logits(pair.theirs, rows, segments).numpy()
    got = np.asarray(logits(pair.model, pair.params, rows, segments))
    np.testing.assert_allclose(got[segments > 0], expected[segments > 0], rtol=0, atol=1e-4)


def assert_same(pair: Pair, alone: bool) -> None:
    """Logits of padded rows and of the same texts packed, and the gradient by every parameter."""
    found, gradient = logits_and_gradient(pair.model, pair.params)
    pair.theirs.zero_grad()
    expected = their_texts(pair.theirs, alone)
    padded, packed = np.asarray(found[:2])[SEGMENTS_OF_TOKENS[:2] > 0], np.asarray(found[2])
    for got in (padded, packed):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=0, atol=1e-4)
    weights = WEIGHTS[:2][SEGMENTS_OF_TOKENS[:2] > 0][:, : expected.shape[-1]]
    (expected * torch.tensor(weights)).sum().backward()
    assert_gradients(pair, written(pair.family, pair.config, gradient))


def assert_gradients(pair: Pair, got: dict[str, np.ndarray]) -> None:
    expected = {name: tensor.grad for name, tensor in pair.theirs.named_parameters()}
    names = pair.family.names(pair.config, expected).found
    assert {*names} == {*got}, {*names} ^ {*got}
    for canonical, name in names.items():
        # A parameter that text of one type, or of a few ids, does not touch has no gradient there.
        wanted = np.zeros_like(got[canonical]) if expected[name] is None else expected[name].numpy()
        np.testing.assert_allclose(got[canonical], wanted, rtol=0, atol=1e-3, err_msg=name)


def assert_round_trip(pair: Pair, folder: Any, alone: bool = False) -> None:
    """Exported tensors are the file's byte for byte, and transformers computes the same from them."""
    exported = written(pair.family, pair.config, pair.params)
    names = pair.family.names(pair.config, pair.tensors)
    assert exported.keys() == names.found.keys()
    for canonical, name in names.found.items():
        assert exported[canonical].tobytes() == pair.tensors[name].tobytes(), name
        assert exported[canonical].shape == pair.tensors[name].shape, name
    family = family_for(pair.config, pair.family.kind)
    folder.mkdir()
    ids = {name: value for name, value in pair.values.items() if name.endswith("_token_id")}
    again = written(family, pair.config, pair.params)
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in again.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(family.config_json(pair.config, ids)))
    auto = transformers.AutoModelForCausalLM if pair.config.causal else transformers.AutoModelForMaskedLM
    loaded, report = auto.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    assert not report["unexpected_keys"] and not report["mismatched_keys"]
    assert not [name for name in report["missing_keys"] if not name.endswith((*IDLE, COMPUTED))]
    with torch.no_grad():
        expected, got = (their_texts(model, alone).numpy() for model in (pair.theirs, loaded.eval()))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def assert_parity(kind: Callable, config: Any, folder: Any, *, alone: bool = False) -> Pair:
    """All of it: logits of rows with padding and packed, gradients, and the way back.

    Args:
      kind: the class in transformers.
      config: of a model of 13 ids or more.
      folder: an empty one.
      alone: whether transformers reads the texts one by one, where padding matters to it.
    """
    pair = imported(kind, config, folder / "theirs")
    assert_same(pair, alone)
    assert_round_trip(pair, folder / "ours", alone)
    return pair
