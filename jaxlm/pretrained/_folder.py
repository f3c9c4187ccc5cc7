"""A model's folder: config.json, tokenizer.json and model.safetensors, written."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from jaxlm import io, models, tokenizers
from jaxlm.pretrained._description import Description, to_json
from jaxlm.pretrained._tensors import check_tensors, expected_shapes, flatten
from jaxlm.pretrained._weights import TENSORS

CONFIG, TOKENIZER = "config.json", "tokenizer.json"


def save_model(
    folder: str | os.PathLike[str],
    config: models.TransformerConfig,
    params: Mapping[str, Any],
    tokenizer: tokenizers.Tokenizer | None,
    *,
    kind: models.KindOrName,
    head: models.Heads = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model that `load` opens: tokenizer.json, then model.safetensors, then config.json.

    Each file is replaced as a whole. Tensors are named by their path joined with dots, blocks one by one
    (`body.block_00.attention.qkv.kernel`) whether or not the model scans over them, in the dtype they have.

    Args:
      folder: made if it does not exist.
      config: the model's.
      params: the "params" of its variables.
      tokenizer: written too, or None.
      kind: of the model, by name or as a record; see `models.build`.
      head: what `models.build` takes beside config and kind.
      extra: further entries of config.json, of values that JSON holds.

    Raises:
      ValueError: if the parameters are not the config's, or `extra` has a key of the model's own.
      WriteError: if a file cannot be written; `errno.ENOSPC` for no room on disk. The old file stays.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm import models
      >>> from jaxlm.pretrained import save_model
      >>> import jax, jax.numpy as jnp, tempfile
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> params = models.build(config).init(jax.random.key(0), jnp.array([[1]]))["params"]
      >>> folder = tempfile.mkdtemp()
      >>> save_model(folder, config, params, None, kind="masked_lm")
      >>> sorted(path.name for path in Path(folder).iterdir())
      ['config.json', 'model.safetensors']
    """
    folder = Path(folder)
    text = to_json(Description(config, models.as_kind(kind), head, dict(extra or {})))
    tensors = flatten(models.unstack_blocks(params) if config.scan_layers else params)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), kind, head)
    check_tensors("the params to save", {name: leaf.shape for name, leaf in tensors.items()}, shapes)
    with io.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(folder / TOKENIZER)
    # A strided view would be written in the order of its memory.
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in tensors.items()}
    write_tensors(folder / TENSORS, arrays)
    io.write_text(folder / CONFIG, text)


def save_description(
    folder: str | os.PathLike[str],
    config: models.TransformerConfig,
    tokenizer: tokenizers.Tokenizer,
    *,
    kind: models.KindOrName,
    head: models.Heads = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes what `save_model` writes but the parameters: tokenizer.json and config.json.

    A folder that keeps parameters in a form of its own, as a checkpoint does, is a model's with these two.

    Args:
      folder: an existing one.
      config: as for `save_model`, and so are the others.
      tokenizer: the model's.
      kind: of the model.
      head: what `models.build` takes beside config and kind.
      extra: further entries of config.json.

    Raises:
      ValueError: if `extra` has a key of the model's own.
      WriteError: if a file cannot be written.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm import models, tokenizers
      >>> from jaxlm.pretrained import save_description
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> config = models.TransformerConfig(vocab_size=260)
      >>> save_description(folder, config, tokenizers.bytes_tokenizer(), kind="masked_lm")
      >>> sorted(path.name for path in Path(folder).iterdir())
      ['config.json', 'tokenizer.json']
    """
    text = to_json(Description(config, models.as_kind(kind), head, dict(extra or {})))
    tokenizer.save(Path(folder) / TOKENIZER)
    io.write_text(Path(folder) / CONFIG, text)


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a safetensors file, whole or not at all.

    Args:
      path: the file.
      arrays: contiguous.

    Raises:
      WriteError: if it cannot be written, with the system's own number.
    """
    # transformers asks every file for the framework that it is of.
    described = {"format": "pt"}
    io.write_atomically(path, lambda partial: safetensors.numpy.save_file(dict(arrays), partial, described))


def member_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """Returns the folders of an ensemble's members in order; none where the folder holds no ensemble.

    Example:
      >>> from jaxlm.pretrained import member_folders
      >>> import tempfile
      >>> member_folders(tempfile.mkdtemp())
      []
    """
    found = [path for path in Path(folder).glob("member_*") if re.fullmatch(r"member_[0-9]+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("member_")))
