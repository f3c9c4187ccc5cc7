"""A model's folder: config.json, tokenizer.json and model.safetensors, written and opened."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from jaxlm import models, tokenizers
from jaxlm.pretrained._description import Description, one_head, read_description, to_json
from jaxlm.pretrained._files import write_whole
from jaxlm.pretrained._tensors import as_params, check_tensors, expected_shapes, flatten

CONFIG, TOKENIZER, TENSORS = "config.json", "tokenizer.json", "model.safetensors"


class Loaded(NamedTuple):
    """A model that is ready to use.

    Attributes:
      config: what it is made of.
      objective: "masked_lm", "causal_lm", "classification", "regression" or "joint".
      model: the module.
      params: its parameters; `model.apply({"params": params}, tokens)`.
      tokenizer: its tokenizer, or None where there is none beside it.
      extra: whatever else its config.json holds.
      head: of a classifier or a regression its `HeadConfig`; of a "joint" model its heads by name; else None.
    """

    config: models.TransformerConfig
    objective: models.Objective
    model: models.Model
    params: dict[str, Any]
    tokenizer: tokenizers.Tokenizer | None
    extra: dict[str, Any]
    head: models.Heads = None


def save_model(
    folder: str | os.PathLike[str],
    config: models.TransformerConfig,
    params: Mapping[str, Any],
    tokenizer: tokenizers.Tokenizer | None,
    *,
    objective: models.Objective,
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
      objective: "masked_lm", "causal_lm", "classification", "regression" or "joint".
      head: what `models.build` takes beside config and objective.
      extra: further entries of config.json, of values that JSON holds.

    Raises:
      ValueError: if the parameters are not the config's, or `extra` has a key of the model's own.
      OSError: if a file cannot be written; `errno.ENOSPC` for no room on disk. The old file stays.

    Example:
      >>> import jax, jax.numpy as jnp, tempfile
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> params = models.build(config).init(jax.random.key(0), jnp.array([[1]]))["params"]
      >>> folder = tempfile.mkdtemp()
      >>> save_model(folder, config, params, None, objective="masked_lm")
      >>> sorted(path.name for path in Path(folder).iterdir())
      ['config.json', 'model.safetensors']
    """
    folder = Path(folder)
    text = to_json(Description(config, objective, head, dict(extra or {})))
    tensors = flatten(models.unstack_blocks(params) if config.scan_layers else params)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), objective, head)
    check_tensors("the params to save", {name: leaf.shape for name, leaf in tensors.items()}, shapes)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        write_whole(folder / TOKENIZER, tokenizer.save)
    # A strided view would be written in the order of its memory.
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in tensors.items()}
    write_whole(folder / TENSORS, lambda path: _write_tensors(arrays, path))
    write_whole(folder / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))


def load(
    folder: str | os.PathLike[str],
    *,
    dtype: Literal["float32", "bfloat16"] | None = None,
    head: str | None = None,
) -> Loaded:
    """Opens the model in a run folder, or in any folder that `save_model` wrote.

    Args:
      folder: the folder.
      dtype: what to keep parameters in and compute in; None: as the config says.
      head: of a "joint" model, the one head to open it with, as the model of that head alone; None: all.

    Returns:
      `Loaded`.

    Raises:
      FileNotFoundError: if the folder holds no model.
      ValueError: if a file cannot be read, the config has unknown fields, tensors are missing, unexpected
        or misshapen (one line that names them all), or there is no such head.

    Example:
      >>> load("nowhere")
      Traceback (most recent call last):
      FileNotFoundError: no model in nowhere: it has no config.json; ...
    """
    folder = Path(folder)
    for name in (CONFIG, TENSORS):
        if not (folder / name).exists():
            wanted = "a model's folder is one whose training has finished"
            raise FileNotFoundError(f"no model in {folder}: it has no {name}; {wanted}")
    description = read_description(folder / CONFIG)
    if dtype is not None:
        config = dataclasses.replace(description.config, dtype=dtype, param_dtype=dtype)
        description = description._replace(config=config)
    config, objective, heads, _ = description
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), objective, heads)
    params = as_params(_read_tensors(folder / TENSORS, shapes), config)
    tokenizer = tokenizers.load(folder / TOKENIZER) if (folder / TOKENIZER).exists() else None
    if head is not None:
        description, params = one_head(description, head), models.head_params(params, head)
    config, objective, heads, extra = description
    model = models.build(config, objective, heads)
    return Loaded(config, objective, model, params, tokenizer, extra, heads)


def _write_tensors(arrays: dict[str, np.ndarray], path: Path) -> None:
    try:
        safetensors.numpy.save_file(arrays, path)
    except safetensors.SafetensorError as error:
        # The only trace of the system's error is its number in the text.
        if found := re.search(r"os error (\d+)", str(error)):
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(path.parent / TENSORS)) from error
        raise


def _read_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_tensors(str(path), found, shapes)
            return {name: file.get_tensor(name) for name in shapes}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
