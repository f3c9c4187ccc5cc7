"""Writes a model's folder: config.json, tokenizer.json and model.safetensors."""

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

    Each file is replaced atomically. A tensor is named by its dotted path, block by block even if the model
    scans over its blocks (`body.block_00.attention.qkv.kernel`), and keeps its dtype.

    Args:
      folder: the folder to write. It is made if it does not exist; files of an earlier model are replaced.
      config: the config of the model.
      params: the collection "params" of the model's variables.
      tokenizer: the tokenizer of the model. None: no tokenizer.json is written.
      kind: the kind of the model, by name (such as "causal_lm") or as a `ModelKind`; see `models.build`.
      head: the config of the head for the kinds that need one, as `models.build` takes it. None: the kind
        needs no config of a head.
      extra: further entries of config.json, with values that JSON can hold. None: no further entries.

    Raises:
      ModelError: the parameters do not fit the config.
      UsageError: `extra` has a key that config.json already has for the model.
      WriteError: a file cannot be written (`errno.ENOSPC` on a full disk); the old file stays.

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
    # safetensors writes a strided view in the order of its memory.
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
    """Writes tokenizer.json and config.json as `save_model` does, without the parameters.

    With these files, `load` also opens a folder that holds its parameters in another form, such as a
    checkpoint.

    Args:
      folder: an existing folder.
      config: the config of the model.
      tokenizer: the tokenizer of the model.
      kind: the kind of the model, by name (such as "causal_lm") or as a `ModelKind`; see `models.build`.
      head: the config of the head for the kinds that need one, as `models.build` takes it. None: the kind
        needs no config of a head.
      extra: further entries of config.json, with values that JSON can hold. None: no further entries.

    Raises:
      UsageError: `extra` has a key that config.json already has for the model.
      WriteError: a file cannot be written.

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
    """Writes a safetensors file atomically.

    Args:
      path: the file.
      arrays: contiguous arrays by name.

    Raises:
      WriteError: the file cannot be written; has the system's error number.
    """
    # transformers requires this entry.
    described = {"format": "pt"}
    io.write_atomically(path, lambda partial: safetensors.numpy.save_file(dict(arrays), partial, described))


def member_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """Returns the folders of an ensemble's models in order; an empty list if a folder holds no ensemble.

    The folders are named `member_00`, `member_01` and so on, as `save_ensemble` writes them.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained import member_folders
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> member_folders(folder)
      []
      >>> for name in ("member_01", "member_00", "notes"):
      ...     (folder / name).mkdir()
      >>> [path.name for path in member_folders(folder)]
      ['member_00', 'member_01']
    """
    paths = Path(folder).glob("member_*")
    members = [path for path in paths if re.fullmatch(r"member_[0-9]+", path.name)]
    return sorted(members, key=lambda path: int(path.name.removeprefix("member_")))
