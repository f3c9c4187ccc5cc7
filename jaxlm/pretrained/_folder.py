"""A model's folder: config.json, tokenizer.json and model.safetensors, written and opened."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from jaxlm import models, tokenizers
from jaxlm.pretrained._files import write_whole
from jaxlm.pretrained._tensors import as_params, check_tensors, expected_shapes, flatten

CONFIG, TOKENIZER, TENSORS = "config.json", "tokenizer.json", "model.safetensors"
OWN_KEYS = ("objective", "model")


class Loaded(NamedTuple):
    """A model that is ready to use.

    Attributes:
      config: what it is made of.
      objective: "masked_lm" or "causal_lm".
      model: the module.
      params: its parameters; `model.apply({"params": params}, tokens)`.
      tokenizer: its tokenizer, or None where there is none beside it.
      extra: whatever else its config.json holds.
    """

    config: models.TransformerConfig
    objective: models.Objective
    model: models.MaskedLM | models.CausalLM
    params: dict[str, Any]
    tokenizer: tokenizers.Tokenizer | None
    extra: dict[str, Any]


def save_model(
    folder: str | os.PathLike[str],
    config: models.TransformerConfig,
    params: Mapping[str, Any],
    tokenizer: tokenizers.Tokenizer | None,
    *,
    objective: models.Objective,
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
      objective: "masked_lm" or "causal_lm".
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
    folder, extra = Path(folder), dict(extra or {})
    taken = [key for key in OWN_KEYS if key in extra]
    if taken:
        raise ValueError(f"extra entries of config.json may not be called {', '.join(taken)}: rename them")
    tensors = flatten(models.unstack_blocks(params) if config.scan_layers else params)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), objective)
    check_tensors("the params to save", {name: leaf.shape for name, leaf in tensors.items()}, shapes)
    values = {"objective": objective, "model": models.to_dict(config), **extra}
    text = json.dumps(values, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        write_whole(folder / TOKENIZER, tokenizer.save)
    # A strided view would be written in the order of its memory.
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in tensors.items()}
    write_whole(folder / TENSORS, lambda path: _write_tensors(arrays, path))
    write_whole(folder / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))


def load(folder: str | os.PathLike[str], *, dtype: Literal["float32", "bfloat16"] | None = None) -> Loaded:
    """Opens the model in a run folder, or in any folder that `save_model` wrote.

    Args:
      folder: the folder.
      dtype: what to keep parameters in and compute in; None: as the config says.

    Returns:
      `Loaded`.

    Raises:
      FileNotFoundError: if the folder holds no model.
      ValueError: if a file cannot be read, the config has unknown fields, or tensors are missing, unexpected
        or misshapen; one line that names them all.

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
    config, objective, extra = _read_config(folder / CONFIG)
    if dtype is not None:
        config = dataclasses.replace(config, dtype=dtype, param_dtype=dtype)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), objective)
    params = as_params(_read_tensors(folder / TENSORS, shapes), config)
    tokenizer = tokenizers.load(folder / TOKENIZER) if (folder / TOKENIZER).exists() else None
    return Loaded(config, objective, models.build(config, objective), params, tokenizer, extra)


def _read_config(path: Path) -> tuple[models.TransformerConfig, models.Objective, dict[str, Any]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    absent = [key for key in OWN_KEYS if not isinstance(values, dict) or key not in values]
    if absent:
        raise ValueError(f"{path} is not the config of a model: it has no {' and no '.join(absent)}")
    objective, fields = values["objective"], values["model"]
    if objective not in models.MODELS or not isinstance(fields, dict):
        known = ", ".join(models.MODELS)
        raise ValueError(f"{path} needs an objective of {known} and a model's fields: got {objective!r}")
    try:
        config = models.from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return config, objective, {key: value for key, value in values.items() if key not in OWN_KEYS}


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
