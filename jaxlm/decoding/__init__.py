"""Decoding: what a trained model would write."""

from jaxlm.decoding._cached_lm import CachedLM, Counters
from jaxlm.decoding._embedding_gradients import EmbeddingGradients, embedding_gradients
from jaxlm.decoding._fill import Candidate, FilledText, MaskPrediction, fill, fill_batch
from jaxlm.decoding._generate import GeneratedText, generate, stream
from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.decoding._generation_defaults import ignored_rules, with_defaults
from jaxlm.decoding._language_model_heads import language_model_head
from jaxlm.decoding._lm_state import LMState
from jaxlm.decoding._logits import (
    Sampling,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    warp_logits,
)
from jaxlm.decoding._loss_gradients import loss_gradients
from jaxlm.decoding._next_token_model import NextTokenModel
from jaxlm.decoding._next_token_output import NextTokenOutput, PerplexityTotal, output_to_dicts
from jaxlm.decoding._next_tokens import NextToken, NextTokens, next_tokens, stream_next_tokens
from jaxlm.decoding._request_batcher import RequestBatcher
from jaxlm.decoding._token_state import TokenState, initial_state, logp_next_batch
from jaxlm.decoding._tree_cache import (
    CompactTree,
    TreeCache,
    ancestor_mask,
    compact_tree,
    empty_tree,
    extend_tree,
    free_slots,
    tree_log_probs,
    tree_of_prompts,
)

__all__ = [
    "CachedLM",
    "Candidate",
    "CompactTree",
    "Counters",
    "EmbeddingGradients",
    "FilledText",
    "GeneratedText",
    "GenerationConfig",
    "LMState",
    "MaskPrediction",
    "NextToken",
    "NextTokenModel",
    "NextTokenOutput",
    "NextTokens",
    "PerplexityTotal",
    "RequestBatcher",
    "Sampling",
    "TokenState",
    "TreeCache",
    "ancestor_mask",
    "compact_tree",
    "embedding_gradients",
    "empty_tree",
    "extend_tree",
    "fill",
    "fill_batch",
    "free_slots",
    "generate",
    "ignored_rules",
    "initial_state",
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "language_model_head",
    "logp_next_batch",
    "loss_gradients",
    "next_tokens",
    "output_to_dicts",
    "penalize_repetition",
    "stream",
    "stream_next_tokens",
    "tree_log_probs",
    "tree_of_prompts",
    "warp_logits",
    "with_defaults",
]
