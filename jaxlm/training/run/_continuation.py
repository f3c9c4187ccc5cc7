"""From which checkpoint a run may go on, and how to go on after a divergence."""

import shlex
from pathlib import Path

import jax

from jaxlm.errors import UsageError
from jaxlm.training.run._checkpoints import CHECKPOINTS, Checkpoint, checkpoints
from jaxlm.training.run._task import Task

# The PRNG implementation of checkpoints that do not name theirs.
FIRST_KEYS = "threefry2x32"


def key_impl() -> str:
    """Returns the PRNG implementation of `jax.random.key`, which `JAX_DEFAULT_PRNG_IMPL` sets."""
    return str(jax.random.key_impl(jax.random.key(0)))


def check_checkpoint(checkpoint: Checkpoint, task: Task, folder: Path, steps: int) -> None:
    """Refuses a checkpoint whose data, keys or classes differ from the run's.

    Args:
      checkpoint: of the run.
      task: the run's prepared data.
      folder: of the run.
      steps: of the whole run.

    Raises:
      UsageError: if something differs, or the checkpoint is beyond the run's steps.
    """
    meta = checkpoint.meta
    if meta["data"] != task.fingerprint:
        raise UsageError(
            f"the corpus, its files' names included, or its tokenizer is no longer the one that {folder} "
            "was begun with; bring it back, or train in a new folder"
        )
    begun, kind = meta.get("keys", FIRST_KEYS), key_impl()
    if begun != kind:
        raise UsageError(
            f"{folder} was begun with PRNG keys of kind {begun}, got {kind}: set JAX_DEFAULT_PRNG_IMPL "
            "as it was, or train in a new folder"
        )
    # Earlier versions stored no class names and numbered classes alphabetically.
    names = list(task.label_names)
    if meta.get("classes", sorted(names)) != names:
        raise UsageError(
            f"the classes are no longer numbered as when {folder} was begun: train in a new folder"
        )
    if checkpoint.step > steps:
        raise UsageError(
            f"the run in {folder} is at step {checkpoint.step}: run.steps is at least that to continue, "
            f"got {steps}"
        )


def remedy_after_divergence(folder: Path, good: int, saved: int, learning_rate: float) -> str:
    """Returns what to do after batches that were not finite, as the end of a message.

    Args:
      folder: of the run.
      good: the last step with a finite loss and gradient.
      saved: the step of the last checkpoint.
      learning_rate: of the run.
    """
    rate, name = f"--optimizer.learning-rate {learning_rate / 10:g}", str(folder)
    if good > saved:
        return f"continue with a lower rate: jaxlm train --resume --out {shlex.quote(name)} {rate}"
    if not good:
        return (
            "no batch was finite, so a lower rate does not help: check the data, the model's settings "
            "and run.init, and train in a new folder"
        )
    # A lower rate does not repair parameters that already give losses that are not finite.
    kept = [one.step for one in checkpoints(folder / CHECKPOINTS) if one.step < saved]
    begin = f" --init {shlex.quote(f'{name}@{kept[-1]}')}" if kept else ""
    return (
        f"checkpoint {saved} is ruined already: begin another run"
        f"{' with an earlier one' if kept else ''} at a lower rate, with this one's other options: "
        f"jaxlm train{begin} --out NEW {rate}"
    )
