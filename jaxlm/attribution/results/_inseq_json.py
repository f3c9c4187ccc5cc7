"""Attributions in the files that the library inseq saves.

Such a file holds an object of inseq: `{"__instance_type__": [module, class], "attributes": {...}}`, nested.
Arrays are base64 of a safetensors file with one tensor (since inseq 0.6), or base64 of their bytes, or lists.
"""

import base64
import gzip
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors

from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.attribution.results._heat_map import unit_of
from jaxlm.errors import UsageError

TYPE, ATTRIBUTES, ARRAY = "__instance_type__", "attributes", "__ndarray__"
OUTPUT = "FeatureAttributionOutput"
DTYPES_OF_TENSORS: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F8_E4M3": jnp.float8_e4m3fn,
}
# What of the description of a run goes into the settings, if it is not empty.
INFO = (
    *("attributed_fn_args", "attribution_args", "step_scores_args", "include_eos_baseline"),
    *("generation_args", "tokenizer_name", "model_class"),
)


def is_inseq(value: Any) -> bool:
    """Returns whether a JSON value is an output of inseq.

    Args:
      value: the JSON value of a file.
    """
    return isinstance(value, dict) and isinstance(value.get(TYPE), list) and value[TYPE][-1:] == [OUTPUT]


def inseq_fields(value: Any, where: str) -> list[dict[str, Any]]:
    """Returns the fields of each attribution in an output of inseq.

    Scores are float32, as inseq itself loads them. Axes of layers and heads are averaged, as inseq does
    before it shows them; scores for each dimension of the embeddings stay. What a record has no field for
    (the scores of single steps, attention inside the encoder) is left out, and named in the settings.

    Args:
      value: the JSON value of a file.
      where: the file, for error messages.

    Raises:
      UsageError: the output lacks a field, or an array is damaged.
    """
    try:
        output = value[ATTRIBUTES]
        info = output.get("info") or {}
        return [_sequence(own[TYPE][-1], own[ATTRIBUTES], info) for own in output["sequence_attributions"]]
    except (KeyError, TypeError, ValueError, IndexError, safetensors.SafetensorError) as error:
        raise UsageError(f"{where} is no whole output of inseq: {type(error).__name__}: {error}") from error


def _sequence(kind: str, own: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    tokens, ids = _tokens(own["target"])
    positions = np.arange(own.get("attr_pos_start", 0), own.get("attr_pos_end", len(tokens)), dtype=np.int32)
    scores, source_scores = (
        _averaged(kind, _array(own.get(name))) for name in ("target_attributions", "source_attributions")
    )
    source_tokens, source_ids = _tokens(own["source"]) if source_scores is not None else (None, None)
    function = str(info.get("attributed_fn") or "").removesuffix("_fn")
    settings = {name: info[name] for name in INFO if info.get(name)}
    left_out = [name for name in ("sequence_scores", "step_attributions") if own.get(name)]
    sides = [side for side in (scores, source_scores) if side is not None]
    return AttributionFields(
        tokens=tokens,
        token_ids=ids,
        positions=positions,
        targets=ids[positions],
        target_tokens=tuple(tokens[position] for position in positions),
        scores=scores,
        source_tokens=source_tokens,
        source_ids=source_ids,
        source_scores=source_scores,
        step_scores=_step_scores(own.get("step_scores") or {}, len(positions)),
        method=str(info.get("attribution_method") or ""),
        settings=settings | ({"left_out": left_out} if left_out else {}) | {"library": "inseq"},
        step_function=function,
        unit=unit_of(function) if function else "",
        is_signed=any(bool((side < 0).any()) for side in sides),
        model=str(info.get("model_name") or ""),
    )._asdict()


def _tokens(values: list[dict[str, Any]]) -> tuple[tuple[str, ...], np.ndarray]:
    own = [value[ATTRIBUTES] for value in values]
    ids = np.array([token["id"] for token in own], np.int32)
    return tuple(str(token["token"]) for token in own), ids


def _step_scores(values: dict[str, Any], size: int) -> dict[str, np.ndarray]:
    arrays = {name: _array(value) for name, value in values.items()}
    return {name: own.reshape(size) for name, own in arrays.items() if own is not None}


def _array(value: Any) -> np.ndarray | None:
    """An array of any version of inseq, as float32."""
    if value is None:
        return None
    if isinstance(value, str):
        ((_, tensor),) = safetensors.deserialize(base64.b64decode(value))
        array = np.frombuffer(tensor["data"], DTYPES_OF_TENSORS[tensor["dtype"]])
        return array.reshape(tensor["shape"]).astype(np.float32)
    if isinstance(value, dict) and ARRAY in value:
        return _older_array(value).astype(np.float32)
    raise TypeError(f"expected an array, got {type(value).__name__}")


def _older_array(value: dict[str, Any]) -> np.ndarray:
    """An array as inseq wrote it before safetensors: base64 of its bytes, compressed or not, or lists."""
    data, dtype, shape = value[ARRAY], np.dtype(value["dtype"]), value["shape"]
    if not isinstance(data, str):
        return np.array(data, dtype).reshape(shape)
    kind, _, text = data.partition(":")
    raw = base64.b64decode(text)
    raw = gzip.decompress(raw) if kind == "b64.gz" else raw
    if len(raw) != dtype.itemsize * math.prod(shape):
        raise UsageError(f"an array of shape {shape} has {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape)


def _averaged(kind: str, scores: np.ndarray | None) -> np.ndarray | None:
    """Scores without their axes of layers and heads; those of embeddings' dimensions stay."""
    if scores is None or scores.ndim <= 2 or kind.startswith("Granular"):
        return scores
    return scores.mean(axis=tuple(range(2, scores.ndim)), dtype=np.float64).astype(np.float32)
