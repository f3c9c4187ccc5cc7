"""What a model is, as one line of hexadecimal digits."""

import hashlib
from typing import Any

import jax
import numpy as np


def weights_fingerprint(params: Any) -> str:
    """Returns the SHA-256 of all parameters: their names, types, shapes and bits.

    Args:
      params: of a model.

    Example:
      >>> weights_fingerprint({"scale": np.ones(2, np.float32)})[:12]
      '12bd6c6d9e4d'
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()
