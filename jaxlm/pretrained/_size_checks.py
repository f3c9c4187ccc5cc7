"""Sizes that a config.json claims, held against what the weights beside it hold before they cost anything."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._dotted_fields import field_of
from jaxlm.pretrained._stored import StoredTensor

# Fields that are an axis of some tensor, and those that are so for one kind of positions.
AXES = ("vocab_size", "width", "mlp_width", "decoder.mlp_width", "head_width", "token_types")
AXES_OF_POSITION = {"learned": "max_length", "relative": "position.buckets"}
DEPTHS = ("depth", "decoder.depth")
# A config that is a little beyond its weights is told tensor by tensor.
TIMES, MORE = 16, 1 << 16


def check_layers(values: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Refuses a count of layers that no model has, before anything is made of each.

    Args:
      values: config.json.
      names: of its attributes that count layers, by what the values are called here.

    Raises:
      ModelError: names the attribute.

    Example:
      >>> from jaxlm.pretrained._size_checks import check_layers
      >>> check_layers({"n_layer": 2_000_000_000_000}, {"n_layer": "depth"})
      Traceback (most recent call last):
      jaxlm.errors.ModelError: n_layer (depth) must be at most 10,000: got 2,000,000,000,000
    """
    for name, ours in names.items():
        value = values.get(name)
        if isinstance(value, int | float) and not value <= models.MAX_LAYERS:
            told = f"{value:,}" if value < 2**64 else "more than 2**64"
            raise ModelError(f"{name} ({ours}) must be at most {models.MAX_LAYERS:,}: got {told}")


def check_sizes(config: models.TransformerConfig, stored: Mapping[str, StoredTensor]) -> None:
    """Refuses a config that is far larger than the weights: to lay it out would take all memory.

    Args:
      config: of the model.
      stored: its tensors, none of them read.

    Raises:
      ValueError: names the first field that is too large.
    """
    if not stored:
        return
    longest = max((axis for tensor in stored.values() for axis in tensor.shape), default=0)
    fields = [*AXES, *filter(None, [AXES_OF_POSITION.get(config.position.kind)])]
    for name in fields:
        _check(config, name, TIMES * longest + MORE, f"rows of at most {longest:,} numbers")
    for name in DEPTHS:
        _check(config, name, TIMES * len(stored), f"{len(stored):,} tensors")


def _check(config: models.TransformerConfig, name: str, most: int, told: str) -> None:
    value = field_of(config, name)
    if isinstance(value, int) and value > most:
        raise ModelError(
            f"{name} is {value:,}, and the weights have {told}: config.json is of another model, or damaged; "
            "fetch it again"
        )
