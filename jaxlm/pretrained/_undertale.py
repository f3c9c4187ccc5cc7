"""Undertale's masked LM of instruction traces, from its torch checkpoints."""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm import models
from jaxlm.errors import ModelError, ModelNotFoundError
from jaxlm.pretrained._loaded import Loaded
from jaxlm.pretrained._tensors import as_params, check_tensors, expected_shapes, refuse_differences
from jaxlm.pretrained._torch_files import open_torch

# The tensors from which the sizes are read.
TOKEN = "encoder.embedding.token.weight"
INSTRUCTION = "encoder.embedding.instruction.weight"
QUERY = "encoder.layers.0.attention.heads.0.q.weight"
UP = "encoder.layers.0.ff.linear1.weight"

LINEAR = {"kernel": "weight", "bias": "bias"}
NORM = {"scale": "weight", "bias": "bias"}
IN_BLOCKS = {  # our module: undertale's module, its tensors
    "attention_norm": ("norm1", NORM),
    "attention.output": ("attention.output", LINEAR),
    "mlp_norm": ("norm2", NORM),
    "mlp.up": ("ff.linear1", LINEAR),
    "mlp.down": ("ff.linear2", LINEAR),
}
OUTSIDE_BLOCKS = {
    "body.embeddings.token": ("encoder.embedding.token", {"embedding": "weight"}),
    "body.embeddings.instruction": ("encoder.embedding.instruction", {"embedding": "weight"}),
    "body.embeddings.argument": ("encoder.embedding.argument", {"embedding": "weight"}),
    "body.embeddings.norm": ("encoder.embedding.norm", NORM),
    "head.transform": ("head.transform", LINEAR),
    "head.norm": ("head.norm", NORM),
    "head.decode": ("head.decode", LINEAR),
}


def undertale_params(
    state_dict: Mapping[str, np.ndarray], *, next_id: int = 5
) -> tuple[models.TransformerConfig, dict[str, Any]]:
    """Returns the config and the parameters of a masked LM that undertale trained, from its torch tensors.

    Sizes, depth and heads follow from the tensors. The linear maps of the attention heads are joined in the
    order of the heads: all queries, all keys, all values. Positions are computed from the corrupted ids, as
    in undertale's training. A checkpoint does not hold dropout rates, so the config has the rates of
    undertale's only preset.

    Args:
      state_dict: the tensors by their torch names, such as `encoder.embedding.token.weight`, with or without
        a common prefix such as `model.`.
      next_id: the id of the token [NEXT], which separates instructions.

    Returns:
      The config and the collection "params" of a `models.MaskedLM`, in float32.

    Raises:
      ModelError: a tensor is missing, unexpected or misshapen; the message names all such tensors in one
        line.

    Example:
      >>> from jaxlm.pretrained import undertale_params
      >>> undertale_params({})
      Traceback (most recent call last):
      jaxlm.errors.ModelError: the state dict: these are not the tensors of its model: missing ...

    References:
      https://github.com/undertale-re/undertale (its `maskedlm` and `transformer` models).
    """
    tensors = _without_prefix(state_dict)
    depth, num_heads = (
        _counted(tensors, r"encoder\.layers\.(\d+)\."),
        _counted(tensors, r".*\.heads\.(\d+)\."),
    )
    rows = dict(_rows(depth, num_heads))
    if not {TOKEN, INSTRUCTION, QUERY, UP} <= tensors.keys():
        names = {name for names in rows.values() for name in names}
        refuse_differences("the state dict", names - tensors.keys(), tensors.keys() - names, [])
    config = _config(tensors, depth, num_heads, next_id)
    ours = expected_shapes(config, models.MASKED_LM)
    theirs = {
        name: (ours[row][0] // len(names), *ours[row][1:]) for row, names in rows.items() for name in names
    }
    check_tensors("the state dict", {name: tensor.shape for name, tensor in tensors.items()}, theirs)
    joined = {row: np.concatenate([tensors[name] for name in names]) for row, names in rows.items()}
    return config, as_params(joined, config)


def load_undertale(path: str | os.PathLike[str], *, next_id: int = 5) -> Loaded:
    """Opens a torch checkpoint (.ckpt, .pt) of a masked LM that undertale trained; torch must be installed.

    Undertale is a library of models for machine code, https://github.com/undertale-re/undertale.

    Args:
      path: the path of a file that holds a state dict, or a checkpoint of Lightning with the entry
        "state_dict". No code in the file is run.
      next_id: the id of the token [NEXT], which separates instructions.

    Returns:
      A `Loaded` of the kind "masked_lm", whose tokenizer is None.

    Raises:
      ImportError: torch is not installed.
      ModelNotFoundError: there is no such file.
      ModelError: the file is not a checkpoint of an undertale masked LM.
    """
    if importlib.util.find_spec("torch") is None:
        raise ImportError("torch checkpoints need torch, which is not installed: pip install 'jaxlm[oracle]'")
    if not Path(path).exists():
        raise ModelNotFoundError(f"no checkpoint at {path}: no such file")
    stored = open_torch(Path(path))
    try:
        tensors = {name: tensor.read().astype(np.float32) for name, tensor in stored.items()}
        config, params = undertale_params(tensors, next_id=next_id)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    return Loaded(config, models.MASKED_LM, models.build(config, models.MASKED_LM), params, None, {})


def _without_prefix(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors without the prefix that a wrapper has put in front of every name."""
    prefix = next((name.removesuffix(TOKEN) for name in state_dict if name.endswith(TOKEN)), "")
    return {name.removeprefix(prefix): tensor for name, tensor in state_dict.items()}


def _counted(tensors: Mapping[str, np.ndarray], pattern: str) -> int:
    matches = (re.match(pattern, name) for name in tensors)
    return 1 + max((int(match[1]) for match in matches if match), default=0)


def _config(
    tensors: Mapping[str, np.ndarray], depth: int, num_heads: int, next_id: int
) -> models.TransformerConfig:
    vocab_size, width = tensors[TOKEN].shape
    return dataclasses.replace(
        models.PRESETS["undertale-medium"],
        vocab_size=vocab_size,
        width=width,
        depth=depth,
        num_heads=num_heads,
        head_width=tensors[QUERY].shape[0],
        mlp_width=tensors[UP].shape[0],
        max_length=tensors[INSTRUCTION].shape[0],
        position=models.Instruction(next_id=next_id, source="corrupted"),
    )


def _rows(depth: int, num_heads: int) -> Iterator[tuple[str, list[str]]]:
    """Our name of each parameter, and undertale's names of the tensors that it concatenates."""
    modules = dict(OUTSIDE_BLOCKS)
    for layer in range(depth):
        ours, theirs = f"body.block_{layer:02d}", f"encoder.layers.{layer}"
        modules |= {
            f"{ours}.{name}": (f"{theirs}.{other}", kinds) for name, (other, kinds) in IN_BLOCKS.items()
        }
        for kind, other in LINEAR.items():
            heads = [f"{theirs}.attention.heads.{head}" for head in range(num_heads)]
            yield (
                f"{ours}.attention.qkv.{kind}",
                [f"{head}.{part}.{other}" for part in "qkv" for head in heads],
            )
    for ours, (theirs, kinds) in modules.items():
        for kind, other in kinds.items():
            yield f"{ours}.{kind}", [f"{theirs}.{other}"]
