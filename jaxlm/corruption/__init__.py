"""Corruption on floor 2: keyed, static-shape processes that hide tokens for a model to give back."""

from jaxlm.corruption._capacity import Masked, bernoulli_capacity, gather_masked, limit_masked
from jaxlm.corruption._config import MaskingConfig
from jaxlm.corruption._masking import Corrupted, corruptible, mask_tokens
from jaxlm.corruption._transform import CorruptBatch

__all__ = [
    "CorruptBatch",
    "Corrupted",
    "Masked",
    "MaskingConfig",
    "bernoulli_capacity",
    "corruptible",
    "gather_masked",
    "limit_masked",
    "mask_tokens",
]
