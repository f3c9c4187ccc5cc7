"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution.results import Attribution

__all__ = ["Attribution"]
