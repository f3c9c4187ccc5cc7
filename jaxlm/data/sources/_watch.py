"""Whether the files of a corpus are still those that were there before they were read."""

import time
from collections.abc import Sequence
from pathlib import Path

from jaxlm.data.sources._records import CorpusError
from jaxlm.data.sources._remote import Place, RemotePath
from jaxlm.data.sources._versions import content_digest, file_digest, file_version, map_concurrently

# What is written within a tick of a file system's clock may have the time of what was there before: two
# seconds, at most.
CLOCK_RESOLUTION_NS = 2 * 10**9


class FileWatch:
    """Looks at files before they are read, and again once they were.

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
        # A clock does not tell these from what is written next.
        known = zip(self._places, self._states, strict=True)
        recent = [place for place, state in known if self._is_recent(state)]
        self._contents = dict(zip(recent, map_concurrently(_content, recent), strict=True))

    def digests(self) -> list[str]:
        """Returns what identifies each file's content (see `file_digest`)."""
        return map_concurrently(file_digest, self._places)

    def check(self) -> None:
        """Looks again.

        Raises:
          CorpusError: a file was written, replaced or removed since the first look; names it.
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
                f"{changed[0]}{more} changed while it was read: nothing of it is kept, as it would be of no "
                f"one corpus; run the same again once nobody writes to it"
            )

    def _is_recent(self, state: tuple[int, ...] | str | None) -> bool:
        return isinstance(state, tuple) and max(state[1:3]) > self._looked_at - CLOCK_RESOLUTION_NS


def _state(place: Place) -> tuple[int, ...] | str | None:
    """Size and times of a file, or what its store says of it; None where it is not there."""
    if isinstance(place, RemotePath):
        return file_version(place)
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _content(place: Path) -> str | None:
    try:
        return content_digest(place)
    except CorpusError:
        return None
