"""Layers of a new head that a Hugging Face folder has trained already, such as BERT's pooler."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxlm import io, models
from jaxlm.pretrained._load import open_stored
from jaxlm.pretrained._loaded import HUGGINGFACE
from jaxlm.pretrained._names import canonical_names
from jaxlm.pretrained._rows import file_shapes, to_parameter
from jaxlm.pretrained._sequence_heads import sequence_head_differences
from jaxlm.pretrained._tensors import unflatten

LAST_MAP = "head.output."


def head_start(name: str | os.PathLike[str], head: models.HeadConfig) -> dict[str, Any]:
    """Returns the parameters of a new head's hidden layers that a Hugging Face folder has, in float32.

    A class of transformers for sequence classification begins with such layers too: with the pooler of a
    BertModel, and with the dense layer and the norm of a ModernBertForMaskedLM.

    Args:
      name: the model, as `load` takes it.
      head: of the new model, with its number of outputs.

    Returns:
      The parameters by module, `{"layer_0": {"kernel": ..., "bias": ...}}`. Empty if the folder is one of
      jaxlm or has no such layers, or the head is not the one that its family's class has.

    Raises:
      ModelNotFoundError: there is no model of this name.
      ModelError: a file cannot be read.
    """
    with io.reading_from(name):
        source, stored = open_stored(name)
        family, (config, kind, _, extra) = source.family, source.description
        if family is None or family.sequences is None or kind.sequence_outputs:
            return {}
        if sequence_head_differences(family.sequences, head, extra[HUGGINGFACE]):
            return {}
        family = family.with_sequence_head(models.CLASSIFICATION, head)
        rows = [row for row in family.rows(config) if row.ours.startswith("head.")]
        rows = [row for row in rows if not row.ours.startswith(LAST_MAP)]
        names = canonical_names(stored, family.scheme)
        tensors: dict[str, np.ndarray] = {}
        for row in rows:
            parts = [stored.get(names.get(theirs, "")) for theirs in row.theirs]
            known = [part for part in parts if part is not None]
            if [part.shape for part in known] != file_shapes(row):
                return {}
            tensors[row.ours] = to_parameter(row, [part.read() for part in known]).astype(np.float32)
        found: Mapping[str, Any] = unflatten(tensors)
        return dict(found.get("head", {}))
