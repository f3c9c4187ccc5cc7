"""Torch's .bin files, which are pickles: read as weights alone through torch, or refused with a way out."""

import importlib.util
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxlm.errors import ModelError
from jaxlm.pretrained._safetensors import POINTER
from jaxlm.pretrained._stored import StoredTensor

# What numpy has no type for goes through the integers of the same width.
CARRIERS = {"bfloat16": "int16"}
TORCH_REMEDY = (
    "write them as safetensors where torch and transformers are: "
    "AutoModel.from_pretrained(FOLDER).save_pretrained(OUT)"
)


def open_torch(path: Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a torch file by name, read through `weights_only` loading: nothing in it is run.

    A file in torch's present format is mapped; one in its old format is read as a whole.

    Args:
      path: the file: a state dict.

    Raises:
      ModelError: one line that names the file and the way out: torch is not installed, the file holds more
        than weights, or no tensors by name, or is a pointer to a file of Git LFS.
    """
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ModelError(f"{path} is a Git LFS pointer to weights; fetch the file itself: git lfs pull")
    if importlib.util.find_spec("torch") is None:
        raise ModelError(
            f"{path} is a pickle, which is read through torch only, and torch is not installed: "
            f"pip install torch, or {TORCH_REMEDY}"
        )
    found = load_weights(path)
    state = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(state, dict) or not all(hasattr(value, "untyped_storage") for value in state.values()):
        raise ModelError(f"{path}: expected a dict of tensors, or one under 'state_dict'")
    return {name: _stored(path, tensor) for name, tensor in state.items()}


def load_weights(path: Path) -> Any:
    """Returns what a torch file holds, mapped where its format can be.

    Raises:
      ModelError: one line that names the file, if it holds more than weights or is no such file.
    """
    import torch

    try:
        with warnings.catch_warnings():  # of pickles that are no weights, which the error tells
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # unpickling raises whatever it meets
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path} cannot be read as weights alone ({reason}): jaxlm runs no code of a pickle; "
            f"{TORCH_REMEDY}"
        ) from error


def _stored(path: Path, tensor: Any) -> StoredTensor:
    name = str(tensor.dtype).removeprefix("torch.")
    return StoredTensor(path, jnp.dtype(name), tuple(tensor.shape), partial(_read, tensor, name))


def _read(tensor: Any, name: str) -> np.ndarray:
    import torch

    if name in CARRIERS:
        return tensor.view(getattr(torch, CARRIERS[name])).numpy().view(jnp.dtype(name))
    return tensor.numpy()
