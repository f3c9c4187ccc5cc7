"""What a name stands for: a folder here, a model in the local Hugging Face cache, or one to be downloaded."""

import importlib
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxlm import io
from jaxlm.errors import ModelError, ModelNotFoundError, NotAFolderError
from jaxlm.pretrained._other_folders import describe_file
from jaxlm.pretrained._run_checkpoints import is_checkpoint, named_checkpoint
from jaxlm.pretrained._weights import holds_weights

HUB_NAME = r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?"
# What a model is opened with; weights are chosen apart, so that none is fetched in two formats.
NEEDED = ("*.json", "*.txt", "*.jinja", "*.model", "*.spm")
WEIGHT_FILES = ("model*.safetensors", "pytorch_model*.bin")
TRUE_WORDS = ("1", "ON", "YES", "TRUE")
# How long the hub may take to say what it has of a model, in seconds.
HUB_TIMEOUT = 10


def find_folder(name: str | os.PathLike[str]) -> Path:
    """Returns the folder that holds a model: of this path, a run's checkpoint, or by its name on the hub.

    `RUN@best`, `RUN@last` and `RUN@STEP` are checkpoints of a run's folder that is here.

    A name such as `gpt2` or `EleutherAI/pythia-70m@main` is looked up in the local cache first
    (`$HF_HUB_CACHE`, `$HF_HOME/hub` or `~/.cache/huggingface/hub`); what is not there is downloaded into it,
    if `huggingface_hub` is installed and `HF_HUB_OFFLINE` is not set.

    Args:
      name: a folder, a run's checkpoint, or `HUB_NAME`, `OWNER/NAME`, either with `@REVISION`.

    Raises:
      ModelNotFoundError: if there is neither; the line says what to do.
      NotAFolderError: if the path is a file.

    Example:
      >>> from jaxlm.pretrained import find_folder
      >>> find_folder("./nowhere")
      Traceback (most recent call last):
      jaxlm.errors.ModelNotFoundError: no model at ./nowhere: no such folder
    """
    path = Path(name)
    if path.is_dir():
        return path
    if (checkpoint := named_checkpoint(name)) is not None:
        return checkpoint
    if path.exists():
        told = describe_file(path)
        raise NotAFolderError(
            f"{name} is a file: expected the folder that holds it{f'; {told}' if told else ''}"
        )
    match = re.fullmatch(HUB_NAME, str(name))
    # Whoever names a folder that is here means something inside it, not somebody of that name elsewhere.
    if match is None or str(name).startswith(".") or (len(path.parts) > 1 and Path(path.parts[0]).is_dir()):
        raise ModelNotFoundError(f"no model at {name}: no such folder")
    repository, revision = match["name"], match["revision"] or "main"
    return cached_folder(repository, revision) or _download(repository, revision)


def cached_folder(repository: str, revision: str = "main") -> Path | None:
    """Returns where the local Hugging Face cache holds a model whole; None where it does not.

    Args:
      repository: `HUB_NAME` or `OWNER/NAME`.
      revision: a branch, a tag or a commit.
    """
    place = cache_folder() / f"models--{repository.replace('/', '--')}"
    reference = place / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    folder = place / "snapshots" / commit
    return folder if (folder / "config.json").exists() and holds_weights(folder) else None


def cache_folder() -> Path:
    """Returns the local Hugging Face cache, by the variables that Hugging Face's own tools read."""
    if found := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return io.expand_home(found, "the hub's cache")
    if home := os.environ.get("HF_HOME"):
        return io.expand_home(home, "the hub's cache") / "hub"
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    # A user without a home has no such cache; the line of a model that is not found names the place.
    return Path(os.path.expanduser(os.path.join(above, "huggingface"))) / "hub"


def import_named(reference: str, kind: type, folder: str | os.PathLike[str]) -> Any:
    """Returns the object of a type that a file of a model's folder names as "module:NAME".

    Of a folder that was fetched from the hub no module is imported: whoever opens a model runs nothing that
    a stranger chose. Nor is one that lies in the folder itself. Modules that this process has imported
    already are looked into.

    Args:
      reference: the module and the name in it.
      kind: what the object is an instance of.
      folder: of the model, or a checkpoint of a run.

    Raises:
      ModelError: if the folder is from the hub.
      ConfigError: as `io.import_reference`.

    Example:
      >>> from jaxlm.pretrained import import_named
      >>> import_named("math:pi", float, "./nowhere")
      3.141592653589793
    """
    folder = Path(folder)
    folder = folder.parent.parent if is_checkpoint(folder) else folder
    module = reference.partition(":")[0]
    if module not in sys.modules and is_from_hub(folder):
        raise ModelError(
            f"a model from the hub names the module {module!r}, which is not imported for that: look at it, "
            "and import it before the model is opened"
        )
    return io.import_reference(reference, kind, named_in=folder)


def is_from_hub(folder: Path) -> bool:
    """Returns whether a folder lies in the local Hugging Face cache, or is one that `hf download` filled."""
    marks = folder / ".cache" / "huggingface"
    return marks.is_dir() or folder.resolve().is_relative_to(cache_folder().resolve())


def _download(repository: str, revision: str) -> Path:
    where = f"no model {repository}: no such folder, and not in {cache_folder()}"
    fetch = f"hf download {repository} --local-dir DIR, then name DIR"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE_WORDS:
        raise ModelNotFoundError(
            f"{where}; HF_HUB_OFFLINE is set: unset it, or where there is a net: {fetch}"
        )
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ModelNotFoundError(
            f"{where}; pip install huggingface_hub to download it, or on another machine: {fetch}"
        )
    hub = importlib.import_module("huggingface_hub")
    try:
        api = hub.HfApi()
        # Each of its attempts would be a line of its own beside the one that says what to do. The
        # library sets its own level when it is first used.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        # One attempt: where there is no net, what lists the files tries again for half a minute.
        siblings = api.model_info(repository, revision=revision, timeout=HUB_TIMEOUT).siblings or []
        files = _wanted(file.rfilename for file in siblings)
        found = hub.snapshot_download(repository, revision=revision, allow_patterns=files)
    except Exception as error:  # the hub's own errors, and those of every layer of the net below
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= 200 else f"{reason[:197]}..."
        raise ModelNotFoundError(
            f"{where}; downloading it failed ({type(error).__name__}: {reason}); "
            f"check the name and the net, or on another machine: {fetch}"
        ) from error
    return Path(found)


def _wanted(files: Iterable[str]) -> list[str]:
    """The files of a repository's top folder to fetch, weights in the first format that is there."""
    top: list[Any] = [name for name in files if "/" not in name]
    weights = next((ending for ending in WEIGHT_FILES if any(Path(name).match(ending) for name in top)), None)
    patterns = [*NEEDED, *([weights] if weights else [])]
    return [name for name in top if any(Path(name).match(pattern) for pattern in patterns)]
