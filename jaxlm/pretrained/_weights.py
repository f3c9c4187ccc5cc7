"""Finds and opens the weights of a folder: one file or shards with an index, safetensors or torch's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxlm import io
from jaxlm.errors import ModelError, ModelNotFoundError
from jaxlm.pretrained._other_folders import describe_other
from jaxlm.pretrained._safetensors import open_safetensors
from jaxlm.pretrained._stored import StoredTensor
from jaxlm.pretrained._torch_files import open_torch

TENSORS = "model.safetensors"
# Files of weights; the first that exists is opened, as in transformers.
SINGLE = {TENSORS: open_safetensors, "pytorch_model.bin": open_torch}
INDEXED = {f"{name}.index.json": reader for name, reader in SINGLE.items()}


def holds_weights(folder: Path) -> bool:
    """Returns whether a folder has a file of weights, or an index and all its shards.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained._weights import holds_weights
      >>> holds_weights(Path("nowhere"))
      False
    """
    if any((folder / name).exists() for name in SINGLE):
        return True
    index = next((folder / name for name in INDEXED if (folder / name).exists()), None)
    return index is not None and all((folder / name).exists() for name in _weight_map(index).values())


def open_weights(folder: Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a folder by name; no tensor is read.

    The order of preference is model.safetensors, model.safetensors.index.json with its shards, then the same
    for pytorch_model.bin.

    Args:
      folder: holds the files.

    Raises:
      ModelNotFoundError: there are no weights; the line says what the folder holds instead.
      ModelError: a file is cut off or is not what its name says, or an index does not fit its shards.
    """
    for kind in SINGLE:
        if (folder / kind).exists():
            return SINGLE[kind](folder / kind)
        index = f"{kind}.index.json"
        if (folder / index).exists():
            return _open_shards(folder / index, INDEXED[index])
    raise ModelNotFoundError(f"no model in {folder}: it has no {TENSORS}; {describe_other(folder)}")


def _open_shards(index: Path, reader: Any) -> dict[str, StoredTensor]:
    weight_map = _weight_map(index)
    shards = sorted(set(weight_map.values()))
    absent = [name for name in shards if not (index.parent / name).is_file()]
    if absent:
        raise ModelError(
            f"{index} names {len(shards)} shards, and {', '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} missing: fetch them again"
        )
    opened = {name: reader(index.parent / name) for name in shards}
    _check_shards(index, weight_map, opened)
    return {name: opened[shard][name] for name, shard in weight_map.items()}


def _check_shards(
    index: Path, weight_map: Mapping[str, str], opened: Mapping[str, Mapping[str, StoredTensor]]
) -> None:
    missing = [f"{name} (of {shard})" for name, shard in weight_map.items() if name not in opened[shard]]
    unlisted = [
        f"{name} (of {shard})" for shard in opened for name in opened[shard] if weight_map.get(name) != shard
    ]
    told = {"its shards lack": missing, "it does not list": unlisted}
    lines = [f"{what} {', '.join(sorted(names))}" for what, names in told.items() if names]
    if lines:
        raise ModelError(f"{index} does not fit its shards: {'; '.join(lines)}")


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor, by an index; all files are in the folder of the index."""
    try:
        content = io.parse_json(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{index} is not JSON: {error}") from error
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{index} has no weight_map of tensors to files")
    for name in shards.values():
        if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
            raise ModelError(f"{index} may name files of its own folder: got {name!r}")
    return shards
