"""Checkpoints of runs as models: which of them a name means, and its parameters among the arrays."""

import os
import re
from pathlib import Path

import numpy as np

from jaxlm import io, models
from jaxlm.errors import ModelError, ModelNotFoundError
from jaxlm.pretrained._stored import StoredTensor
from jaxlm.pretrained._tensors import flatten, unflatten

CHECKPOINTS, STATE, META = "checkpoints", "state", "meta.json"
CHECKPOINT_NAME = re.compile(r"(?P<run>.+)@(?P<which>[^@/]*)", re.DOTALL)
WHICH = re.compile("best|last|[0-9]{1,18}")
STEP = re.compile("[0-9]{8,18}")


def named_checkpoint(name: str | os.PathLike[str]) -> Path | None:
    """Returns the folder of the checkpoint that a name means; None where it names no run that is here.

    Args:
      name: `RUN@best`, the checkpoint with the lowest validation loss of those that are kept; `RUN@last`, the
        latest; `RUN@STEP`, the one of that step.

    Raises:
      ModelNotFoundError: if the run has no such checkpoint; names those that it has. What is here is a run's,
        so that no other name behind its "@" is looked for elsewhere.

    Example:
      >>> named_checkpoint("runs/nowhere@last") is None
      True
    """
    match = CHECKPOINT_NAME.fullmatch(os.fspath(name))
    if match is None or not (Path(match["run"]) / CHECKPOINTS).is_dir():
        return None
    kept = _kept(Path(match["run"]) / CHECKPOINTS)
    which = match["which"]
    if which in ("best", "last"):
        chosen = _best(kept) if which == "best" else max(kept, default=None)
    else:
        chosen = int(which) if WHICH.fullmatch(which) else None
    if chosen not in kept:
        others = ", ".join(f"@{step}" for step in kept) or "none"
        lack = "no checkpoint that was evaluated" if which == "best" else "no such checkpoint"
        raise ModelNotFoundError(f"no model at {name}: {lack}; {match['run']} has {others}")
    return kept[chosen]


def is_checkpoint(folder: Path) -> bool:
    """Returns whether a folder is a checkpoint of a run."""
    return (
        (folder / STATE).is_dir()
        and (folder / META).is_file()
        and folder.absolute().parent.name == CHECKPOINTS
    )


def open_checkpoint(folder: Path, config: models.TransformerConfig) -> dict[str, StoredTensor]:
    """Returns a checkpoint's parameters by dotted name, blocks one by one; the optimiser's are not read.

    Args:
      folder: of the checkpoint.
      config: of its model.

    Raises:
      ModelError: if a file of it is not as it was written.
    """
    reason = io.verify_digests(folder)
    if reason is not None:
        raise ModelError(f"{folder} is damaged: {reason}; name another checkpoint of the run")
    params = unflatten(_read_params(folder / STATE))
    arrays = flatten(models.unstack_blocks(params) if config.scan_layers else params)
    return {name: _as_stored(folder / STATE, array) for name, array in arrays.items()}


def _kept(folder: Path) -> dict[int, Path]:
    """A run's checkpoints by step, in order."""
    found = (path for path in folder.iterdir() if STEP.fullmatch(path.name) and is_checkpoint(path))
    return dict(sorted((int(path.name), path) for path in found))


def _best(kept: dict[int, Path]) -> int | None:
    losses = {step: _validation_loss(folder) for step, folder in kept.items()}
    judged = [(loss, -step) for step, loss in losses.items() if loss is not None]
    return -min(judged)[1] if judged else None


def _validation_loss(folder: Path) -> float | None:
    try:
        return io.parse_json(io.read_sealed(folder, META) or b"{}").get("validation_loss")
    except (ValueError, AttributeError):
        return None


def _read_params(state: Path) -> dict[str, np.ndarray]:
    """The arrays of a training state that are parameters, by their names among these."""
    # Who opens no checkpoint does not wait for the library that reads them.
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


def _as_stored(place: Path, array: np.ndarray) -> StoredTensor:
    return StoredTensor(place, array.dtype, array.shape, lambda: array)
