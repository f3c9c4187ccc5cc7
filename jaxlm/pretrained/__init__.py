"""Models on disk: runs and Hugging Face folders, opened and written, ensembles, undertale's checkpoints."""

from jaxlm.pretrained._ensemble import load_ensemble, save_ensemble
from jaxlm.pretrained._export import convert, save_huggingface
from jaxlm.pretrained._folder import save_model
from jaxlm.pretrained._hub import find_folder
from jaxlm.pretrained._load import Inspected, inspect, load
from jaxlm.pretrained._loaded import Loaded, has_ends, without_head
from jaxlm.pretrained._other_folders import describe_other
from jaxlm.pretrained._undertale import load_undertale, undertale_params

__all__ = [
    "Inspected",
    "Loaded",
    "convert",
    "describe_other",
    "find_folder",
    "has_ends",
    "inspect",
    "load",
    "load_ensemble",
    "load_undertale",
    "save_ensemble",
    "save_huggingface",
    "save_model",
    "undertale_params",
    "without_head",
]
