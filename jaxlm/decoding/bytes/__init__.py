"""Language models over bytes: the trie of a vocabulary's bytes, and the masses of its nodes."""

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
    "ByteTrie",
    "exact_log_masses",
    "make_byte_trie",
    "mass_pyramid",
    "next_byte_log_masses",
    "node_log_masses",
    "nodes_of_bytes",
    "step_trie",
]
