"""Checkpoints on disk: written by Orbax beside the training, sealed with digests, pruned."""

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
    """A checkpoint on disk.

    Attributes:
      step: batches consumed when it was taken.
      folder: where it is.
      meta: what its meta.json holds; `validation_loss` (nats or None) decides which is best.
    """

    step: int
    folder: Path
    meta: dict[str, Any]


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Returns the checkpoints of a folder by step, the earliest first, without verifying their arrays.

    `meta` is empty where meta.json is not as it was written.
    """
    names = (path.name for path in folder.glob("*") if STEP_NAME.fullmatch(path.name) and path.is_dir())
    found = sorted(step for name in names if _place(folder, step := int(name)).name == name)
    return [Checkpoint(step, _place(folder, step), _meta(_place(folder, step))) for step in found]


def last_good(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Returns the last checkpoint that is as it was written, and a line for each damaged one after it.

    The damaged ones are moved aside (to STEP.damaged, or STEP.damaged-2 where that is there), so that they
    neither count as kept nor block their step; nothing of them is removed.

    Args:
      folder: the folder of the checkpoints; it need not exist.

    Returns:
      The checkpoint, or None where there is no good one; and the lines, to be shown to the user.

    Raises:
      OSError: if one cannot be looked at just now, for want of permission say.
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
    """Removes what a killed process left of checkpoints that it was writing or removing.

    One that is whole and the only one of its step gets its name back.

    Args:
      folder: of the checkpoints, which no other process writes to; it need not exist.

    Raises:
      WriteError: if its name cannot be given back.
    """
    for kind in (SAVING, REMOVING):
        for leftover in sorted(folder.glob(f"{kind}*")):
            final = folder / leftover.name.removeprefix(kind)
            if not final.exists() and verify_digests(leftover) is None:
                with io.writing(final):
                    leftover.rename(final)
            shutil.rmtree(leftover, ignore_errors=True)


def has_no_checkpoints(folder: Path) -> bool:
    """Returns whether a folder of checkpoints holds nothing but what `clear_checkpoints` removes."""
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
    """Returns a checkpoint's arrays as host arrays in the tree structure of `like`.

    Raises:
      ModelError: if the names, shapes or dtypes are others than those of `like`.
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
    """Writes checkpoints on a thread of its own, one at a time, and keeps the last and the best.

    A checkpoint appears under its final name only when all its files and their digests are on disk; whatever
    happens before leaves the earlier ones as they were.
    """

    def __init__(self, folder: Path, *, keep_last: int, keep_best: int) -> None:
        self._folder, self._keep_last, self._keep_best = folder, keep_last, keep_best
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None
        clear_checkpoints(folder)

    def save(
        self, step: int, tree: Any, meta: Mapping[str, Any], *, add: Callable[[Path], None] | None = None
    ) -> list[Checkpoint]:
        """Starts writing host arrays; returns what was still being written, as `finished(wait=True)` does.

        Args:
          step: names the checkpoint.
          tree: host arrays that nobody changes any more.
          meta: JSON values.
          add: writes further files into the folder that it is given.
        """
        done = self.finished(wait=True)
        self._pending = self._thread.submit(self._write, step, flat_arrays(tree), dict(meta), add)
        return done

    def finished(self, *, wait: bool = False) -> list[Checkpoint]:
        """Returns the checkpoint that has come to be since the last call, if any.

        Raises:
          WriteError: if it cannot be written, with the system's own number.
        """
        if self._pending is None or not (wait or self._pending.done()):
            return []
        pending, self._pending = self._pending, None
        return [pending.result()]

    def close(self) -> None:
        """Waits for the thread."""
        self._thread.shutdown()

    def _write(
        self,
        step: int,
        arrays: dict[str, np.ndarray],
        meta: dict[str, Any],
        add: Callable[[Path], None] | None,
    ) -> Checkpoint:
        final, saving = _place(self._folder, step), self._folder / f"{SAVING}{step:08d}"
        try:
            with io.writing(final):
                # Not its parents: a run's folder that is gone is not to come back without its experiment.
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
        judged = [one for one in kept if one.meta.get("validation_loss") is not None]
        best = sorted(judged, key=lambda one: (one.meta["validation_loss"], -one.step))[: self._keep_best]
        keep = {one.step for one in [*kept[-self._keep_last :], *best]}
        for checkpoint in kept:
            if checkpoint.step not in keep:
                with io.writing(checkpoint.folder):
                    shutil.rmtree(_set_aside(checkpoint.folder), ignore_errors=True)


def _check_room(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses in one line what Orbax, out of room half-way, would tell in a page from its threads."""
    if shutil.disk_usage(folder).free < sum(array.nbytes for array in arrays.values()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as ocp

    with _unlogged(), ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        checkpointer.save(folder.absolute(), args=ocp.args.StandardSave(arrays))


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keeps Orbax from logging the traceback of an error that it also raises.

    What it had begun to write beside ends after its event loop was closed, and is told to nobody either.
    """
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)

    def quiet(told: Any) -> None:
        if not (isinstance(told.exc_value, RuntimeError) and str(told.exc_value) == "Event loop is closed"):
            hook(told)

    sys.unraisablehook = quiet
    try:
        yield
        # After an error its threads go on telling for a while.
        sys.unraisablehook = hook
    finally:
        logger.setLevel(level)


def _place(folder: Path, step: int) -> Path:
    return folder / f"{step:08d}"


def _meta(folder: Path) -> dict[str, Any]:
    try:
        return dict(io.parse_json(read_sealed(folder, META) or b"{}"))
    except (ValueError, TypeError):
        return {}


def _aside(folder: Path) -> Path:
    """A name beside a checkpoint's that nothing has yet."""
    names = itertools.chain([DAMAGED], (f"{DAMAGED}-{number}" for number in itertools.count(2)))
    places = (folder.with_name(folder.name + name) for name in names)
    return next(place for place in places if not os.path.lexists(place))


def _set_aside(folder: Path) -> Path:
    """Gives a checkpoint another name to be removed under, so that no half of it keeps its own."""
    doomed = folder.with_name(f"{REMOVING}{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    return doomed


def _same(arrays: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> bool:
    if name not in arrays or name not in expected:
        return False
    found, wanted = arrays[name], expected[name]
    return (tuple(found.shape), found.dtype) == (tuple(wanted.shape), wanted.dtype)
