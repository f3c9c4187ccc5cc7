"""Torch's .bin files, which are pickles: read through torch as weights alone, or refused with a remedy."""

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

# Types that numpy lacks are passed as integers of the same width.
CARRIERS = {"bfloat16": "int16"}
TORCH_REMEDY = (
    "write them as safetensors where torch and transformers are: "
    "AutoModel.from_pretrained(FOLDER).save_pretrained(OUT)"
)


def open_torch(path: Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a torch file by name; it is loaded with `weights_only`, so no code in it runs.

    A file in torch's present format is memory-mapped; one in the old format is read as a whole.

    Args:
      path: the file, which holds a state dict.

    Raises:
      ModelError: one line that names the file and the remedy: torch is not installed, the file holds more
        than weights or no tensors by name, or it is a Git LFS pointer.
    """
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ModelError(f"{path} is a Git LFS pointer to weights; fetch the file itself: git lfs pull")
    if importlib.util.find_spec("torch") is None:
        raise ModelError(
            f"{path} is a pickle, which is read through torch only, and torch is not installed: "
            f"pip install torch, or {TORCH_REMEDY}"
        )
    content = load_weights(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(hasattr(value, "untyped_storage") for value in state.values()):
        raise ModelError(f"{path}: expected a dict of tensors, or one under 'state_dict'")
    return {name: _stored(path, tensor) for name, tensor in state.items()}


def load_weights(path: Path) -> Any:
    """Returns the content of a torch file, memory-mapped if its format allows it.

    Raises:
      ModelError: one line that names the file: it holds more than weights, or is no torch file.
    """
    import torch

    try:
        with warnings.catch_warnings():  # the error below says the same
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # unpickling may raise anything
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
