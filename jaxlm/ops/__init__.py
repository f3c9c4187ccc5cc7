"""Pure functions of arrays: products, attention, norms, dropout and the tiled cross-entropy."""

from jaxlm.ops._activations import gelu, gelu_tanh, silu
from jaxlm.ops._attention import attention
from jaxlm.ops._buckets import bucket, coarse_bucket, fine_bucket
from jaxlm.ops._column_scores import column_log_probs, column_scores
from jaxlm.ops._counts import exact_counts, share_counts
from jaxlm.ops._cross_entropy import CrossEntropy, tiled_cross_entropy
from jaxlm.ops._derivatives import derivatives
from jaxlm.ops._distances import distance_buckets, sinusoids
from jaxlm.ops._dropout import dropout
from jaxlm.ops._ensembles import Combine, Disagreement, disagreement, mixture_log_probs
from jaxlm.ops._linear import linear
from jaxlm.ops._log_probs import TopK, gather_log_probs, gather_logits, token_log_probs, top_k_log_probs
from jaxlm.ops._masks import attention_mask
from jaxlm.ops._next_tokens import NextTokenTargets, next_token_targets, predicted_mask
from jaxlm.ops._noise import (
    key_words,
    multiply_high,
    position_bits,
    position_normals,
    threefry,
    uniform_bits,
)
from jaxlm.ops._norms import layer_norm, rms_norm
from jaxlm.ops._pooling import (
    SegmentStarts,
    pool_first,
    pool_last,
    pool_mean,
    pool_softmax,
    segment_members,
    segment_starts,
)
from jaxlm.ops._positions import instruction_positions, lengths_from_segments, positions_from_segments
from jaxlm.ops._rotary import RotaryScaling, Rotation, make_rotation, rotary, rotary_frequencies, rotate
from jaxlm.ops._segments import segment_counts, segment_ranks, segment_sums
from jaxlm.ops._selection import segment_maxima, smallest_in_segments
from jaxlm.ops._softcap import apply_softcap
from jaxlm.ops._split import split
from jaxlm.ops._streamed_log_probs import streamed_log_probs
from jaxlm.ops._tiles import map_counted_tiles
from jaxlm.ops._token_scores import TokenScores, logit_scores, token_scores

__all__ = [
    "Combine",
    "CrossEntropy",
    "Disagreement",
    "NextTokenTargets",
    "RotaryScaling",
    "Rotation",
    "SegmentStarts",
    "TokenScores",
    "TopK",
    "apply_softcap",
    "attention",
    "attention_mask",
    "bucket",
    "coarse_bucket",
    "column_log_probs",
    "column_scores",
    "derivatives",
    "disagreement",
    "distance_buckets",
    "dropout",
    "exact_counts",
    "fine_bucket",
    "gather_log_probs",
    "gather_logits",
    "gelu",
    "gelu_tanh",
    "instruction_positions",
    "key_words",
    "layer_norm",
    "lengths_from_segments",
    "linear",
    "logit_scores",
    "make_rotation",
    "map_counted_tiles",
    "mixture_log_probs",
    "multiply_high",
    "next_token_targets",
    "pool_first",
    "pool_last",
    "pool_mean",
    "pool_softmax",
    "position_bits",
    "position_normals",
    "positions_from_segments",
    "predicted_mask",
    "rms_norm",
    "rotary",
    "rotary_frequencies",
    "rotate",
    "segment_counts",
    "segment_maxima",
    "segment_members",
    "segment_ranks",
    "segment_starts",
    "segment_sums",
    "share_counts",
    "silu",
    "sinusoids",
    "smallest_in_segments",
    "split",
    "streamed_log_probs",
    "threefry",
    "tiled_cross_entropy",
    "token_log_probs",
    "token_scores",
    "top_k_log_probs",
    "uniform_bits",
]
