"""Conversion from and to the flat form of a config, which earlier versions wrote."""

from collections.abc import Mapping
from typing import Any

# The flat name of each field of a record: of positions, of their scaling, and of the other records.
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
# The flat value of a field whose record the config does not have.
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


def from_flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the JSON values of a config of any version in the current form.

    Flat fields of a record that the config does not have are left out: a base without rotary positions.

    Args:
      values: by field, flat or in the current form.

    Example:
      >>> from jaxlm.models._flat_fields import from_flat
      >>> from_flat({"width": 64, "head": "linear", "position": "relative", "relative_buckets": 16})
      {'width': 64, 'head': {'kind': 'linear'}, 'position': {'kind': 'relative', 'buckets': 16}}
    """
    has_records = any(isinstance(values.get(name), Mapping) for name in ("position", "head", "decoder"))
    if has_records or not _FLAT_DEFAULTS.keys() & values.keys():
        return dict(values)
    records = {name: value for name, value in values.items() if name not in _FLAT_DEFAULTS}
    position, head = values.get("position", "learned"), values.get("head", "transform")
    if isinstance(position, str):
        records["position"] = _named(values, position, _OF_POSITION.get(position, {}))
        if position == "rotary":
            scaling = values.get("rotary_scaling", "none")
            names = _OF_SCALING.get(scaling, {}) if isinstance(scaling, str) else {}
            records["position"]["scaling"] = _named(values, scaling, names)
    if isinstance(head, str):
        records["head"] = _named(values, head, _OF_HEAD.get(head, {}))
    decoder = {ours: values.get(flat) for ours, flat in _OF_DECODER.items()}
    if any(value is not None for value in decoder.values()):
        records["decoder"] = decoder
    return records


def to_flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the JSON values of a config in the flat form of earlier versions.

    Args:
      values: all fields of a config, in the current form.
    """
    values = dict(values)
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
    """Returns a record in the current form from flat values; `names` maps its fields to flat names."""
    return {"kind": kind, **{ours: values[flat] for ours, flat in names.items() if flat in values}}


def _flat(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {flat: record[ours] for ours, flat in names.items() if ours in record}
