"""A config.json that claims more than any model has, or than its weights hold, is refused at once."""

import dataclasses
import json
import time

import jax
import jax.numpy as jnp
import pytest

from jaxlm import models, pretrained
from jaxlm.pretrained import _size_checks
from jaxlm.pretrained._families import FAMILIES

SIZE = {"vocab_size": 40, "width": 8, "depth": 2, "num_heads": 2, "max_length": 16}
ENORMOUS = (10**6, 2**31 - 1, 2**31, 2 * 10**12, 2**63, 2**64, 10**30, 10**400)
SECONDS = 5  # of a machine that does other work beside


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of tiny models, ours and Hugging Face's, by the name of their kind of positions."""
    made = {}
    for position in ("learned", "rotary", "relative", "sinusoidal"):
        config = models.TransformerConfig(causal=True, position=position, **SIZE)
        model = models.build(config, "causal_lm")
        params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        made[position] = tmp_path_factory.mktemp(position)
        pretrained.save_model(made[position], config, params, None, kind="causal_lm")
    return made


def refused(folder, values):
    (folder / "config.json").write_text(json.dumps(values))
    for door in (pretrained.inspect, pretrained.load):
        began = time.monotonic()
        with pytest.raises(ValueError) as caught:
            door(folder)
        assert time.monotonic() - began < SECONDS
        assert "config.json" in str(caught.value) and "\n" not in str(caught.value)


def changed(values, name, value):
    """The fields of a model with another value in one, which may be in a record among them."""
    outer, _, inner = name.rpartition(".")
    if not outer:
        return {**values, name: value}
    return {**values, outer: {**(values[outer] or {}), inner: value}}


@pytest.mark.parametrize("position", ["learned", "rotary", "relative", "sinusoidal"])
def test_every_size_of_ours(folders, position):
    folder = folders[position]
    kept = json.loads((folder / "config.json").read_text())
    further = [
        "mlp_width",
        "head_width",
        "num_kv_heads",
        "decoder.depth",
        "position.buckets",
        "token_types",
    ]
    try:
        for name in (*SIZE, *further):
            # How far a model reads is no size of its weights, but where positions are learned.
            if name == "num_heads" or (name == "max_length" and position in ("rotary", "relative")):
                continue
            if name == "position.buckets" and position != "relative":
                continue
            for value in ENORMOUS[1:]:
                refused(folder, {**kept, "model": changed(kept["model"], name, value)})
    finally:
        (folder / "config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_counts_of_layers_of_every_family(family):
    names = family._layers()
    assert names
    for name in names:
        for value in (10_001, *ENORMOUS, 1e300, float("inf")):
            began = time.monotonic()
            with pytest.raises(ValueError) as caught:
                family.config({name: value})
            assert time.monotonic() - began < SECONDS
            assert len(str(caught.value)) < 600


def test_what_no_model_has_is_no_config():
    for make, name in [
        (models.TransformerConfig, "depth"),
        (models.DecoderConfig, "depth"),
        (models.Relative, "distance"),
        (models.Relative, "buckets"),
    ]:
        with pytest.raises(ValueError, match=f"{name} must be at most"):
            make(**{name: 2**31 - 1})
    with pytest.raises(ValueError, match="table of max_length times width"):
        models.TransformerConfig(position="sinusoidal", **{**SIZE, "max_length": 2**30})


def test_a_config_a_little_beyond_its_weights_is_told_by_tensors(folders):
    folder = folders["learned"]
    kept = json.loads((folder / "config.json").read_text())
    try:
        (folder / "config.json").write_text(json.dumps({**kept, "model": {**kept["model"], "depth": 3}}))
        with pytest.raises(ValueError, match="block_02"):
            pretrained.load(folder)
    finally:
        (folder / "config.json").write_text(json.dumps(kept))


def test_weights_without_tensors_claim_nothing():
    config = models.TransformerConfig(**SIZE)
    _size_checks.check_sizes(dataclasses.replace(config, depth=9), {})
