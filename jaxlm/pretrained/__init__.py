"""Models on disk: a run's folder, saved and loaded, ensembles of them, and torch checkpoints of undertale."""

from jaxlm.pretrained._ensemble import load_ensemble, save_ensemble
from jaxlm.pretrained._folder import Loaded, load, save_model
from jaxlm.pretrained._undertale import load_undertale, undertale_params

__all__ = [
    "Loaded",
    "load",
    "load_ensemble",
    "load_undertale",
    "save_ensemble",
    "save_model",
    "undertale_params",
]
