"""Language models over bytes, made of causal models over tokens."""

from jaxlm.decoding.bytes._beam_settings import BeamSettings
from jaxlm.decoding.bytes._beam_state import BeamByteState, BeamCandidate
from jaxlm.decoding.bytes._beam_texts import GeneratedBytes
from jaxlm.decoding.bytes._byte_model import ByteModel, ByteSettings, make_byte_model
from jaxlm.decoding.bytes._ensemble import ByteEnsemble, EnsembleByteState, ensemble_state, pool_log_probs
from jaxlm.decoding.bytes._first_beam_state import beam_state
from jaxlm.decoding.bytes._generate_after_bytes import CoveredText, generate_after_bytes
from jaxlm.decoding.bytes._generate_bytes import ByteGenerationConfig, generate_bytes
from jaxlm.decoding.bytes._next_bytes import NextBytes, next_byte_log_probs
from jaxlm.decoding.bytes._probs import END_OF_TEXT, ByteLogProbs, LazyLogProbs
from jaxlm.decoding.bytes._score_bytes import ByteScores, score_bytes
from jaxlm.decoding.bytes._states import StatefulByteLM, sample_dict
from jaxlm.decoding.bytes._tokenized_lm import StatefulTokenizedLM
from jaxlm.decoding.bytes._tree_state import TreeByteState, tree_state
from jaxlm.decoding.bytes._trie import (
    ByteTrie,
    exact_log_masses,
    make_byte_trie,
    mass_pyramid,
    next_byte_log_masses,
    node_log_masses,
    nodes_of_bytes,
    step_trie,
)

__all__ = [
    "END_OF_TEXT",
    "BeamByteState",
    "BeamCandidate",
    "BeamSettings",
    "ByteEnsemble",
    "ByteGenerationConfig",
    "ByteLogProbs",
    "ByteModel",
    "ByteScores",
    "ByteSettings",
    "ByteTrie",
    "CoveredText",
    "EnsembleByteState",
    "GeneratedBytes",
    "LazyLogProbs",
    "NextBytes",
    "StatefulByteLM",
    "StatefulTokenizedLM",
    "TreeByteState",
    "beam_state",
    "ensemble_state",
    "exact_log_masses",
    "generate_after_bytes",
    "generate_bytes",
    "make_byte_model",
    "make_byte_trie",
    "mass_pyramid",
    "next_byte_log_masses",
    "next_byte_log_probs",
    "node_log_masses",
    "nodes_of_bytes",
    "pool_log_probs",
    "sample_dict",
    "score_bytes",
    "step_trie",
    "tree_state",
]
