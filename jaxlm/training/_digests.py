"""A SHA-256 for each file of a folder, so that a flipped bit or a missing end is seen before it is used."""

import hashlib
import json
import os
from pathlib import Path

DIGESTS = "sha256.json"


def write_digests(folder: Path) -> None:
    """Writes the SHA-256 of every file of a folder into it, and flushes the files to the disk on the way.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> _ = (folder / "weights").write_bytes(b"12")
      >>> write_digests(folder)
      >>> damage(folder) is None
      True
      >>> _ = (folder / "weights").write_bytes(b"1")
      >>> damage(folder)
      'weights is not as it was written: its SHA-256 differs'
    """
    digests = {}
    for name in _files(folder):
        with open(folder / name, "rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
    with open(folder / DIGESTS, "w") as file:
        json.dump(digests, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def damage(folder: Path) -> str | None:
    """Returns what is wrong with a folder that `write_digests` sealed; None if all is as it was written."""
    try:
        digests = json.loads((folder / DIGESTS).read_text())
        digests = {str(name): str(digest) for name, digest in digests.items()}
    except FileNotFoundError:
        return f"{DIGESTS} is missing"
    except (OSError, ValueError, AttributeError):
        return f"{DIGESTS} cannot be read"
    missing = sorted(set(digests) - set(_files(folder)))
    if missing:
        return f"{missing[0]} is missing"
    unknown = sorted(set(_files(folder)) - set(digests))
    if unknown:
        return f"{unknown[0]} does not belong to it"
    for name, digest in digests.items():
        try:
            with open(folder / name, "rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == digest
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
        if not same:
            return f"{name} is not as it was written: its SHA-256 differs"
    return None


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != DIGESTS)
