"""Pure array maths on floor 1: products, attention, norms, dropout and the tiled cross-entropy."""

from jaxlm.ops._activations import gelu
from jaxlm.ops._attention import attention
from jaxlm.ops._counts import exact_counts
from jaxlm.ops._cross_entropy import CrossEntropy, tiled_cross_entropy
from jaxlm.ops._dropout import dropout
from jaxlm.ops._linear import linear
from jaxlm.ops._log_probs import TopK, gather_log_probs, token_log_probs, top_k_log_probs
from jaxlm.ops._masks import attention_mask
from jaxlm.ops._noise import key_words, multiply_high, position_bits, threefry, uniform_bits
from jaxlm.ops._norms import layer_norm, rms_norm
from jaxlm.ops._positions import instruction_positions, positions_from_segments, rotary
from jaxlm.ops._segments import segment_counts, segment_ranks, segment_sums
from jaxlm.ops._selection import smallest_in_segments
from jaxlm.ops._split import split

__all__ = [
    "CrossEntropy",
    "TopK",
    "attention",
    "attention_mask",
    "dropout",
    "exact_counts",
    "gather_log_probs",
    "gelu",
    "instruction_positions",
    "key_words",
    "layer_norm",
    "linear",
    "multiply_high",
    "position_bits",
    "positions_from_segments",
    "rms_norm",
    "rotary",
    "segment_counts",
    "segment_ranks",
    "segment_sums",
    "smallest_in_segments",
    "split",
    "threefry",
    "tiled_cross_entropy",
    "token_log_probs",
    "top_k_log_probs",
    "uniform_bits",
]
