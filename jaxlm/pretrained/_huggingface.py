"""Models in Hugging Face folders: the family's table maps tensors to parameters, read one by one."""

import functools
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._families import family_of
from jaxlm.pretrained._family import Family
from jaxlm.pretrained._rows import TensorRow, file_shapes, parameter_part
from jaxlm.pretrained._stored import StoredTensor
from jaxlm.pretrained._tensors import Parts, check_stored

LOG = logging.getLogger(__name__)
BLOCK = 1 << 20  # elements that are compared at a time


class ImportedConfig(NamedTuple):
    """A Hugging Face config.json: the family of its model, and our config for it."""

    family: Family
    config: models.TransformerConfig


def read_config(path: Path, values: Mapping[str, Any]) -> ImportedConfig:
    """Returns family and config of a config.json; logs, once, names that nothing reads.

    Args:
      path: of the file, for messages.
      values: its content.

    Raises:
      ModelError: one line that names the file and every attribute that is not supported.
    """
    try:
        family = family_of(values)
        imported = ImportedConfig(family, family.config(values))
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    unknown, config = family.unknown(values), imported.config
    if unknown:
        names = ", ".join(unknown)
        _tell(f"{path}: names that nothing reads, here or in transformers, are left out: {names}")
    if config.is_dynamic:
        _tell(
            f"{path}: rope_type='dynamic' lets transformers read over {config.max_length} tokens in one; "
            "here longer texts are read in windows of that length, or not at all"
        )
    return imported


@functools.cache
def _tell(line: str) -> None:
    """Logs a line once in a process, because a command may open a folder several times."""
    LOG.warning("%s", line)


def find_tensors(
    where: str,
    stored: Mapping[str, StoredTensor],
    family: Family,
    config: models.TransformerConfig,
    kind: models.ModelKind,
) -> dict[str, Parts]:
    """Returns, by dotted name of each parameter, the function that reads it from the tensors of a folder.

    Args:
      where: the folder or file, for errors.
      stored: the tensors by their name in the files.
      family: of the model.
      config: of the model.
      kind: the family's kind, or the kind without a head.

    Raises:
      ModelError: one line that names every missing, unexpected and misshapen tensor.
    """
    rows, names = family.rows(config, kind), family.names(config, stored, kind)
    known = {canonical: stored[name] for canonical, name in names.found.items()}
    sorted_names = {*names.found.values(), *names.repeated, *names.unused, *names.further}
    twice = {f"{name} (under two names)": stored[name] for name in stored if name not in sorted_names}
    shapes = {name: shape for row in rows for name, shape in zip(row.theirs, file_shapes(row), strict=True)}
    known |= _zeros(where, {name: shapes[name] for name in family.zeros & shapes.keys() - known.keys()})
    repeated = {name: stored[name] for name in names.repeated}
    repeated_shapes = {name: shapes[names.repeated[name]] for name in repeated}
    check_stored(where, known | twice | repeated, shapes | repeated_shapes)
    return {row.ours: partial(_parts, row, known) for row in rows}


def check_repeated(
    where: str,
    stored: Mapping[str, StoredTensor],
    family: Family,
    config: models.TransformerConfig,
    kind: models.ModelKind,
) -> None:
    """Reads the tensors that the config ties to each other, and raises an error if they differ.

    Args:
      where: the folder or file, for errors.
      stored: the tensors by their name in the files.
      family: of the model.
      config: of the model.
      kind: the family's kind, or the kind without a head.

    Raises:
      ModelError: one line that names the tensors that differ.
    """
    names = family.names(config, stored, kind)
    pairs = [(name, names.found[canonical]) for name, canonical in names.repeated.items()]
    differing = [
        f"{name} and {other}"
        for name, other in pairs
        if not _are_same(stored[name].read(), stored[other].read())
    ]
    if differing:
        raise ModelError(f"{where}: tensors that its config ties are not the same: {', '.join(differing)}")


def _zeros(where: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, StoredTensor]:
    """Tensors of zeros in the place of tensors that a file leaves out."""
    kind = np.dtype(np.float32)
    return {
        name: StoredTensor(Path(where), kind, shape, partial(np.zeros, shape, kind))
        for name, shape in shapes.items()
    }


def _parts(row: TensorRow, known: Mapping[str, StoredTensor]) -> list[np.ndarray]:
    return [parameter_part(row, number, known[name].read()) for number, name in enumerate(row.theirs)]


def _are_same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two arrays hold the same bytes, compared block by block."""
    if first.dtype != second.dtype:
        return False
    left, right = (array.reshape(-1) for array in (first, second))
    starts = range(0, left.size, BLOCK)
    return all(left[at : at + BLOCK].tobytes() == right[at : at + BLOCK].tobytes() for at in starts)
