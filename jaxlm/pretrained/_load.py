"""Opening a model: a run's folder or a Hugging Face folder, by path or by name."""

import dataclasses
import functools
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxlm import models, tokenizers
from jaxlm.pretrained._description import Description, one_head, read_description
from jaxlm.pretrained._family import Family
from jaxlm.pretrained._folder import CONFIG, TOKENIZER
from jaxlm.pretrained._hub import find_folder
from jaxlm.pretrained._huggingface import check_repeated, find_tensors, read_config
from jaxlm.pretrained._loaded import GENERATION, HUGGINGFACE, Loaded
from jaxlm.pretrained._stored import Shape, StoredTensor
from jaxlm.pretrained._tensors import Parts, check_stored, expected_shapes, read_params
from jaxlm.pretrained._weights import FINISHED, open_weights

GENERATION_CONFIG = "generation_config.json"
LOG = logging.getLogger(__name__)
DType = Literal["float32", "bfloat16"]
# By these a folder shows that it holds a tokenizer; `tokenizers.load` says what it makes of them.
VOCABULARIES = (TOKENIZER, "vocab.json", "vocab.txt", "*.model", "*.spm")


class Inspected(NamedTuple):
    """What a folder holds, none of its tensors read.

    Attributes:
      folder: where it is.
      config: of its model.
      objective: of its model.
      head: as in `Loaded`.
      extra: as in `Loaded`.
      family: the `model_type` of a Hugging Face folder; None for a run's folder.
      shapes: of every parameter by its dotted name.
      stored: the types that the files keep them in.
    """

    folder: Path
    config: models.TransformerConfig
    objective: models.Objective
    head: models.Heads
    extra: dict[str, Any]
    family: str | None
    shapes: dict[str, Shape]
    stored: tuple[str, ...]


class _Source(NamedTuple):
    folder: Path
    description: Description
    family: Family | None  # of a Hugging Face folder


def load(
    name: str | os.PathLike[str],
    *,
    dtype: DType | None = None,
    compute_dtype: DType | None = None,
    head: str | None = None,
) -> Loaded:
    """Opens a model: a run's folder, any folder that `save_model` wrote, or a Hugging Face folder.

    Weights are mapped and become parameters one by one: a process needs memory for those alone, and on their
    way to a GPU for the largest. The order of weights is that of `transformers`: model.safetensors, its
    shards, then torch's .bin files, which are read through torch's `weights_only` loading alone.

    Args:
      name: the folder; or the name of a model on the Hugging Face hub, `OWNER/NAME@REVISION`, which is looked
        up in the local cache and then downloaded (see `find_folder`).
      dtype: what to keep parameters in and compute in; None: as a run's config says, and float32 for a
        Hugging Face folder.
      compute_dtype: what to compute in, where that is another.
      head: of a "joint" model, the one head to open it with, as the model of that head alone; None: all.

    Returns:
      `Loaded`.

    Raises:
      FileNotFoundError: if there is no model.
      ValueError: if a file cannot be read or is not whole, the config has what is not supported, tensors are
        missing, unexpected or misshapen (one line that names them all), the tokenizer has ids without a row,
        or there is no such head.

    Example:
      >>> load("./nowhere")
      Traceback (most recent call last):
      FileNotFoundError: no model at ./nowhere: no such folder
    """
    source, stored = _opened(name)
    parts = _parts(source, stored)
    if source.family is not None:
        check_repeated(str(source.folder), stored, source.family, source.description.config)
    tokenizer = _tokenizer(source)
    description = _in_dtype(source.description, dtype, compute_dtype)
    params = read_params(parts, description.config)
    if head is not None:
        description, params = one_head(description, head), models.head_params(params, head)
    config, objective, heads, extra = description
    return Loaded(config, objective, models.build(config, objective, heads), params, tokenizer, extra, heads)


def inspect(name: str | os.PathLike[str]) -> Inspected:
    """Returns what a model's folder holds; only headers are read.

    Args:
      name: as for `load`.

    Raises:
      FileNotFoundError: if there is no model.
      ValueError: if a file cannot be read, or the config has what is not supported.

    Example:
      >>> inspect("./nowhere")
      Traceback (most recent call last):
      FileNotFoundError: no model at ./nowhere: no such folder
    """
    source, stored = _opened(name)
    config, objective, head, extra = source.description
    _parts(source, stored)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), objective, head)
    kinds = tuple(sorted({tensor.dtype.name for tensor in stored.values()}))
    return Inspected(
        source.folder, config, objective, head, extra, source.family and source.family.name, shapes, kinds
    )


def _opened(name: str | os.PathLike[str]) -> tuple[_Source, dict[str, StoredTensor]]:
    """A model and its tensors, none of them read, its config settled by their names."""
    source = _find(name)
    stored = open_weights(source.folder)
    if source.family is None:
        return source, stored
    settled = source.family.settle(source.description.config, stored)
    return source._replace(description=source.description._replace(config=settled)), stored


def _find(name: str | os.PathLike[str]) -> _Source:
    folder = find_folder(name)
    path = folder / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"no model in {folder}: it has no {CONFIG}; {FINISHED}")
    values = _values(path)
    if "model" in values or not {"model_type", "architectures"} & values.keys():
        return _Source(folder, read_description(path), None)
    family, config = read_config(path, values)
    generation = _values(folder / GENERATION_CONFIG)
    extra = {HUGGINGFACE: dict(values), **({GENERATION: dict(generation)} if generation else {})}
    return _Source(folder, Description(config, family.objective, None, extra), family)


def _values(path: Path) -> Mapping[str, Any]:
    """What tells whose config.json it is; `read_description` says what is wrong with one of ours."""
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _in_dtype(description: Description, dtype: DType | None, compute_dtype: DType | None) -> Description:
    config = description.config
    kept, computed = dtype or config.param_dtype, compute_dtype or dtype or config.dtype
    return description._replace(config=dataclasses.replace(config, dtype=computed, param_dtype=kept))


def _parts(source: _Source, stored: Mapping[str, StoredTensor]) -> dict[str, Parts]:
    """How to read every parameter, known to be there and of its shape."""
    (config, objective, heads, _), where = source.description, _where(source.folder, stored)
    if source.family is not None:
        return find_tensors(where, stored, source.family, config)
    shapes = expected_shapes(dataclasses.replace(config, scan_layers=False), objective, heads)
    check_stored(where, stored, shapes)
    return {name: lambda one=stored[name]: [one.read()] for name in shapes}


def _where(folder: Path, stored: Mapping[str, StoredTensor]) -> str:
    files = {tensor.file for tensor in stored.values()}
    return str(files.pop() if len(files) == 1 else folder)


def _tokenizer(source: _Source) -> tokenizers.Tokenizer | None:
    folder, vocab_size = source.folder, source.description.config.vocab_size
    # A run keeps its own in one file; beside others' weights it may lie in several.
    place = folder if source.family is not None else folder / TOKENIZER
    names = VOCABULARIES if source.family is not None else (TOKENIZER,)
    if not any(list(folder.glob(name)) for name in names):
        return None
    tokenizer = tokenizers.load(place, rows=vocab_size)
    try:
        tokenizer, dropped = tokenizers.fit_tokenizer(tokenizer, vocab_size)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    if dropped:
        LOG.warning("%s: tokens without a row in the embedding are not known: %s", folder, ", ".join(dropped))
    if tokenizer.vocab_size < vocab_size:
        _tell_spare_rows(str(folder), vocab_size, tokenizer.vocab_size)
    return tokenizer


@functools.cache
def _tell_spare_rows(folder: str, rows: int, ids: int) -> None:
    """Says once in a process that a model predicts ids which stand for no token."""
    LOG.warning(
        "%s: the embedding has %d rows and the tokenizer %d ids: the last %d rows stand for no token",
        *(folder, rows, ids, rows - ids),
    )
