"""Opening what MODEL names."""

from pathlib import Path

from jaxlm import pretrained
from jaxlm.cli._failures import UsageError

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"


def model_folder(argument: str) -> Path:
    """Returns the folder that MODEL names, checked to hold a model.

    Raises:
        UsageError: if it does not exist, is not a folder, or holds no model (yet).
    """
    folder = Path(argument)
    if not folder.exists():
        raise UsageError(
            f"no model at {argument}: expected a run folder that jaxlm train wrote{_runs_here()}"
        )
    if not folder.is_dir():
        raise UsageError(f"{argument} is a file: expected the run folder that holds it")
    if not (folder / WEIGHTS).exists() and (folder / "checkpoints").is_dir():
        raise UsageError(
            f"the run in {argument} has not finished, so there is no {WEIGHTS} yet; "
            f"go on with it: jaxlm train --resume --out {argument}"
        )
    missing = [name for name in (CONFIG, TOKENIZER, WEIGHTS) if not (folder / name).exists()]
    if missing:
        raise UsageError(f"{argument} holds no model: it has no {' and no '.join(missing)}{_runs_here()}")
    return folder


def open_model(argument: str) -> pretrained.Loaded:
    """Returns the model, parameters and tokenizer of the folder that MODEL names.

    Raises:
        UsageError: if there is no model.
        ValueError: if its files do not fit each other.
    """
    return pretrained.load(model_folder(argument))


def _runs_here() -> str:
    runs = sorted(str(path.parent) for path in Path("runs").glob(f"*/{WEIGHTS}"))
    return f"; finished runs here: {', '.join(runs[-5:])}" if runs else ""
