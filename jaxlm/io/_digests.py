"""A SHA-256 for each file of a folder, by which damaged files are recognised before they are used."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from jaxlm.io._json import parse_json
from jaxlm.io._strays import is_stray

DIGESTS = "sha256.json"


def write_digests(folder: Path) -> None:
    """Writes the SHA-256 of every file of a folder into `sha256.json`, and flushes the files to the disk.

    Files that operating systems leave in folders, such as `.DS_Store` (see `is_stray`), get no digest.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io import verify_digests, write_digests
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> _ = (folder / "weights").write_bytes(b"12")
      >>> write_digests(folder)
      >>> verify_digests(folder) is None
      True
      >>> _ = (folder / "weights").write_bytes(b"1")
      >>> verify_digests(folder)
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


def verify_digests(folder: Path) -> str | None:
    """Compares the files of a folder with the digests that `write_digests` wrote.

    Files that were added later are not compared.

    Returns:
      One line that says which file is missing or changed, the file of digests included; None if all files are
      as they were written.

    Raises:
      OSError: if a file is there but cannot be read, which does not show that it is damaged.
    """
    try:
        digests = _digests(folder)
    except FileNotFoundError:
        return f"{DIGESTS} is missing"
    except (ValueError, AttributeError):
        return f"{DIGESTS} cannot be read"
    if not digests:
        return f"{DIGESTS} names no file"
    reasons = (_damage(folder, name, digest) for name, digest in digests.items())
    return next((reason for reason in reasons if reason is not None), None)


def read_sealed(folder: Path, name: str) -> bytes | None:
    """Returns the bytes of a file whose digest `write_digests` wrote; None if it is missing or changed.

    Args:
      folder: a folder for which `write_digests` was called.
      name: the path of the file below the folder.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io import read_sealed, write_digests
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> _ = (folder / "weights").write_bytes(b"12")
      >>> write_digests(folder)
      >>> read_sealed(folder, "weights"), read_sealed(folder, "meta.json")
      (b'12', None)
    """
    try:
        payload, digest = (folder / name).read_bytes(), _digests(folder).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return payload if hashlib.sha256(payload).hexdigest() == digest else None


def _digests(folder: Path) -> dict[str, str]:
    with _damaged_media():
        digests = parse_json((folder / DIGESTS).read_bytes())
    # Earlier versions also wrote digests of stray files, which may be gone.
    return {str(name): str(digest) for name, digest in digests.items() if not is_stray(name)}


def _damage(folder: Path, name: str, digest: str) -> str | None:
    try:
        with _damaged_media(), open(folder / name, "rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == digest
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return f"{name} is missing"
    except ValueError as error:
        return f"{name} cannot be read: {error}"
    return None if same else f"{name} is not as it was written: its SHA-256 differs"


@contextlib.contextmanager
def _damaged_media() -> Iterator[None]:
    """Raises the one read error that means damaged media (EIO) as a `ValueError`."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise ValueError(os.strerror(errno.EIO)) from error


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [name for name in names if name != DIGESTS and not is_stray(name)]
