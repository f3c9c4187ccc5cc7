"""Folders that hold no model that can be opened: what they hold instead, and the remedy."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io

READABLE_WEIGHTS = "model.safetensors, pytorch_model.bin, or either in shards with an index"
FINISHED = "a model's folder is one whose training has finished"
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
UNTOLD = f"fetch {ADAPTER} too, which says what model it is for, and merge the two first"
# Kinds of adapters that can be merged into the weights.
MERGED = ("LORA", "ADALORA", "LOHA", "LOKR", "OFT", "BOFT", "IA3", "VERA", "FOURIERFT", "HRA", "DELORA")
CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
TOKENIZERS = (
    "tokenizer*.json",
    "vocab.*",
    "merges.txt",
    "*.spm",
    "*token*.model",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
)


class FolderKind(NamedTuple):
    """A kind of files that are found where a model is expected.

    Attributes:
      patterns: patterns of their names.
      what: what they are, in words.
      remedy: what to do; `{folder}` and `{file}` are replaced.
    """

    patterns: tuple[str, ...]
    what: str
    remedy: str


FOREIGN_KINDS = (
    FolderKind(
        ("*.gguf", "ggml-*.bin"),
        "GGUF, the format of llama.cpp",
        "fetch the model that it was made of, or write it as safetensors where torch, transformers and gguf "
        "are: AutoModelForCausalLM.from_pretrained({folder!r}, gguf_file={file!r}).save_pretrained(OUT)",
    ),
    FolderKind(
        ("consolidated*.safetensors", "consolidated*.pth"),
        "the maker's own layout, whose tensors have other names",
        "fetch the same model's config.json and model*.safetensors, which lie beside it on the hub",
    ),
    FolderKind(
        ("*.onnx", "onnx/*.onnx"),
        "ONNX, a compiled graph",
        "fetch the model that it was exported from: its config.json and model.safetensors",
    ),
    FolderKind(
        ("openvino_*.xml", "openvino_*.bin"),
        "OpenVINO, a compiled graph",
        "fetch the model that it was exported from: its config.json and model.safetensors",
    ),
    FolderKind(
        ("*.mlmodel", "*.mlpackage", "coreml/*", "*.tflite", "*.engine", "*.nemo", "rust_model.ot"),
        "a model compiled for another runtime",
        "fetch the model that it was exported from: its config.json and model.safetensors",
    ),
    FolderKind(
        ("flax_model*.msgpack", "*.msgpack"),
        "weights of Flax",
        "write them as safetensors where transformers 4, torch and flax are: "
        "AutoModel.from_pretrained({folder!r}, from_flax=True).save_pretrained(OUT)",
    ),
    FolderKind(
        ("*.h5", "*.keras", "*.ckpt.index", "*.ckpt.data-*", "*.ckpt.meta", "saved_model.pb"),
        "weights of TensorFlow",
        "write them as safetensors where transformers 4, torch and TensorFlow are: "
        "AutoModel.from_pretrained({folder!r}, from_tf=True).save_pretrained(OUT)",
    ),
    FolderKind(
        ("*.distcp", "*_fsdp_*/*.distcp", "zero_to_fp32.py", "global_step*"),
        "a sharded checkpoint of training",
        "put it together as model.safetensors first: accelerate merge-weights, or DeepSpeed's "
        "zero_to_fp32.py",
    ),
    FolderKind(("*.npz",), "arrays of NumPy or MLX", f"expected {READABLE_WEIGHTS}"),
)
SHARD = re.compile(r".*-\d{5}-of-\d{5}\.(safetensors|bin)")
# Weight files whose names do not say what they hold.
OTHERS = ("*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.bin", "*.safetensors")


def describe_other(folder: Path) -> str:
    """Returns one line that says what a folder holds instead of a model, and what the user can do.

    Args:
      folder: a folder that lacks config.json or files of weights.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained import describe_other
      >>> import tempfile
      >>> describe_other(Path(tempfile.mkdtemp()))
      'the folder is empty: expected config.json, tokenizer files and model.safetensors'
    """
    lines = (describe(folder) for describe in _DESCRIPTIONS)
    return next((line for line in lines if line), FINISHED)


def describe_file(path: Path) -> str:
    """Returns what a file is that was named instead of a model's folder, and what to do; "" if unknown.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained._other_folders import describe_file
      >>> describe_file(Path("tiny.gguf")).partition(":")[0]
      'it is GGUF, the format of llama.cpp'
    """
    kind = next(
        (kind for kind in FOREIGN_KINDS if any(path.match(pattern) for pattern in kind.patterns)), None
    )
    return "" if kind is None else f"it is {kind.what}: {_remedy(kind, path.parent, path.name)}"


def adapter_of(folder: Path) -> dict[str, Any] | None:
    """Returns the adapter_config.json of a PEFT adapter; None if there is none.

    Args:
      folder: may hold the file; an unreadable one counts as empty.
    """
    try:
        values = io.parse_json((folder / ADAPTER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {} if (folder / ADAPTER).exists() else None
    return values if isinstance(values, dict) else {}


def _empty(folder: Path) -> str:
    holds = any(not path.name.startswith(".") for path in folder.iterdir())
    return "" if holds else "the folder is empty: expected config.json, tokenizer files and model.safetensors"


def _adapter(folder: Path) -> str:
    values = adapter_of(folder)
    if values is None:
        weights = [name for name in ADAPTER_WEIGHTS if (folder / name).exists()]
        return f"it holds {weights[0]}, the weights of an adapter of PEFT: {UNTOLD}" if weights else ""
    base, kind = values.get("base_model_name_or_path") or "BASE", str(values.get("peft_type") or "LORA")
    if kind not in MERGED:
        return f"it is an adapter of PEFT ({kind}) for {base}, which cannot be merged: name {base} itself"
    auto = CLASSES.get(str(values.get("task_type")), "AutoModelForMaskedLM")
    return (
        f"it is an adapter of PEFT ({kind}) for {base}: merge the two first, PeftModel.from_pretrained("
        f"{auto}.from_pretrained({base!r}), {str(folder)!r}).merge_and_unload().save_pretrained(OUT)"
    )


def _pipeline(folder: Path) -> str:
    if not (folder / "model_index.json").exists():
        return ""
    return f"it is a pipeline of diffusers, of several models: name one of them{_inner(folder)}"


def _foreign(folder: Path) -> str:
    for kind in FOREIGN_KINDS:
        paths = {path for pattern in kind.patterns for path in folder.glob(pattern)}
        names = sorted(path.relative_to(folder).as_posix() for path in paths)
        if names:
            return f"it holds {_listed(names)}: {kind.what}; {_remedy(kind, folder, names[0])}"
    return ""


def _remedy(kind: FolderKind, folder: Path, file: str) -> str:
    return kind.remedy.format(folder=str(folder), file=file)


def _shards(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if SHARD.fullmatch(path.name))
    if not names:
        return ""
    whole = "model.safetensors" if names[0].endswith(".safetensors") else "pytorch_model.bin"
    return f"it holds shards without their index, {_listed(names)}: fetch {whole}.index.json"


def _unread(folder: Path) -> str:
    """Weights under a name that is not read."""
    weights = {path.name for pattern in OTHERS for path in folder.glob(pattern)}
    names = sorted(weights - {"model.safetensors", "pytorch_model.bin"})
    return f"it holds {_listed(names)}, and what is read is {READABLE_WEIGHTS}" if names else ""


def _unnamed(folder: Path) -> str:
    """Weights without a config."""
    weights = [name for name in ("model.safetensors", "pytorch_model.bin") if (folder / name).exists()]
    if not weights or (folder / "config.json").exists():
        return ""
    return f"it holds {weights[0]}, and only config.json says of what model: fetch it from where that came"


def _tokenizer(folder: Path) -> str:
    if (folder / "config.json").exists():
        return ""
    if not any(path for pattern in TOKENIZERS for path in folder.glob(pattern)):
        return ""
    return "it holds a tokenizer and no model: fetch config.json and model.safetensors too"


def _above(folder: Path) -> str:
    """A folder whose inner folders hold models: a hub's cache, the output of a trainer, several modules."""
    inner = _inner(folder)
    return f"models lie in folders within: name one of them{inner}" if inner else ""


def _inner(folder: Path) -> str:
    configs = [*folder.glob("*/config.json"), *folder.glob("snapshots/*/config.json")]
    names = sorted({str(path.parent) for path in configs}, key=_by_number)
    return f", {', '.join(names[-4:])}" if names else ""


def _by_number(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _bare(folder: Path) -> str:
    """A config without weights."""
    if not (folder / "config.json").exists():
        return ""
    return f"it holds config.json and no weights: fetch {READABLE_WEIGHTS}; {FINISHED}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


_DESCRIPTIONS: tuple[Callable[[Path], str], ...] = (
    _empty,
    _adapter,
    _pipeline,
    _foreign,
    _shards,
    _unnamed,
    _unread,
    _above,
    _tokenizer,
    _bare,
)
