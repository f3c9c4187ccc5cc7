"""Parameters as tensors with dotted names: the expected ones, the check of others, and reading them."""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxlm import models
from jaxlm.devices import to_device
from jaxlm.errors import ModelError
from jaxlm.pretrained._stored import Shape, StoredTensor

# JAX's CPU device takes arrays without a copy if they begin at multiples of this many bytes.
ALIGNMENT = 64
# Reads the arrays that make a parameter, one after the other along its first axis.
Parts = Callable[[], Sequence[np.ndarray]]


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the leaves of a parameter tree by dotted name, `body.block_00.attention.qkv.kernel`."""
    return traverse_util.flatten_dict(dict(params), sep=".")


def unflatten(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameter tree of leaves by dotted name; undoes `flatten`."""
    return traverse_util.unflatten_dict(dict(tensors), sep=".")


def weights_fingerprint(params: Any) -> str:
    """Returns the SHA-256 in hexadecimal of a model's parameters: of their names, dtypes, shapes and bits.

    Args:
      params: the parameters of the model, a nested dict of arrays.

    Example:
      >>> import numpy as np
      >>> from jaxlm.pretrained import weights_fingerprint
      >>> first, second = ({"scale": np.full(2, value, np.float32)} for value in (1.0, 1.5))
      >>> len(weights_fingerprint(first)), weights_fingerprint(first) == weights_fingerprint(second)
      (64, False)
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def expected_shapes(
    config: models.TransformerConfig, kind: models.KindOrName, head: models.Heads = None
) -> dict[str, Shape]:
    """Returns the shape of every parameter by dotted name; nothing is allocated.

    Args:
      config: of the model.
      kind: of the model.
      head: as for `models.build`.
    """
    model = models.build(config, kind, head)
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), tokens)["params"]
    return {name: leaf.shape for name, leaf in flatten(shapes).items()}


def check_tensors(where: str, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Raises an error unless the tensors are exactly the expected ones.

    Args:
      where: what holds the tensors, for the message.
      found: shapes of the tensors.
      expected: shapes of the expected tensors.

    Raises:
      ModelError: one line that names every missing, unexpected and misshapen tensor.
    """
    misshapen = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    refuse_differences(where, expected.keys() - found.keys(), found.keys() - expected.keys(), misshapen)


def check_stored(where: str, found: Mapping[str, StoredTensor], expected: Mapping[str, Shape]) -> None:
    """Raises an error unless the tensors of a file are exactly the expected ones and hold floats.

    Args:
      where: what holds the tensors, for the message.
      found: the tensors.
      expected: shapes of the expected tensors.

    Raises:
      ModelError: one line that names every missing, unexpected and misshapen tensor, or those of integers.
    """
    check_tensors(where, {name: tensor.shape for name, tensor in found.items()}, expected)
    whole = [name for name in expected if not jnp.issubdtype(found[name].dtype, jnp.floating)]
    if whole:
        kinds = sorted({found[name].dtype.name for name in whole})
        told = ", ".join(whole[:4]) + (", ..." if len(whole) > 4 else "")
        raise ModelError(f"{where}: parameters are floats, and {told} are {' and '.join(kinds)}")


def refuse_differences(
    where: str, missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str]
) -> None:
    """Raises an error if any tensors differ from the expected ones.

    Args:
      where: what holds the tensors, for the message.
      missing: names of missing tensors.
      unexpected: names of unexpected tensors.
      misshapen: descriptions of tensors with a wrong shape.

    Raises:
      ModelError: one line that names them all.
    """
    differences = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    told = [f"{kind} {', '.join(sorted(names))}" for kind, names in differences.items() if names]
    if told:
        raise ModelError(f"{where}: these are not the tensors of its model: {'; '.join(told)}")


def as_params(tensors: Mapping[str, np.ndarray], config: models.TransformerConfig) -> dict[str, Any]:
    """Returns the parameters of a model from tensors by dotted name; see `read_params`."""
    return read_params({name: lambda tensor=tensor: [tensor] for name, tensor in tensors.items()}, config)


def read_params(parts: Mapping[str, Parts], config: models.TransformerConfig) -> dict[str, Any]:
    """Returns the parameters of a model in its dtype, with stacked blocks if it scans over them.

    Parameters are made one after the other, so that beside the finished ones only one takes memory.

    Args:
      parts: by dotted name of each parameter, block by block, the function that reads its parts.
      config: of the model.
    """
    dtype = jnp.dtype(config.param_dtype)
    layers: dict[str, list[Parts]] = {}
    for name, read in parts.items():
        stacked_name = re.sub(r"\.block_\d+\.", ".blocks.", name) if config.scan_layers else name
        layers.setdefault(stacked_name, []).append(read)
    stacked = {name for name in layers if name not in parts}
    return unflatten(
        {name: to_device(_joined(reads, dtype, name in stacked)) for name, reads in layers.items()}
    )


def _joined(layers: Sequence[Parts], dtype: np.dtype, is_stacked: bool) -> np.ndarray:
    """The array of a parameter, or of a parameter of every layer, from its parts."""
    read_first, *others = layers
    parts = read_first()
    rows = sum(part.shape[0] for part in parts)
    joined = _empty((len(layers), rows, *parts[0].shape[1:]), dtype)
    _fill(joined[0], parts)
    for layer, read in zip(joined[1:], others, strict=True):
        _fill(layer, read())
    return joined if is_stacked else joined[0]


def _fill(target: np.ndarray, parts: Sequence[np.ndarray]) -> None:
    """Copies arrays into a parameter, one after the other along its first axis."""
    start = 0
    for part in parts:
        _copy(part, target[start : start + part.shape[0]])
        start += part.shape[0]


def _empty(shape: Shape, dtype: np.dtype) -> np.ndarray:
    """An uninitialised array with the alignment at which JAX's CPU device takes it without a copy."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _copy(part: np.ndarray, target: np.ndarray) -> None:
    """Copies values into an array of another dtype."""
    if (part.dtype, target.dtype) != (jnp.bfloat16, np.float32):
        target[...] = part
        return
    # A bfloat16 is the upper half of a float32. Moving bits takes a fraction of the time of a cast.
    bits = target.view(np.uint32)
    bits[...] = part.view(np.uint16)
    bits <<= 16
