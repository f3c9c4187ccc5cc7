"""Rotary positions in config.json: `rope_parameters`, in older files `rope_theta` and `rope_scaling`."""

import math
from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.pretrained._attributes import UnsupportedError, raise_unsupported
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

# By kind of scaling, its parameters and our fields for them; a kind refuses the parameters of other kinds.
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
# The parameters without which transformers fails.
_NEEDED = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
}
# Parameters without effect where a kind of scaling does not read them.
_IDLE = frozenset(
    {"type", "rope_type", "original_max_position_embeddings", "finetuned", "max_position_embeddings"}
)
# Parameters with which some kind of scaling computes, also those that are not supported here.
_ACTIVE = {
    *(word for words in _WORDS.values() for word in words),
    *("mscale", "mscale_all_dim", "long_factor", "short_factor"),
    *(FULL, SLIDING),
}


def read_rope(values: Mapping[str, Any]) -> Fields:
    """Returns the fields of one rotary position for all blocks that rotates every feature of a head.

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
    """Returns the name under which a file's rope parameters are read: the older one, if it has both."""
    return "rope_scaling" if values.get("rope_scaling") else "rope_parameters"


def given_rope_parameters(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the rope parameters of a file.

    The original length beside the parameters, as in files of Phi, wins over the one among them.

    Example:
      >>> from jaxlm.pretrained._rope import given_rope_parameters
      >>> newer, older = {"rope_type": "yarn"}, {"type": "linear"}
      >>> given_rope_parameters({"rope_scaling": older, "rope_parameters": newer})
      {'type': 'linear'}
    """
    told = values.get(scaling_name(values)) or {}
    if not isinstance(told, Mapping):
        raise_unsupported([f"{scaling_name(values)}={told!r}, of another type than the family's"])
    length = values.get("original_max_position_embeddings")
    return told if length is None else {**told, "original_max_position_embeddings": length}


def rope_fields(told: Mapping[str, Any], values: Mapping[str, Any]) -> Fields:
    """Returns the fields of one set of rope parameters.

    Args:
      told: the parameters; without `rope_theta` the base is that of transformers.
      values: the whole config.json.

    Raises:
      UnsupportedError: one line that names what is not supported.
    """
    kind = told.get("rope_type", told.get("type", "default")) or "default"
    words = _WORDS.get(kind) if isinstance(kind, str) else None
    source = scaling_name(values)
    if words is None:
        raise UnsupportedError([f"rope_type={kind!r} in {source} (known are {', '.join(_WORDS)})"])
    given = {name: value for name, value in told.items() if value is not None}
    length = values.get("max_position_embeddings")
    if kind == "yarn":
        given = _yarn(given, length if "factor" in told else None)
    active = [name for name in given if name in _ACTIVE and name not in {*words, *_IDLE}]
    raise_unsupported([f"{name}={given[name]!r} in {source}" for name in active])
    absent = [name for name in _NEEDED.get(kind, ()) if name not in given]
    raise_unsupported([f"rope_type={kind!r} without {name} in {source}" for name in absent])
    fields = {words[name]: value for name, value in given.items() if name in words}
    fields.setdefault("position.base", 10000.0)
    if kind == "default":
        return fields
    if kind in ("llama3", "yarn") and length is not None:
        fields.setdefault("position.scaling.length", length)
    return {**fields, "position.scaling.kind": kind}


def check_head_width(values: Mapping[str, Any], width: int) -> None:
    """Raises an error if the rotary head width differs from the width by which a family makes its heads.

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
    """Returns the rope parameters of a file that neither jaxlm nor transformers reads.

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
    """Returns the attributes for a config's rotary positions; undoes `read_rope`.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.pretrained._rope import write_rope
      >>> write_rope(models.TransformerConfig(position=models.Rotary(base=100.0)))
      {'rope_parameters': {'rope_type': 'default', 'rope_theta': 100.0}}
    """
    is_rotary = isinstance(config.position, models.Rotary)
    return {"rope_parameters": rope_parameters(config)} if is_rotary else {}


def rope_parameters(config: models.TransformerConfig) -> Fields:
    """Returns the rope parameters of a config.

    Raises:
      ValueError: the config has no rotary positions.
    """
    if not isinstance(config.position, models.Rotary):
        raise ValueError(f"expected a config with rotary positions, got {config.position!r}")
    scaling = config.position.scaling
    kind = scaling if isinstance(scaling, str) else scaling.kind
    kind = "default" if kind == "none" else kind
    told = {name: field_of(config, field) for name, field in _WORDS[kind].items()}
    told = {name: value for name, value in told.items() if value is not None}
    if told["partial_rotary_factor"] == 1.0:
        del told["partial_rotary_factor"]
    return {"rope_type": kind, **told}


def _yarn(given: Fields, length: int | None) -> Fields:
    """YaRN's parameters with the amplitude as one number, computed from its two weights; 0 means left out.

    Args:
      given: the parameters that are not null.
      length: the length of the longest texts, from which a null factor is computed; None: the factor has to
        be given.
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
