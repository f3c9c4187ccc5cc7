"""Parameters as named tensors: dotted names, those that a model expects, one error for all that differ."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxlm import models

Shape = tuple[int, ...]


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the leaves by dotted name, `body.block_00.attention.qkv.kernel`."""
    return traverse_util.flatten_dict(dict(params), sep=".")


def unflatten(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Undoes `flatten`."""
    return traverse_util.unflatten_dict(dict(tensors), sep=".")


def expected_shapes(
    config: models.TransformerConfig, objective: models.Objective, head: models.Heads = None
) -> dict[str, Shape]:
    """Returns the shape of every parameter by dotted name; nothing is allocated."""
    model = models.build(config, objective, head)
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)["params"]
    return {name: leaf.shape for name, leaf in flatten(shapes).items()}


def check_tensors(where: str, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Refuses tensors that are not exactly the expected ones.

    Raises:
      ValueError: one line that names every missing, unexpected and misshapen tensor.
    """
    misshapen = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    refuse_differences(where, expected.keys() - found.keys(), found.keys() - expected.keys(), misshapen)


def refuse_differences(
    where: str, missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str]
) -> None:
    """Raises the one-line ValueError of what differs, if anything does."""
    differences = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    told = [f"{kind} {', '.join(sorted(names))}" for kind, names in differences.items() if names]
    if told:
        raise ValueError(f"{where}: these are not the tensors of its model: {'; '.join(told)}")


def as_params(tensors: Mapping[str, np.ndarray], config: models.TransformerConfig) -> dict[str, Any]:
    """Returns named tensors as the parameters of the config's model, in its dtype and stacked if it scans."""
    dtype = jnp.dtype(config.param_dtype)
    params = unflatten({name: jnp.asarray(tensor, dtype) for name, tensor in tensors.items()})
    return models.stack_blocks(params) if config.scan_layers else params
