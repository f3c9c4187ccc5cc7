"""Every measure by the name that commands call it."""

from jaxlm.scoring._conditional import Conditional
from jaxlm.scoring._log_likelihood_measure import LogLikelihood
from jaxlm.scoring._measure import Measure

MEASURES: dict[str, type[Measure]] = {
    "log-likelihood": LogLikelihood,
    "conditional": Conditional,
}
