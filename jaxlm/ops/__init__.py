"""Pure array maths on floor 1: products, attention, norms, dropout and the tiled cross-entropy."""

from jaxlm.ops._attention import attention
from jaxlm.ops._cross_entropy import CrossEntropy, tiled_cross_entropy
from jaxlm.ops._dropout import dropout
from jaxlm.ops._linear import linear
from jaxlm.ops._masks import attention_mask
from jaxlm.ops._norms import layer_norm, rms_norm
from jaxlm.ops._positions import instruction_positions, positions_from_segments, rotary

__all__ = [
    "CrossEntropy",
    "attention",
    "attention_mask",
    "dropout",
    "instruction_positions",
    "layer_norm",
    "linear",
    "positions_from_segments",
    "rms_norm",
    "rotary",
    "tiled_cross_entropy",
]
