"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution._method import Method, Task
from jaxlm.attribution._predictions import InputScores, Predictions, Sides
from jaxlm.attribution._table import METHODS
from jaxlm.attribution.results import Attribution

__all__ = ["METHODS", "Attribution", "InputScores", "Method", "Predictions", "Sides", "Task"]
