"""Decoding: what a trained model would write."""

from jaxlm.decoding._fill import Candidate, Filled, MaskPrediction, fill, fill_batch

__all__ = ["Candidate", "Filled", "MaskPrediction", "fill", "fill_batch"]
