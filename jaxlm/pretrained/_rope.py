"""Rotary positions as config.json says them: `rope_parameters`, or before `rope_theta` and `rope_scaling`."""

import math
from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._attributes import raise_unsupported
from jaxlm.pretrained._dotted_fields import field_of
from jaxlm.pretrained._windows import FULL, SLIDING

Fields = dict[str, Any]
NAMES = frozenset(
    {
        "original_max_position_embeddings",
        "partial_rotary_factor",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
    }
)

# By kind, their words for our fields; each kind refuses the others' words.
_COMMON = {"rope_theta": "position.base", "partial_rotary_factor": "position.share"}
_TURNS = {"factor": "position.scaling.factor", "original_max_position_embeddings": "position.scaling.length"}
_WORDS = {
    "default": _COMMON,
    "linear": {**_COMMON, "factor": "position.scaling.factor"},
    "dynamic": {**_COMMON, "factor": "position.scaling.factor"},
    "llama3": {
        **_COMMON,
        **_TURNS,
        "low_freq_factor": "position.scaling.slow_turns",
        "high_freq_factor": "position.scaling.fast_turns",
    },
    "yarn": {
        **_COMMON,
        **_TURNS,
        "beta_slow": "position.scaling.slow_turns",
        "beta_fast": "position.scaling.fast_turns",
        "truncate": "position.scaling.rounded",
        "attention_factor": "position.amplitude",
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
# Words that some kind of scaling computes with, those that have no equal here among them.
_ACTIVE = {
    *(word for words in _WORDS.values() for word in words),
    *("mscale", "mscale_all_dim", "long_factor", "short_factor"),
    *(FULL, SLIDING),
}


def read_rope(values: Mapping[str, Any]) -> Fields:
    """Returns the fields of one rotary position for all blocks, in which every feature of a head turns.

    Raises:
      UnsupportedError: one line that names what is not supported.

    Example:
      >>> from jaxlm.pretrained._rope import read_rope
      >>> fields = read_rope({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}})
      >>> [*fields.items()]
      [('position.base', 500000.0), ('position.scaling.factor', 4.0), ('position.scaling.kind', 'linear')]
    """
    older = {name: values[name] for name in _COMMON if values.get(name) is not None}
    told = {**older, **given_rope_parameters(values)}
    share = told.pop("partial_rotary_factor", None)
    outside = "" if values.get("partial_rotary_factor") == share else f" in {scaling_name(values)}"
    raise_unsupported([f"partial_rotary_factor={share!r}{outside}"] if share not in (None, 1) else [])
    return rope_fields(told, values)


def scaling_name(values: Mapping[str, Any]) -> str:
    """Returns which of its two names a file's rope parameters are read by: the older, if it has both."""
    return "rope_scaling" if values.get("rope_scaling") else "rope_parameters"


def given_rope_parameters(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the rope parameters of a file.

    A length beside them, which files of Phi brought up, stands above the one among them.

    Example:
      >>> from jaxlm.pretrained._rope import given_rope_parameters
      >>> given_rope_parameters({"rope_scaling": {"type": "linear"}, "rope_parameters": {"rope_type": "yarn"}})
      {'type': 'linear'}
    """
    told = values.get(scaling_name(values)) or {}
    if not isinstance(told, Mapping):
        raise_unsupported([f"{scaling_name(values)}={told!r}, of another type than the family's"])
    length = values.get("original_max_position_embeddings")
    return told if length is None else {**told, "original_max_position_embeddings": length}


def rope_fields(told: Mapping[str, Any], values: Mapping[str, Any]) -> Fields:
    """Returns the fields that one set of rope parameters says.

    Args:
      told: the parameters, `rope_theta` among them; transformers' base where it is not.
      values: the config.json around them.
    """
    kind = told.get("rope_type", told.get("type", "default")) or "default"
    words = _WORDS.get(kind) if isinstance(kind, str) else None
    place = scaling_name(values)
    if words is None:
        raise_unsupported([f"rope_type={kind!r} in {place} (known are {', '.join(_WORDS)})"])
    given = {name: value for name, value in told.items() if value is not None}
    length = values.get("max_position_embeddings")
    if kind == "yarn":
        given = _yarn(given, length if "factor" in told else None)
    active = [name for name in given if name in _ACTIVE and name not in {*words, *_IDLE}]
    raise_unsupported([f"{name}={given[name]!r} in {place}" for name in active])
    absent = [name for name in _NEEDED.get(kind, ()) if name not in given]
    raise_unsupported([f"rope_type={kind!r} without {name} in {place}" for name in absent])
    fields = {words[name]: value for name, value in given.items() if name in words}
    fields.setdefault("position.base", 10000.0)
    if kind == "default":
        return fields
    if kind in ("llama3", "yarn") and length is not None:
        fields.setdefault("position.scaling.length", length)
    return {**fields, "position.scaling.kind": kind}


def check_head_width(values: Mapping[str, Any], width: int) -> None:
    """Refuses a head's width of the turns alone, beside the one by which a family divides its model.

    Example:
      >>> from jaxlm.pretrained._rope import check_head_width
      >>> check_head_width({"head_dim": 6}, 4)
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: ...: head_dim=6 (only 4, ...)
    """
    told = values.get("head_dim")
    raise_unsupported(
        [f"head_dim={told!r} (only {width}, the width divided by the heads)"]
        if told not in (None, width)
        else []
    )


def unknown_words(values: Mapping[str, Any]) -> list[str]:
    """Returns the words among a file's rope parameters that nothing reads, here or in transformers.

    Example:
      >>> from jaxlm.pretrained._rope import unknown_words
      >>> unknown_words({"rope_scaling": {"type": "linear", "factor": 2.0, "mrope_section": [1, 1]}})
      ['rope_scaling.mrope_section']
    """
    return [
        f"{name}.{word}"
        for name in ("rope_parameters", "rope_scaling")
        if isinstance(values.get(name), Mapping)
        for word in values[name]
        if word not in {*_ACTIVE, *_IDLE}
    ]


def write_rope(config: models.TransformerConfig) -> Fields:
    """Returns the attributes that say a config's rotary positions; undoes `read_rope`.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.pretrained._rope import write_rope
      >>> write_rope(models.TransformerConfig(position=models.Rotary(base=100.0)))
      {'rope_parameters': {'rope_type': 'default', 'rope_theta': 100.0}}
    """
    is_rotary = isinstance(config.position, models.Rotary)
    return {"rope_parameters": rope_parameters(config)} if is_rotary else {}


def rope_parameters(config: models.TransformerConfig) -> Fields:
    """Returns one set of rope parameters of a config with rotary positions."""
    kind = config.position.scaling.kind
    kind = "default" if kind == "none" else kind
    told = {name: field_of(config, field) for name, field in _WORDS[kind].items()}
    told = {name: value for name, value in told.items() if value is not None}
    if told["partial_rotary_factor"] == 1.0:
        del told["partial_rotary_factor"]
    return {"rope_type": kind, **told}


def _yarn(given: Fields, length: int | None) -> Fields:
    """The amplitude in one number where two weights of it are given; what is 0 is as if left out.

    Args:
      given: the parameters that are not null.
      length: that of the longest texts, by which a factor goes that is null; None: a factor has to be given.
    """
    first, second = given.pop("mscale", None), given.pop("mscale_all_dim", None)
    given = {
        name: value for name, value in given.items() if value or name in ("truncate", "attention_factor")
    }
    if "factor" not in given and length is not None:
        given["factor"] = length / given.get("original_max_position_embeddings", length)
    if first and second and "attention_factor" not in given:
        given["attention_factor"] = _amplitude(given["factor"], first) / _amplitude(given["factor"], second)
    return given


def _amplitude(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0
