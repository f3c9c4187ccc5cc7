"""Checkpoints of runs as models: finding one by name, and reading its parameters."""

import os
import re
from pathlib import Path

import numpy as np

from jaxlm import io, models
from jaxlm.errors import ModelError, ModelNotFoundError
from jaxlm.pretrained._stored import StoredTensor
from jaxlm.pretrained._tensors import flatten, unflatten

CHECKPOINT_FOLDER, STATE, CHECKPOINT_META = "checkpoints", "state", "meta.json"
CHECKPOINT_NAME = re.compile(r"(?P<run>.+)@(?P<which>[^@/]*)", re.DOTALL)
WHICH = re.compile("best|last|[0-9]{1,18}")
STEP = re.compile("[0-9]{8,18}")


def named_checkpoint(name: str | os.PathLike[str]) -> Path | None:
    """Returns the folder of the checkpoint that a name means; None if it does not name a local run.

    Args:
      name: `RUN@best`, the kept checkpoint with the lowest validation loss; `RUN@last`, the latest; or
        `RUN@STEP`, the one of that step.

    Raises:
      ModelNotFoundError: the run has no such checkpoint; names those that it has. The name of a local run is
        never looked for on the hub.

    Example:
      >>> from jaxlm.pretrained._run_checkpoints import named_checkpoint
      >>> named_checkpoint("runs/nowhere@last") is None
      True
    """
    match = CHECKPOINT_NAME.fullmatch(os.fspath(name))
    if match is None or not (Path(match["run"]) / CHECKPOINT_FOLDER).is_dir():
        return None
    checkpoints = _checkpoints(Path(match["run"]) / CHECKPOINT_FOLDER)
    which = match["which"]
    if which in ("best", "last"):
        chosen = _best(checkpoints) if which == "best" else max(checkpoints, default=None)
    else:
        chosen = int(which) if WHICH.fullmatch(which) else None
    if chosen not in checkpoints:
        others = ", ".join(f"@{step}" for step in checkpoints) or "none"
        lack = "no checkpoint that was evaluated" if which == "best" else "no such checkpoint"
        raise ModelNotFoundError(f"no model at {name}: {lack}; {match['run']} has {others}")
    return checkpoints[chosen]


def is_checkpoint(folder: Path) -> bool:
    """Returns whether a folder is a checkpoint of a run."""
    return (
        (folder / STATE).is_dir()
        and (folder / CHECKPOINT_META).is_file()
        and folder.absolute().parent.name == CHECKPOINT_FOLDER
    )


def open_checkpoint(folder: Path, config: models.TransformerConfig) -> dict[str, StoredTensor]:
    """Returns a checkpoint's parameters by dotted name, block by block; the optimiser's state is not read.

    Args:
      folder: of the checkpoint.
      config: of its model.

    Raises:
      ModelError: a file of it is not as it was written.
    """
    reason = io.verify_digests(folder)
    if reason is not None:
        raise ModelError(f"{folder} is damaged: {reason}; name another checkpoint of the run")
    params = unflatten(_read_params(folder / STATE))
    arrays = flatten(models.unstack_blocks(params) if config.scan_layers else params)
    return {name: _as_stored(folder / STATE, array) for name, array in arrays.items()}


def _checkpoints(folder: Path) -> dict[int, Path]:
    """A run's checkpoints by step, in order."""
    folders = (path for path in folder.iterdir() if STEP.fullmatch(path.name) and is_checkpoint(path))
    return dict(sorted((int(path.name), path) for path in folders))


def _best(checkpoints: dict[int, Path]) -> int | None:
    """The latest step among those with the lowest validation loss; None if none was evaluated."""
    losses = {step: _validation_loss(folder) for step, folder in checkpoints.items()}
    evaluated = [(loss, -step) for step, loss in losses.items() if loss is not None]
    return -min(evaluated)[1] if evaluated else None


def _validation_loss(folder: Path) -> float | None:
    try:
        return io.parse_json(io.read_sealed(folder, CHECKPOINT_META) or b"{}").get("validation_loss")
    except (ValueError, AttributeError):
        return None


def _read_params(state: Path) -> dict[str, np.ndarray]:
    """The parameters among the arrays of a training state, by name."""
    # Imported here, because it takes long and only checkpoints need it.
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        metadata = checkpointer.metadata(state.absolute())
        names = getattr(metadata, "item_metadata", metadata)
        names = [name for name in getattr(names, "tree", names) if name.startswith("params.")]
        restored = checkpointer.restore(
            state.absolute(),
            args=ocp.args.PyTreeRestore(
                item=dict.fromkeys(names, 0),
                restore_args={name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names},
                partial_restore=True,
            ),
        )
    return {name.removeprefix("params."): np.asarray(array) for name, array in restored.items()}


def _as_stored(file: Path, array: np.ndarray) -> StoredTensor:
    return StoredTensor(file, array.dtype, array.shape, lambda: array)
