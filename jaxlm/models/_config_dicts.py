"""A config as plain values for JSON, and back; files of earlier versions have one flat list of fields."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from jaxlm.errors import ConfigError
from jaxlm.models._config import TransformerConfig
from jaxlm.models._record_checks import check_types, named_record, record_kinds

# What the fields of each record are called in a flat list: of positions, of their scaling, and of the others.
_OF_POSITION = {
    "learned": {"offset": "position_offset"},
    "rotary": {
        "base": "rotary_base",
        "window_base": "rotary_window_base",
        "share": "rotary_share",
        "amplitude": "rotary_amplitude",
    },
    "relative": {"buckets": "relative_buckets", "distance": "relative_distance"},
    "instruction": {"next_id": "next_id", "source": "instruction_positions"},
}
_FACTOR = {"factor": "rotary_factor"}
_TURNS = {
    **_FACTOR,
    "length": "rotary_length",
    "slow_turns": "rotary_slow_turns",
    "fast_turns": "rotary_fast_turns",
}
_OF_SCALING = {
    "linear": _FACTOR,
    "dynamic": {**_FACTOR, "length": "rotary_length"},
    "llama3": _TURNS,
    "yarn": {**_TURNS, "rounded": "rotary_rounded"},
}
_OF_HEAD = {"transform": {"activation": "head_activation", "epsilon": "head_epsilon"}}
_OF_DECODER = {"depth": "decoder_depth", "mlp_width": "decoder_mlp_width", "start_id": "decoder_start_id"}
# What a flat list has for a field whose record is not there.
_FLAT_DEFAULTS = {
    "position_offset": 0,
    "rotary_base": 10000.0,
    "rotary_window_base": None,
    "rotary_share": 1.0,
    "rotary_scaling": "none",
    "rotary_factor": 1.0,
    "rotary_length": None,
    "rotary_slow_turns": 1.0,
    "rotary_fast_turns": 32.0,
    "rotary_rounded": True,
    "rotary_amplitude": None,
    "relative_buckets": 32,
    "relative_distance": 128,
    "next_id": None,
    "instruction_positions": "clean",
    "decoder_depth": None,
    "decoder_mlp_width": None,
    "decoder_start_id": None,
    "head_activation": None,
    "head_epsilon": None,
}


def to_dict(config: TransformerConfig) -> dict[str, Any]:
    """Returns the config as a dict of plain values, for JSON; a record among them says its `kind`.

    Example:
      >>> to_dict(TransformerConfig(width=64))["position"]
      {'kind': 'learned', 'offset': 0}
    """
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any]) -> TransformerConfig:
    """Returns the config that `to_dict` wrote; fields that are left out take their defaults.

    Args:
      values: field names and plain values, as JSON holds them; those of earlier versions, too, which had the
        options of every kind of position among the other fields.

    Raises:
      ConfigError: naming every field that does not exist, or the first value that does not fit.

    Example:
      >>> from_dict({"position": "rotary", "rotary_base": 5e5}).position.base
      500000.0
      >>> from_dict({"width": 64, "n_embd": 64})
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: unknown model config field 'n_embd'; the fields are vocab_size, width, ...
    """
    return _record(TransformerConfig, in_records(values), "")


def in_records(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the plain values of a config of any version as `to_dict` writes them today.

    A flat field of a record that the config has not, such as a base without rotary positions, is left out.

    Example:
      >>> in_records({"width": 64, "head": "linear", "position": "relative", "relative_buckets": 16})
      {'width': 64, 'head': {'kind': 'linear'}, 'position': {'kind': 'relative', 'buckets': 16}}
    """
    if not _FLAT_DEFAULTS.keys() & values.keys():
        return dict(values)
    records = {name: value for name, value in values.items() if name not in _FLAT_DEFAULTS}
    position, head = values.get("position", "learned"), values.get("head", "transform")
    if isinstance(position, str):
        records["position"] = _named(values, position, _OF_POSITION.get(position, {}))
        if position == "rotary":
            scaling = values.get("rotary_scaling", "none")
            told = _OF_SCALING.get(scaling, {}) if isinstance(scaling, str) else {}
            records["position"]["scaling"] = _named(values, scaling, told)
    if isinstance(head, str):
        records["head"] = _named(values, head, _OF_HEAD.get(head, {}))
    decoder = {ours: values.get(flat) for ours, flat in _OF_DECODER.items()}
    if "decoder" not in records and any(value is not None for value in decoder.values()):
        records["decoder"] = decoder
    return records


def flat_config(config: TransformerConfig) -> dict[str, Any]:
    """Returns the config as the flat list of fields that earlier versions wrote, by which jobs are known.

    Example:
      >>> flat = flat_config(TransformerConfig(position="rotary"))
      >>> flat["position"], flat["rotary_base"], flat["relative_buckets"]
      ('rotary', 10000.0, 32)
    """
    values = to_dict(config)
    position, head, decoder = values.pop("position"), values.pop("head"), values.pop("decoder")
    scaling = position.get("scaling", {"kind": "none"})
    flat = {
        **_flat(position, _OF_POSITION.get(position["kind"], {})),
        **_flat(scaling, _OF_SCALING.get(scaling["kind"], {})),
        **_flat(head, _OF_HEAD.get(head["kind"], {})),
        **_flat(decoder or {}, _OF_DECODER),
    }
    kinds = {"position": position["kind"], "head": head["kind"], "rotary_scaling": scaling["kind"]}
    return {**values, **_FLAT_DEFAULTS, **flat, **kinds}


def _named(values: Mapping[str, Any], kind: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """A record's fields, from what a flat list calls them."""
    return {"kind": kind, **{ours: values[flat] for ours, flat in names.items() if flat in values}}


def _flat(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {flat: record[ours] for ours, flat in names.items() if ours in record}


def _record(kind: type, values: Mapping[str, Any], prefix: str) -> Any:
    """A record of its plain values, those of the records inside it, too."""
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    unknown = [name for name in values if name not in fields]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        names = ", ".join(repr(prefix + name) for name in unknown)
        raise ConfigError(f"unknown model config field{plural} {names}; the fields are {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    made = {name: _value(hints[name], value, prefix + name) for name, value in values.items()}
    check_types(kind, made, prefix)
    return kind(**made)


def _value(hint: Any, value: Any, name: str) -> Any:
    kinds, alone = record_kinds(hint), [one for one in typing.get_args(hint) if dataclasses.is_dataclass(one)]
    if kinds and not isinstance(value, Mapping):
        return named_record(hint, value, name)
    if kinds:
        options = dict(value)
        told = options.pop("kind", None)
        if not isinstance(told, str) or told not in kinds:
            raise ConfigError(f"{name}.kind must be one of {', '.join(kinds)}: got {told!r}")
        return _record(kinds[told], options, f"{name}.")
    if alone and isinstance(value, Mapping):
        return _record(alone[0], value, f"{name}.")
    is_float = float in (hint, *typing.get_args(hint))
    return float(value) if is_float and isinstance(value, int) and not isinstance(value, bool) else value
