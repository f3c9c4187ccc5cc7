"""Every measure by the name that commands call it."""

from jaxlm.scoring._conditional import Conditional
from jaxlm.scoring._instruction_ratio import InstructionRatio
from jaxlm.scoring._log_likelihood_measure import LogLikelihood
from jaxlm.scoring._measure import Measure
from jaxlm.scoring._pseudo_log_likelihood import PseudoLogLikelihood
from jaxlm.scoring._single_pass import SinglePass
from jaxlm.scoring._step_scores_measure import StepScores
from jaxlm.scoring._variant_effect import VariantEffect

MEASURES: dict[str, type[Measure]] = {
    "log-likelihood": LogLikelihood,
    "conditional": Conditional,
    "pseudo-log-likelihood": PseudoLogLikelihood,
    "single-pass": SinglePass,
    "variant-effect": VariantEffect,
    "instruction-ratio": InstructionRatio,
    "step-scores": StepScores,
}
