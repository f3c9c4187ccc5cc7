"""A digest of a model's parameters."""

import hashlib
from typing import Any

import jax
import numpy as np


def weights_fingerprint(params: Any) -> str:
    """Returns the SHA-256 of all parameters: their names, types, shapes and bits.

    Args:
      params: of a model.

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
