"""Opening MODEL: a run's folder, a Hugging Face folder, or a name on the Hugging Face hub."""

from pathlib import Path

from jaxlm import pretrained
from jaxlm.cli._failures import UsageError

CONFIG_FILE, WEIGHTS = "config.json", "model.safetensors"
DType = pretrained.DType


def model_folder(argument: str) -> Path:
    """Returns the folder of MODEL.

    Args:
      argument: a folder or a name.

    Raises:
      UsageError: if there is no such folder, or no model in it (yet).
    """
    try:
        folder = pretrained.find_folder(argument)
    except OSError as error:
        raise UsageError(f"{error}{_runs_here()}") from error
    if not (folder / WEIGHTS).exists() and (folder / "checkpoints").is_dir():
        raise UsageError(
            f"the run in {argument} has not finished, so there is no {WEIGHTS} yet; name a checkpoint of it, "
            f"{argument}@best or {argument}@last, or go on: jaxlm train --resume --out {argument}"
        )
    members = [] if (folder / CONFIG_FILE).exists() else pretrained.member_folders(folder)
    if members:
        raise UsageError(
            f"{argument} is an ensemble of {len(members)} members, which jaxlm score reads together; name "
            f"one of them: {members[0]}"
        )
    if not (folder / CONFIG_FILE).exists():
        contents = pretrained.describe_other(folder)
        expected = "expected a run that jaxlm train wrote, or a Hugging Face folder"
        raise UsageError(
            f"{argument} holds no model: it has no {CONFIG_FILE}; {contents}; {expected}{_runs_here()}"
        )
    return folder


def open_model(argument: str, *, dtype: DType | None = None, needs_head: bool = True) -> pretrained.Loaded:
    """Returns the model of MODEL, with its parameters and its tokenizer.

    Args:
      argument: a folder or a name.
      dtype: type of the parameters and of the computation; None: as `pretrained.load` chooses it.
      needs_head: whether a body without a head is an error.

    Raises:
      UsageError: if there is no model, or it has no tokenizer.
      ModelError: if its files do not fit each other, or it is a body without a head.
    """
    loaded = pretrained.load(model_folder(argument), dtype=dtype, needs_head=needs_head)
    if loaded.tokenizer is None:
        files = "tokenizer.json, or files of an older kind such as vocab.json with merges.txt"
        raise UsageError(f"{argument} has no tokenizer: expected {files} beside its {CONFIG_FILE}")
    return loaded


def _runs_here() -> str:
    runs = sorted(str(path.parent) for path in Path("runs").glob(f"*/{WEIGHTS}"))
    return f"; finished runs here: {', '.join(runs[-5:])}" if runs else ""
