"""Attributions as JSON, plain or compressed; arrays come back bit by bit."""

import base64
import binascii
import gzip
import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm import io
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.errors import UsageError

FORMAT, VERSION = "jaxlm.attribution", 1
ARRAY_DTYPES = ("float16", "float32", "float64", "int32", "int64")
ARRAY_FIELDS = (
    *("token_ids", "positions", "targets", "scores", "source_ids", "source_scores"),
    *("values", "baseline_values", "completeness_error"),
)
STRING_FIELDS = ("tokens", "target_tokens", "source_tokens", "contrast_tokens")
# What the other fields are.
KINDS_OF_FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("step_scores", "settings"), dict),
    **dict.fromkeys(("method", "step_function", "unit", "fingerprint", "model"), str),
    "is_signed": bool,
}
INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def save_attributions(
    path: str | os.PathLike[str], results: Sequence[AttributionFields], *, is_compact: bool = True
) -> None:
    """Writes attributions into one JSON file, atomically; `open_attributions` opens it again exactly.

    Args:
      path: the path of the file. It is compressed by gzip if the path ends in ".gz".
      results: the attributions, in order.
      is_compact: whether arrays are written as base64 of their bytes. False: as lists of numbers, NaN as null
        (which NaN it was is then forgotten, nothing else).

    Raises:
      WriteError: the file cannot be written; an older file stays.
      UsageError: a setting is no JSON value, or an array has a dtype that files do not have.

    Example:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, open_attributions, save_attributions
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]], np.float32)
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
      >>> path = Path(tempfile.mkdtemp(), "scores.json.gz")
      >>> save_attributions(path, [result])
      >>> open_attributions(path)[0].scores.tolist()
      [[0.5], [nan]]
    """
    values = [attribution_as_json(result, is_compact=is_compact) for result in results]
    text = json.dumps({"format": FORMAT, "version": VERSION, "attributions": values}, allow_nan=False)
    data = text.encode()
    # Without a time of writing, equal attributions make equal files.
    io.write_bytes(path, gzip.compress(data, mtime=0) if Path(path).suffix == ".gz" else data)


def attribution_as_json(result: AttributionFields, *, is_compact: bool = False) -> dict[str, Any]:
    """Returns an attribution as JSON values, one entry for each field.

    Args:
      result: the attribution.
      is_compact: whether arrays are base64 of their bytes. False: lists of numbers, NaN as null and
        infinities as "inf" and "-inf".

    Raises:
      UsageError: a setting is no JSON value, or an array has a dtype that files do not have.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution, attribution_as_json
      >>> ids, scores = np.array([5, 6]), np.array([[0.5], [np.nan]], np.float32)
      >>> result = Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores)
      >>> attribution_as_json(result)["scores"]
      {'dtype': 'float32', 'shape': [2, 1], 'values': [[0.5], [None]]}
    """
    fields = result._asdict()
    for name in ARRAY_FIELDS:
        fields[name] = None if fields[name] is None else _array_as_json(fields[name], is_compact)
    for name in STRING_FIELDS:
        fields[name] = None if fields[name] is None else list(fields[name])
    scores = result.step_scores.items()
    fields["step_scores"] = {name: _array_as_json(own, is_compact) for name, own in scores}
    try:
        fields["settings"] = json.loads(json.dumps(dict(result.settings), default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"settings are JSON values: got {dict(result.settings)!r} ({error})") from error
    return fields


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns the value of a JSON file, whether it is compressed by gzip or not.

    Args:
      path: the path of the file.

    Raises:
      ReadError: the file cannot be read.
      UsageError: the file holds no JSON, or is cut off.
    """
    with io.reading_from(path):
        data = Path(path).read_bytes()
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return io.parse_json(data)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise UsageError(f"{path} holds no whole JSON: {error}") from error


def fields_from_json(value: Any, where: str) -> dict[str, Any]:
    """Returns the fields of an attribution from the values of `attribution_as_json`.

    Args:
      value: the JSON values.
      where: the file, for error messages.

    Raises:
      UsageError: a field is missing, unknown or damaged.
    """
    if not isinstance(value, dict) or set(value) - set(AttributionFields._fields):
        raise UsageError(f"{where} holds no attribution: expected the fields {AttributionFields._fields}")
    missing = [
        name
        for name in AttributionFields._fields
        if name not in value and name not in AttributionFields._field_defaults
    ]
    if missing:
        raise UsageError(f"{where}: the attribution has no {missing[0]}")
    fields = dict(value)
    for name, kind in KINDS_OF_FIELDS.items():
        if not isinstance(fields.get(name, kind()), kind):
            raise UsageError(f"{where}: an attribution is damaged: {name} is {fields[name]!r:.60}")
    try:
        for name in ARRAY_FIELDS:
            if fields.get(name) is not None:
                fields[name] = _array_from_json(fields[name])
        for name in STRING_FIELDS:
            if fields.get(name) is not None:
                fields[name] = tuple(map(str, fields[name]))
        scores = fields.get("step_scores", {}).items()
        fields["step_scores"] = {name: _array_from_json(own) for name, own in scores}
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise UsageError(f"{where}: an attribution is damaged: {error}") from error
    return fields


def _array_as_json(array: Any, is_compact: bool) -> dict[str, Any]:
    array = np.asarray(array)
    if array.dtype.name not in ARRAY_DTYPES:
        raise UsageError(f"arrays of files are of {', '.join(ARRAY_DTYPES)}: got {array.dtype.name}")
    told = {"dtype": array.dtype.name, "shape": list(array.shape)}
    if not is_compact:
        return told | {"values": _without_nan(array.tolist())}
    little = array.astype(array.dtype.newbyteorder("<"))
    return told | {"base64": base64.b64encode(little.tobytes()).decode()}


def _array_from_json(value: Any) -> np.ndarray:
    if not isinstance(value, dict):
        raise TypeError(f"an array is an object of JSON, got {type(value).__name__}")
    if value["dtype"] not in ARRAY_DTYPES:
        raise UsageError(f"an array is of {', '.join(ARRAY_DTYPES)}, got {value['dtype']}")
    dtype = np.dtype(value["dtype"])
    if "base64" in value:
        data = base64.b64decode(value["base64"], validate=True)
        array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
    else:
        array = np.array(_with_nan(value["values"]), dtype)
    return array.reshape(value["shape"])


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else f"{value}"
    return value


def _with_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_nan(inner) for inner in value]
    return math.nan if value is None else INFINITIES[value] if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and JAX, among settings, as Python's own."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")
