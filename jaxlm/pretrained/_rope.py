"""Rotary positions as config.json says them: `rope_parameters`, or before `rope_theta` and `rope_scaling`."""

import math
from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._attributes import refuse

Fields = dict[str, Any]
NAMES = frozenset({"rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor"})

# By kind, their words for our fields; each kind refuses the others' words.
_COMMON = {"rope_theta": "rotary_base", "partial_rotary_factor": "rotary_share"}
_TURNS = {"factor": "rotary_factor", "original_max_position_embeddings": "rotary_length"}
_WORDS = {
    "default": _COMMON,
    "linear": {**_COMMON, "factor": "rotary_factor"},
    "dynamic": {**_COMMON, "factor": "rotary_factor"},
    "llama3": {
        **_COMMON,
        **_TURNS,
        "low_freq_factor": "rotary_slow_turns",
        "high_freq_factor": "rotary_fast_turns",
    },
    "yarn": {
        **_COMMON,
        **_TURNS,
        "beta_slow": "rotary_slow_turns",
        "beta_fast": "rotary_fast_turns",
        "truncate": "rotary_rounded",
        "attention_factor": "rotary_amplitude",
    },
}
# What transformers cannot do without.
_NEEDED = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
}
# Words that say nothing where a kind of scaling does not read them.
_IDLE = frozenset(
    {"type", "rope_type", "original_max_position_embeddings", "finetuned", "max_position_embeddings"}
)


def read_rope(values: Mapping[str, Any]) -> Fields:
    """Returns the fields of one rotary position for all blocks, in which every feature of a head turns.

    Raises:
      UnsupportedError: one line that names what is not supported.

    Example:
      >>> fields = read_rope({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}})
      >>> fields == {"rotary_base": 500000.0, "rotary_scaling": "linear", "rotary_factor": 4.0}
      True
    """
    told = values.get("rope_parameters") or values.get("rope_scaling") or {}
    older = {name: values[name] for name in _COMMON if values.get(name) is not None}
    share = {**older, **told}.get("partial_rotary_factor") or 1.0
    refuse([f"partial_rotary_factor={share}"] if share != 1.0 else [])
    return rope_fields({**older, **told}, values)


def rope_fields(told: Mapping[str, Any], values: Mapping[str, Any]) -> Fields:
    """Returns the fields that one set of rope parameters says.

    Args:
      told: the parameters, `rope_theta` among them; transformers' base where it is not.
      values: the config.json around them.
    """
    kind = told.get("rope_type", told.get("type", "default")) or "default"
    words = _WORDS.get(kind)
    if words is None:
        refuse([f"rope_type={kind!r} (known are {', '.join(_WORDS)})"])
    given = {name: value for name, value in told.items() if value is not None}
    if kind == "yarn":
        given = _yarn(given)
    refuse(
        [
            f"{name}={value!r} in rope parameters"
            for name, value in given.items()
            if name not in {*words, *_IDLE}
        ]
    )
    absent = [name for name in _NEEDED.get(kind, ()) if name not in given]
    refuse([f"rope_type={kind!r} without {name}" for name in absent])
    fields = {words[name]: value for name, value in given.items() if name in words}
    fields.setdefault("rotary_base", 10000.0)
    if kind == "default":
        return fields
    length = values.get("max_position_embeddings")
    if kind in ("llama3", "yarn") and length is not None:
        fields.setdefault("rotary_length", length)
    return {**fields, "rotary_scaling": kind}


def write_rope(config: models.TransformerConfig) -> Fields:
    """Returns the attributes that say a config's rotary positions; undoes `read_rope`.

    Example:
      >>> write_rope(models.TransformerConfig(position="rotary", rotary_base=100.0))
      {'rope_parameters': {'rope_type': 'default', 'rope_theta': 100.0}}
    """
    return {"rope_parameters": rope_parameters(config)}


def rope_parameters(config: models.TransformerConfig) -> Fields:
    """Returns one set of rope parameters."""
    kind = "default" if config.rotary_scaling == "none" else config.rotary_scaling
    told = {name: getattr(config, field) for name, field in _WORDS[kind].items()}
    told = {name: value for name, value in told.items() if value is not None}
    if told["partial_rotary_factor"] == 1.0:
        del told["partial_rotary_factor"]
    return {"rope_type": kind, **told}


def _yarn(given: Fields) -> Fields:
    """The amplitude in one number where two weights of it are given; what is 0 is as if left out."""
    first, second = given.pop("mscale", None), given.pop("mscale_all_dim", None)
    given = {name: value for name, value in given.items() if value or name == "truncate"}
    if first and second and "attention_factor" not in given:
        given["attention_factor"] = _amplitude(given["factor"], first) / _amplitude(given["factor"], second)
    return given


def _amplitude(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0
