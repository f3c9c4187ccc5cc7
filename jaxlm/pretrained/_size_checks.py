"""Compares the sizes in a config.json with the weights before any memory is allocated by them."""

from collections.abc import Mapping
from typing import Any

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._dotted_fields import field_of
from jaxlm.pretrained._stored import StoredTensor

# Fields that are the size of some tensor's axis, and those that are so for one kind of positions.
AXES = ("vocab_size", "width", "mlp_width", "decoder.mlp_width", "head_width", "token_types")
AXES_OF_POSITION = {"learned": "max_length", "relative": "position.buckets"}
DEPTHS = ("depth", "decoder.depth")
# Within these limits, a config that does not fit its weights gets an error that names the tensors.
TIMES, MORE = 16, 1 << 16


def check_layers(values: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raises an error for a number of layers that no model has, before anything is made for each layer.

    Args:
      values: config.json.
      names: by attribute that counts layers, our name for it.

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
    """Raises an error for a config far larger than the weights, for which the memory would not suffice.

    Args:
      config: of the model.
      stored: its tensors, which are not read.

    Raises:
      ModelError: names the first field that is too large.
    """
    if not stored:
        return
    longest = max((axis for tensor in stored.values() for axis in tensor.shape), default=0)
    position = config.position if isinstance(config.position, str) else config.position.kind
    fields = [*AXES, *filter(None, [AXES_OF_POSITION.get(position)])]
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
