"""Checkpoints on disk: written by Orbax in the background, with SHA-256 digests, the oldest removed."""

import contextlib
import errno
import itertools
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm import io
from jaxlm.errors import ModelError
from jaxlm.io import read_sealed, verify_digests, write_digests

CHECKPOINTS, ARRAYS, META = "checkpoints", "state", "meta.json"
SAVING, REMOVING, DAMAGED = ".saving-", ".removing-", ".damaged"
STEP_NAME = re.compile("[0-9]{8,18}")


class Checkpoint(NamedTuple):
    """A checkpoint on disk: the state of a run after some step.

    Attributes:
      step: number of batches consumed when it was taken.
      folder: the checkpoint's folder.
      meta: the contents of its meta.json. Its `validation_loss`, in nats or None, decides which checkpoint is
        the best.
    """

    step: int
    folder: Path
    meta: dict[str, Any]


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Returns the checkpoints in a folder by ascending step, without verifying their arrays.

    The `meta` of a checkpoint is empty if its meta.json does not match its digest.
    """
    names = (path.name for path in folder.glob("*") if STEP_NAME.fullmatch(path.name) and path.is_dir())
    steps = sorted(step for name in names if _step_folder(folder, step := int(name)).name == name)
    return [Checkpoint(step, _step_folder(folder, step), _meta(_step_folder(folder, step))) for step in steps]


def last_good(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Returns the latest undamaged checkpoint, and a line of text for each damaged later one.

    A checkpoint is good if its files match the digests that were written with them. Damaged checkpoints are
    renamed to STEP.damaged (or STEP.damaged-2 and so on); their files stay. So they do not count among the
    checkpoints that are kept, and their step can be written again.

    Args:
      folder: the folder that holds the checkpoints; it need not exist.

    Returns:
      The checkpoint, or None if there is no undamaged one; and the list of lines, to be shown to the user.

    Raises:
      OSError: if a checkpoint cannot be read at the moment, for example for lack of permission.
    """
    lines = []
    for checkpoint in reversed(checkpoints(folder)):
        reason = verify_digests(checkpoint.folder)
        if reason is None:
            return checkpoint, lines
        lines.append(f"checkpoint {checkpoint.step} is damaged and is left out: {reason}")
        checkpoint.folder.rename(_aside(checkpoint.folder))
    return None, lines


def clear_checkpoints(folder: Path) -> None:
    """Removes the partial checkpoints that a killed process left while it wrote or removed them.

    A leftover that is complete, and whose step has no other checkpoint, is renamed to a checkpoint instead.

    Args:
      folder: of the checkpoints, which no other process writes to; it need not exist.

    Raises:
      WriteError: if a leftover cannot be renamed.
    """
    for kind in (SAVING, REMOVING):
        for leftover in sorted(folder.glob(f"{kind}*")):
            final = folder / leftover.name.removeprefix(kind)
            if not final.exists() and verify_digests(leftover) is None:
                with io.writing(final):
                    leftover.rename(final)
            shutil.rmtree(leftover, ignore_errors=True)


def has_no_checkpoints(folder: Path) -> bool:
    """Returns whether a folder of checkpoints holds only files that `clear_checkpoints` removes."""
    names = (path.name for path in folder.iterdir())
    return all(name.startswith((SAVING, REMOVING)) or io.is_stray(name) for name in names)


def flat_arrays(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by dotted name.

    Example:
      >>> from jaxlm.training.run._checkpoints import flat_arrays
      >>> flat_arrays({"mlp": {"kernel": 1.0}, "moments": (2.0, 3.0)})
      {'mlp.kernel': 1.0, 'moments.0': 2.0, 'moments.1': 3.0}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def load_arrays(checkpoint: Checkpoint, like: Any) -> Any:
    """Returns a checkpoint's arrays on the host, in the tree structure of `like`, a tree of arrays.

    Raises:
      ModelError: if the checkpoint's names, shapes or dtypes differ from those of `like`.
    """
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        arrays = checkpointer.restore(checkpoint.folder.absolute() / ARRAYS)
    expected = flat_arrays(like)
    differ = [name for name in sorted(set(arrays) | set(expected)) if not _same(arrays, expected, name)]
    if differ:
        raise ModelError(
            f"{checkpoint.folder} is of another model: {len(differ)} arrays differ, {differ[0]} first; "
            "train in a new folder"
        )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])


class CheckpointWriter:
    """Writes checkpoints in a background thread, one at a time, and keeps the last and the best ones.

    A checkpoint gets its final name only when all its files and their digests are on disk; a failure before
    that leaves earlier checkpoints untouched.

    Args:
      folder: the folder that holds the checkpoints.
      keep_last: how many of the latest checkpoints are kept.
      keep_best: how many of the checkpoints with the lowest validation loss are kept; they may be among the
        latest.
    """

    def __init__(self, folder: Path, *, keep_last: int, keep_best: int) -> None:
        self._folder, self._keep_last, self._keep_best = folder, keep_last, keep_best
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None
        clear_checkpoints(folder)

    def save(
        self, step: int, tree: Any, meta: Mapping[str, Any], *, add: Callable[[Path], None] | None = None
    ) -> list[Checkpoint]:
        """Waits for the previous checkpoint, returns it (None if there is none), and starts writing this one.

        Args:
          step: number of batches consumed by the run.
          tree: a tree of host arrays, which must not change any more.
          meta: JSON values, which are written to meta.json.
          add: a function that is called with the checkpoint's folder, to write further files into it; None:
            there are no further files.
        """
        done = self.finished(wait=True)
        self._pending = self._thread.submit(self._write, step, flat_arrays(tree), dict(meta), add)
        return done

    def finished(self, *, wait: bool = False) -> list[Checkpoint]:
        """Returns the checkpoint that was completed since the last call; None if none was.

        Args:
          wait: whether to wait for a checkpoint that is being written.

        Raises:
          WriteError: if the checkpoint could not be written; `errno` is the error number of the system.
        """
        if self._pending is None or not (wait or self._pending.done()):
            return []
        pending, self._pending = self._pending, None
        return [pending.result()]

    def close(self) -> None:
        """Waits until the background thread is done."""
        self._thread.shutdown()

    def _write(
        self,
        step: int,
        arrays: dict[str, np.ndarray],
        meta: dict[str, Any],
        add: Callable[[Path], None] | None,
    ) -> Checkpoint:
        final, saving = _step_folder(self._folder, step), self._folder / f"{SAVING}{step:08d}"
        try:
            with io.writing(final):
                # Without parents: a run folder that was deleted must not come back without its experiment.
                self._folder.mkdir(exist_ok=True)
                saving.mkdir()
                _check_room(saving, arrays)
                _write_arrays(saving / ARRAYS, arrays)
                (saving / META).write_text(json.dumps({"step": step, **meta}, indent=1))
                if add is not None:
                    add(saving)
                write_digests(saving)
                replaced = _set_aside(final) if final.exists() else None
                os.rename(saving, final)
        except BaseException:
            shutil.rmtree(saving, ignore_errors=True)
            raise
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)
        self._prune()
        return Checkpoint(step, final, meta)

    def _prune(self) -> None:
        kept = checkpoints(self._folder)
        judged = [checkpoint for checkpoint in kept if checkpoint.meta.get("validation_loss") is not None]
        judged.sort(key=lambda checkpoint: (checkpoint.meta["validation_loss"], -checkpoint.step))
        chosen = [*kept[-self._keep_last :], *judged[: self._keep_best]]
        keep = {checkpoint.step for checkpoint in chosen}
        for checkpoint in kept:
            if checkpoint.step not in keep:
                with io.writing(checkpoint.folder):
                    shutil.rmtree(_set_aside(checkpoint.folder), ignore_errors=True)


def _check_room(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses a full disk before Orbax fails half-way with a page of tracebacks from its threads."""
    if shutil.disk_usage(folder).free < sum(array.nbytes for array in arrays.values()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as ocp

    with _unlogged(), ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        checkpointer.save(folder.absolute(), args=ocp.args.StandardSave(arrays))


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keeps Orbax from logging the traceback of an error that it also raises.

    Its unfinished writes fail later with "Event loop is closed"; those errors are hidden too.
    """
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)

    def quiet(raised: Any) -> None:
        error = raised.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            hook(raised)

    sys.unraisablehook = quiet
    try:
        yield
        # Restored only without an error: after one, Orbax's threads go on failing for a while.
        sys.unraisablehook = hook
    finally:
        logger.setLevel(level)


def _step_folder(folder: Path, step: int) -> Path:
    return folder / f"{step:08d}"


def _meta(folder: Path) -> dict[str, Any]:
    try:
        return dict(io.parse_json(read_sealed(folder, META) or b"{}"))
    except (ValueError, TypeError):
        return {}


def _aside(folder: Path) -> Path:
    """Returns an unused name for a damaged checkpoint: STEP.damaged, STEP.damaged-2 and so on."""
    endings = itertools.chain([DAMAGED], (f"{DAMAGED}-{number}" for number in itertools.count(2)))
    paths = (folder.with_name(folder.name + ending) for ending in endings)
    return next(path for path in paths if not os.path.lexists(path))


def _set_aside(folder: Path) -> Path:
    """Renames a checkpoint before it is removed, so that a partly removed one never has a valid name."""
    doomed = folder.with_name(f"{REMOVING}{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    return doomed


def _same(arrays: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> bool:
    if name not in arrays or name not in expected:
        return False
    stored, like = arrays[name], expected[name]
    return (tuple(stored.shape), stored.dtype) == (tuple(like.shape), like.dtype)
