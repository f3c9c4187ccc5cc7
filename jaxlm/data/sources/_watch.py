"""Detects whether the files of a corpus changed while they were read."""

import time
from collections.abc import Sequence

from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import Place, RemotePath
from jaxlm.data.sources._versions import content_digest, file_digest, file_version, map_concurrently

# Two writes within one tick of a file system's clock can leave the same time. A tick is at most two seconds.
CLOCK_RESOLUTION_NS = 2 * 10**9


class FileWatch:
    """Records the state of files before they are read, and compares it afterwards.

    Args:
      places: the files.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.data.sources._watch import FileWatch
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "tales.txt")
      >>> _ = path.write_text("once")
      >>> watch = FileWatch([path])
      >>> watch.check()
      >>> _ = path.write_text("twice")
      >>> watch.check()
      Traceback (most recent call last):
      ...
      jaxlm.errors.CorpusError: ...tales.txt changed while it was read: ...
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = list(places)
        self._looked_at = time.time_ns()
        self._states = map_concurrently(_state, self._places)
        # The clock cannot tell the present content of these files from what is written next.
        states = zip(self._places, self._states, strict=True)
        recent = [place for place, state in states if self._is_recent(state)]
        self._contents = dict(zip(recent, map_concurrently(_content, recent), strict=True))

    def digests(self) -> list[str]:
        """Returns what identifies each file's content (see `file_digest`)."""
        return map_concurrently(file_digest, self._places)

    def check(self) -> None:
        """Compares the files with their first state.

        Raises:
          CorpusError: a file was written, replaced or removed; names it.
        """
        states = map_concurrently(_state, self._places)
        changed = [
            place
            for place, before, now in zip(self._places, self._states, states, strict=True)
            if before != now or (place in self._contents and _content(place) != self._contents[place])
        ]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise CorpusError(
                f"{changed[0]}{more} changed while it was read: nothing of it is kept, as it would mix two "
                f"versions; run the same again once nobody writes to it"
            )

    def _is_recent(self, state: tuple[int, ...] | str | None) -> bool:
        return isinstance(state, tuple) and max(state[1:3]) > self._looked_at - CLOCK_RESOLUTION_NS


def _state(place: Place) -> tuple[int, ...] | str | None:
    """Size and times of a local file, or the version that a store gives; None for a missing file."""
    if isinstance(place, RemotePath):
        return file_version(place)
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _content(place: Place) -> str | None:
    try:
        return content_digest(place)
    except CorpusError:
        return None
