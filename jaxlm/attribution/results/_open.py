"""Opens files of attributions: jaxlm's own, and those of the library inseq."""

import os
from typing import Any

import numpy as np

from jaxlm.attribution.results._attribution import Attribution
from jaxlm.attribution.results._inseq_json import inseq_fields, is_inseq
from jaxlm.attribution.results._json import FORMAT, VERSION, fields_from_json, read_json
from jaxlm.errors import UsageError


def open_attributions(path: str | os.PathLike[str]) -> list[Attribution]:
    """Returns the attributions of a JSON file, compressed or not.

    The file is one of `save_attributions`, whose arrays come back bit by bit, or one that the library inseq
    saved (`FeatureAttributionOutput.save`, of any precision, compressed, or split into one file a sequence).
    From inseq's files come float32 scores, those for each dimension of the embeddings if they were saved; the
    tokens are spelled as in the vocabulary's file; axes of layers and heads are averaged.

    Args:
      path: the path of the file.

    Raises:
      ReadError: the file cannot be read.
      UsageError: the file is damaged, or holds something else.

    Example:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, open_attributions
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]], np.float32)
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
      >>> path = Path(tempfile.mkdtemp(), "scores.json")
      >>> result.save(path)
      >>> open_attributions(path)[0].tokens
      ('To', ' be')
    """
    value, where = read_json(path), str(path)
    if is_inseq(value):
        fields = inseq_fields(value, where)
    else:
        fields = [fields_from_json(own, where) for own in _own(value, where)]
    results = [Attribution(**own) for own in fields]
    for result in results:
        _check_shapes(result, where)
    return results


def _own(value: Any, where: str) -> list[Any]:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UsageError(
            f"{where} holds no attributions: expected a file of save_attributions, or of inseq without "
            "use_primitives"
        )
    if value.get("version") != VERSION or not isinstance(value.get("attributions"), list):
        raise UsageError(f"{where} is of version {value.get('version')!r}: this jaxlm reads {VERSION}")
    return value["attributions"]


def _check_shapes(result: Attribution, where: str) -> None:
    size, width, sources = len(result.positions), len(result.tokens), len(result.source_tokens or ())
    expected = {
        "token_ids": (width,),
        "targets": (size,),
        "target_tokens": (size,),
        "contrast_tokens": (size,),
        "scores": (width, size),
        "source_ids": (sources,),
        "source_scores": (sources, size),
        "values": (size,),
        "baseline_values": (size,),
        "completeness_error": (size,),
    }
    arrays = {name: getattr(result, name) for name in expected} | dict(result.step_scores)
    for name, own in arrays.items():
        shape = expected.get(name, (size,))
        if own is not None and np.shape(own)[: len(shape)] != shape:
            raise UsageError(f"{where}: {name} has the shape {np.shape(own)}, expected {shape}")
