"""Which blocks attend within a window, in config.json: a list of layer types, or a rule for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm import models
from jaxlm.pretrained._attributes import raise_unsupported

FULL, SLIDING = "full_attention", "sliding_attention"
_LETTERS = {FULL: "f", SLIDING: "w"}


def pattern_of(types: Sequence[str]) -> str:
    """Returns the shortest pattern of layer types.

    Raises:
      UnsupportedError: a type is neither full nor sliding attention.

    Example:
      >>> from jaxlm.pretrained._windows import pattern_of
      >>> pattern_of(["sliding_attention", "full_attention"] * 3)
      'wf'
    """
    if not types:
        return "f"  # a depth of 0 is refused elsewhere
    raise_unsupported([f"layer type {kind!r}" for kind in sorted({*types} - {*_LETTERS})])
    return shortest_pattern("".join(_LETTERS[kind] for kind in types))


def shortest_pattern(letters: str) -> str:
    """Returns the shortest text whose repetition begins with the letters.

    Example:
      >>> from jaxlm.pretrained._windows import shortest_pattern
      >>> shortest_pattern("wwfwwfw"), shortest_pattern("wwww"), shortest_pattern("fw")
      ('wwf', 'w', 'fw')
    """
    depth = len(letters)
    words = (letters[:length] for length in range(1, depth + 1))
    return next(word for word in words if (word * depth)[:depth] == letters)


def layer_types(config: models.TransformerConfig) -> list[str]:
    """Returns the attention type of every block, as config.json names it."""
    return [SLIDING if config.has_window(layer) else FULL for layer in range(config.depth)]


def read_late_window(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the window of Qwen's models, which is off by default and otherwise begins at some block.

    Example:
      >>> from jaxlm.pretrained._windows import read_late_window
      >>> values = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
      >>> read_late_window({**values, "num_hidden_layers": 4})
      {'window': 8, 'layer_pattern': 'ffww'}
    """
    if not values.get("use_sliding_window", False):
        return {}
    window, first = values.get("sliding_window", 4096), values.get("max_window_layers", 28)
    types = values.get("layer_types")
    if types is None:
        types = [SLIDING if layer >= first else FULL for layer in range(values.get("num_hidden_layers", 32))]
    pattern = pattern_of(types)
    return {} if pattern == "f" or window is None else {"window": window, "layer_pattern": pattern}


def write_late_window(config: models.TransformerConfig) -> dict[str, Any]:
    """Returns the attributes for such a window; undoes `read_late_window`."""
    types = layer_types(config)
    return {
        "use_sliding_window": SLIDING in types,
        "sliding_window": config.window,
        "max_window_layers": types.index(SLIDING) if SLIDING in types else config.depth,
        "layer_types": types,
    }
