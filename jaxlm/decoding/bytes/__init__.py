"""Language models over bytes, made of causal models over tokens."""

from jaxlm.decoding.bytes._probs import END_OF_TEXT, ByteLogProbs, LazyLogProbs
from jaxlm.decoding.bytes._states import StatefulByteLM, StatefulTokenizedLM, sample_dict

__all__ = [
    "END_OF_TEXT",
    "ByteLogProbs",
    "LazyLogProbs",
    "StatefulByteLM",
    "StatefulTokenizedLM",
    "sample_dict",
]
