"""Values that carry their own SHA-256, so that whoever reads them later knows that they are as written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL = "sha256"


class DamagedError(Exception):
    """A file or a folder is missing, incomplete or not as it was written."""


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns JSON values with their SHA-256 beside them, as `sha256`.

    Args:
      values: what JSON can hold, by name.

    Example:
      >>> from jaxlm.io import seal
      >>> sorted(seal({"records": 3}))
      ['records', 'sha256']
    """
    return {**values, SEAL: _digest(values)}


def unseal(values: Any, *, needed: bool = False) -> dict[str, Any]:
    """Returns what `seal` was given, having compared it with its SHA-256.

    Args:
      values: as JSON reads them back.
      needed: whether values without a SHA-256, which older versions wrote, are refused too.

    Raises:
      DamagedError: they are no dictionary, or not what was sealed.

    Example:
      >>> from jaxlm.io import seal, unseal
      >>> unseal(seal({"records": 3}))
      {'records': 3}
      >>> unseal(seal({"records": 3}) | {"records": 2})
      Traceback (most recent call last):
      ...
      jaxlm.io._sealed.DamagedError: it is not as it was written: its SHA-256 differs
    """
    if not isinstance(values, dict):
        raise DamagedError(f"expected named values, got {type(values).__name__}")
    found = {name: value for name, value in values.items() if name != SEAL}
    if SEAL not in values:
        if needed:
            raise DamagedError("it has no SHA-256")
    elif values[SEAL] != _digest(found):
        raise DamagedError("it is not as it was written: its SHA-256 differs")
    return found


def seal_file(path: Path) -> None:
    """Writes the SHA-256 of a file beside it, into `NAME.sha256`.

    Args:
      path: the file.
    """
    _beside(path).write_text(_file_digest(path) + "\n", encoding="ascii")


def check_file(path: Path) -> None:
    """Compares a file with the SHA-256 beside it; older versions wrote none.

    Args:
      path: the file.

    Raises:
      DamagedError: they differ.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.io import check_file, seal_file
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "tokenizer.json")
      >>> _ = path.write_text("{}")
      >>> seal_file(path)
      >>> check_file(path)
      >>> _ = path.write_text("[]")
      >>> check_file(path)
      Traceback (most recent call last):
      ...
      jaxlm.io._sealed.DamagedError: tokenizer.json is not as it was written: its SHA-256 differs
    """
    beside = _beside(path)
    if beside.exists() and beside.read_bytes().decode(errors="replace").strip() != _file_digest(path):
        raise DamagedError(f"{path.name} is not as it was written: its SHA-256 differs")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{SEAL}")


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(values: Mapping[str, Any]) -> str:
    # As JSON reads them back: tuples are lists there.
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
