"""Corruption: keyed processes of static shapes that hide tokens, which a model then predicts."""

from jaxlm.corruption._blosum import BACKGROUND, BLOSUM62, BLOSUM62_ORDER
from jaxlm.corruption._capacity import MaskedSlots, bernoulli_capacity, gather_masked, limit_masked
from jaxlm.corruption._corrupt import Corrupted, Replacement, corrupt, corruptible
from jaxlm.corruption._embeddings import NoisyEmbeddings, corrupt_embeddings
from jaxlm.corruption._matrix import by_matrix
from jaxlm.corruption._noise import Noise, corrupt_batch, make_noise
from jaxlm.corruption._noise_capacity import noise_capacity
from jaxlm.corruption._noise_config import NoiseConfig
from jaxlm.corruption._replacements import keep, mixture, to_mask, to_other, to_random
from jaxlm.corruption._schedules import SCHEDULES, schedule_fraction
from jaxlm.corruption._shares import as_fractions
from jaxlm.corruption._spans import SpanConfig, SpanCorrupted, corrupt_spans
from jaxlm.corruption._timesteps import draw_fractions, fraction_table
from jaxlm.corruption._transform import CorruptBatch
from jaxlm.corruption._transitions import blosum62_transitions, vocabulary_transitions
from jaxlm.corruption._units import UnitBoundaries, make_units, unit_starts

__all__ = [
    "BACKGROUND",
    "BLOSUM62",
    "BLOSUM62_ORDER",
    "SCHEDULES",
    "CorruptBatch",
    "Corrupted",
    "MaskedSlots",
    "Noise",
    "NoiseConfig",
    "NoisyEmbeddings",
    "Replacement",
    "SpanConfig",
    "SpanCorrupted",
    "UnitBoundaries",
    "as_fractions",
    "bernoulli_capacity",
    "blosum62_transitions",
    "by_matrix",
    "corrupt",
    "corrupt_batch",
    "corrupt_embeddings",
    "corrupt_spans",
    "corruptible",
    "draw_fractions",
    "fraction_table",
    "gather_masked",
    "keep",
    "limit_masked",
    "make_noise",
    "make_units",
    "mixture",
    "noise_capacity",
    "schedule_fraction",
    "to_mask",
    "to_other",
    "to_random",
    "unit_starts",
    "vocabulary_transitions",
]
