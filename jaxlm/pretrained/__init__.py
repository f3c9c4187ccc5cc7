"""Models on disk: runs and Hugging Face folders, opened and written, ensembles, undertale's checkpoints."""

from jaxlm.pretrained._ensemble import load_ensemble, save_ensemble
from jaxlm.pretrained._export import convert, save_huggingface
from jaxlm.pretrained._folder import member_folders, save_description, save_model
from jaxlm.pretrained._head_start import head_start
from jaxlm.pretrained._hub import find_folder, import_named
from jaxlm.pretrained._load import DType, ModelSummary, inspect, kind_name, load
from jaxlm.pretrained._loaded import Loaded, end_id, has_end_tokens, training_frame, without_head
from jaxlm.pretrained._other_folders import describe_other
from jaxlm.pretrained._sentence_folders import SENTENCE_SETTINGS
from jaxlm.pretrained._tensors import weights_fingerprint
from jaxlm.pretrained._undertale import load_undertale, undertale_params

__all__ = [
    "SENTENCE_SETTINGS",
    "DType",
    "Loaded",
    "ModelSummary",
    "convert",
    "describe_other",
    "end_id",
    "find_folder",
    "has_end_tokens",
    "head_start",
    "import_named",
    "inspect",
    "kind_name",
    "load",
    "load_ensemble",
    "load_undertale",
    "member_folders",
    "save_description",
    "save_ensemble",
    "save_huggingface",
    "save_model",
    "training_frame",
    "undertale_params",
    "weights_fingerprint",
    "without_head",
]
