"""Every measure by the name that commands call it."""

from jaxlm.scoring.measures import (
    ByteLogLikelihood,
    Conditional,
    Embedding,
    InstructionRatio,
    LogLikelihood,
    Measure,
    Prediction,
    PseudoLogLikelihood,
    SinglePass,
    StepScores,
)
from jaxlm.scoring.variants import VariantEffect

MEASURES: dict[str, type[Measure]] = {
    "log-likelihood": LogLikelihood,
    "conditional": Conditional,
    "pseudo-log-likelihood": PseudoLogLikelihood,
    "single-pass": SinglePass,
    "variant-effect": VariantEffect,
    "instruction-ratio": InstructionRatio,
    "step-scores": StepScores,
    "byte-log-likelihood": ByteLogLikelihood,
    "embedding": Embedding,
    "prediction": Prediction,
}
