"""Folders of sentence-transformers: a transformer, how its vectors are pooled, and their normalisation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxlm import io
from jaxlm.errors import ModelError

MODULES = "modules.json"
SENTENCE_SETTINGS = "sentence_transformers"
# The files that may say how many tokens are read, in the order in which they are looked for.
LENGTH_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# By the name of a kind of pooling, ours; the older files have a switch for each of them.
POOLINGS = {"cls": "first", "mean": "mean", "max": "max", "lasttoken": "last"}
SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
# A length that tokenizers write where they know none.
NO_LENGTH = 1 << 30


def transformer_folder(folder: Path) -> Path:
    """Returns the folder inside a sentence-transformers folder that holds the transformer.

    It is the folder itself if it holds a config.json, or is no such folder: modules.json is missing, or is no
    list of modules.

    Args:
      folder: of a model.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained._sentence_folders import transformer_folder
      >>> transformer_folder(Path("nowhere"))
      PosixPath('nowhere')
    """
    if (folder / "config.json").exists() or not (folder / MODULES).is_file():
        return folder
    try:
        modules = _modules(folder)
    except ModelError:
        return folder  # what the folder holds instead is told with its remedy
    return folder / _path(modules[0])


def sentence_settings(folder: Path) -> dict[str, Any]:
    """Returns how a sentence-transformers folder makes vectors, in the words of `scoring.Embedding`.

    Empty for a folder of another kind. If a module or a pooling is not supported, the only entry is
    "refused", a line that names it: the transformer can be opened all the same.

    Args:
      folder: that `transformer_folder` returned.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.pretrained._sentence_folders import sentence_settings
      >>> sentence_settings(Path("nowhere"))
      {}
    """
    try:
        root = next((place for place in (folder, folder.parent) if _is_root(place, folder)), None)
        return {} if root is None else _settings(root, folder)
    except ModelError as error:
        return {"refused": str(error)}


def _settings(root: Path, folder: Path) -> dict[str, Any]:
    _, *others = _modules(root)
    kinds = [_kind(module) for module in others]
    if kinds[:1] != ["Pooling"] or [kind for kind in kinds[1:] if kind != "Normalize"]:
        raise ModelError(
            f"{root / MODULES}: a transformer, a pooling and perhaps a normalisation are supported: got "
            f"{', '.join(['Transformer', *kinds])}; to pool without them, say how: pool='mean'"
        )
    told = _values(folder, LENGTH_FILES)
    prompts = _values(root, ("config_sentence_transformers.json",))
    default = prompts.get("default_prompt_name")
    prompt = (prompts.get("prompts") or {}).get(default) if default else None
    pooling = _values(root / _path(others[0]), ("config.json",))
    if prompt and pooling.get("include_prompt") is False:
        raise ModelError(f"{root}: its prompt {prompt!r} is left out of the pooling, which is not supported")
    return {
        "pool": _pooling(root, pooling),
        "normalize": "Normalize" in kinds,
        "specials": True,
        "prompt": prompt or "",
        "strip": True,
        "lower": bool(told.get("do_lower_case")),
        "long": "cut",
        "window": _longest(folder, told),
    }


def _is_root(place: Path, folder: Path) -> bool:
    """Whether a folder has the list of modules of which the first is the transformer in `folder`."""
    if not (place / MODULES).is_file():
        return False
    return place / _path(_modules(place)[0]) == folder


def _modules(root: Path) -> Sequence[Mapping[str, Any]]:
    """The modules of a folder in order; the first is a transformer."""
    try:
        modules = io.parse_json((root / MODULES).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{root / MODULES} is not JSON: {error}") from error
    is_list = isinstance(modules, list) and all(isinstance(module, Mapping) for module in modules)
    if not is_list or not modules or _kind(modules[0]) != "Transformer":
        raise ModelError(f"{root / MODULES} is a list of modules that begins with a transformer: got another")
    return modules


def _kind(module: Mapping[str, Any]) -> str:
    return str(module.get("type")).rsplit(".", 1)[-1]


def _path(module: Mapping[str, Any]) -> str:
    """The folder of a module, below that of the list."""
    path = module.get("path") or ""
    if not isinstance(path, str) or path in (".", "..") or Path(path).name != path:
        raise ModelError(f"{MODULES} may name folders beside it: got {path!r}")
    return path


def _values(folder: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """The values of the first of some files that is there; empty if none is."""
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        values = io.parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, Mapping):
        raise ModelError(f"{path} is an object of settings: got {values!r:.60}")
    return values


def _pooling(root: Path, values: Mapping[str, Any]) -> str:
    """Our word for the only pooling that is switched on."""
    told = values.get("pooling_mode")
    chosen = (
        [told] if isinstance(told, str) else [word for name, word in SWITCHES.items() if values.get(name)]
    )
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ModelError(
            f"{root}: a pooling is one of {', '.join(POOLINGS)}: got {' and '.join(chosen) or 'none'}"
        )
    return POOLINGS[chosen[0]]


def _longest(folder: Path, told: Mapping[str, Any]) -> int | None:
    """How many tokens are read, those around a text included; None if no file says it."""
    known = told.get("max_seq_length"), _values(folder, ("tokenizer_config.json",)).get("model_max_length")
    lengths = [length for length in known if isinstance(length, int) and 0 < length < NO_LENGTH]
    return min(lengths, default=None)
