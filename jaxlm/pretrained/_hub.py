"""Finds a model by name: a local folder, a model in the Hugging Face cache, or one that is downloaded."""

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
from jaxlm.pretrained._sentence_folders import transformer_folder
from jaxlm.pretrained._weights import holds_weights

HUB_NAME = r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?"
# Files with which a model is opened. Weights are chosen separately, so that they come in one format only.
NEEDED = ("*.json", "*.txt", "*.jinja", "*.model", "*.spm")
WEIGHT_FILES = ("model*.safetensors", "pytorch_model*.bin")
TRUE_WORDS = ("1", "ON", "YES", "TRUE")
# Seconds that the hub may take to list a model's files.
HUB_TIMEOUT = 10


def find_folder(name: str | os.PathLike[str]) -> Path:
    """Returns the folder that holds a model: a local folder, a run's checkpoint, or a model of the hub.

    `RUN@best`, `RUN@last` and `RUN@STEP` are the checkpoints of a run (a training with its local folder RUN).

    A name such as `gpt2` or `EleutherAI/pythia-70m@main` is looked up in the local cache first
    (`$HF_HUB_CACHE`, `$HF_HOME/hub` or `~/.cache/huggingface/hub`). A model that is not in the cache is
    downloaded into it, if `huggingface_hub` is installed and `HF_HUB_OFFLINE` is not set.

    Args:
      name: the path of a folder, a run's checkpoint, or the name of a model on the Hugging Face hub (`NAME`
        or `OWNER/NAME`), with or without `@REVISION`.

    Raises:
      ModelNotFoundError: there is no such model; the message says what to do.
      NotAFolderError: the path is a file.

    Example:
      >>> from jaxlm.pretrained import find_folder
      >>> find_folder("./nowhere")
      Traceback (most recent call last):
      jaxlm.errors.ModelNotFoundError: no model at ./nowhere: no such folder
    """
    path = Path(name)
    if path.is_dir():
        return transformer_folder(path)
    if (checkpoint := named_checkpoint(name)) is not None:
        return checkpoint
    if path.exists():
        told = describe_file(path)
        raise NotAFolderError(
            f"{name} is a file: expected the folder that holds it{f'; {told}' if told else ''}"
        )
    match = re.fullmatch(HUB_NAME, str(name))
    # If the first part of the path is a local folder, the name means a path and no owner on the hub.
    if match is None or str(name).startswith(".") or (len(path.parts) > 1 and Path(path.parts[0]).is_dir()):
        raise ModelNotFoundError(f"no model at {name}: no such folder")
    repository, revision = match["name"], match["revision"] or "main"
    return cached_folder(repository, revision) or _download(repository, revision)


def cached_folder(repository: str, revision: str = "main") -> Path | None:
    """Returns the folder of a complete model in the local Hugging Face cache; None if there is none.

    Args:
      repository: `NAME` or `OWNER/NAME`.
      revision: a branch, a tag or a commit.
    """
    cached = cache_folder() / f"models--{repository.replace('/', '--')}"
    reference = cached / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    folder = cached / "snapshots" / commit
    return folder if (folder / "config.json").exists() and holds_weights(folder) else None


def cache_folder() -> Path:
    """Returns the local Hugging Face cache, from the variables that Hugging Face's tools read.

    Raises:
      UsageError: a variable names the home folder of nobody.
    """
    if path := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return io.expand_home(path, "the hub's cache")
    if home := os.environ.get("HF_HOME"):
        return io.expand_home(home, "the hub's cache") / "hub"
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    # A user without a home folder has no such cache; errors show the unexpanded path.
    return Path(os.path.expanduser(os.path.join(above, "huggingface"))) / "hub"


def import_named(reference: str, kind: type, folder: str | os.PathLike[str]) -> Any:
    """Imports and returns an object that a file of a model's folder names as "module:NAME".

    No module is imported for a folder from the hub, and no module inside the folder is imported: opening a
    model must not run code that a stranger chose. A module that this process has imported already is used.

    Args:
      reference: the name of an importable module, a colon, and the name of the object in the module.
      kind: the type that the object must have.
      folder: the folder of the model, or of a run's checkpoint.

    Raises:
      ModelError: the folder is from the hub.
      ConfigError: the module cannot be imported, lies inside the folder, or has no object of that name and
        type.

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
    """Returns whether a folder is in the local Hugging Face cache, or was filled by `hf download`."""
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
        # Without this the library logs each attempt beside our message, which says what to do. Set here,
        # because the library sets its level when it is first used.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        # One attempt: without a network, the function that lists the files retries for half a minute.
        siblings = api.model_info(repository, revision=revision, timeout=HUB_TIMEOUT).siblings or []
        files = _needed_files(file.rfilename for file in siblings)
        folder = hub.snapshot_download(repository, revision=revision, allow_patterns=files)
    except Exception as error:  # the hub's errors, and those of every network layer below
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= 200 else f"{reason[:197]}..."
        raise ModelNotFoundError(
            f"{where}; downloading it failed ({type(error).__name__}: {reason}); "
            f"check the name and the net, or on another machine: {fetch}"
        ) from error
    return Path(folder)


def _needed_files(files: Iterable[str]) -> list[str]:
    """The files of a repository's top folder to download; weights in the first format that it has."""
    top: list[Any] = [name for name in files if "/" not in name]
    weights = next((ending for ending in WEIGHT_FILES if any(Path(name).match(ending) for name in top)), None)
    patterns = [*NEEDED, *([weights] if weights else [])]
    return [name for name in top if any(Path(name).match(pattern) for pattern in patterns)]
