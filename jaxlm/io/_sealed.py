"""Values and files with a SHA-256, by which a reader recognises damage."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL = "sha256"


class DamagedError(Exception):
    """A file or a folder is missing or incomplete, or was changed after it was written."""


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a dict of JSON values with their SHA-256 added as the entry "sha256".

    Args:
      values: JSON values by name.

    Example:
      >>> from jaxlm.io import seal
      >>> sorted(seal({"records": 3}))
      ['records', 'sha256']
    """
    return {**values, SEAL: _digest(values)}


def unseal(values: Any, *, needed: bool = False) -> dict[str, Any]:
    """Returns the values that were given to `seal`, after comparing them with their SHA-256.

    Args:
      values: the dict that `seal` returned, as read from JSON.
      needed: whether values without the entry "sha256" raise an error. Older versions of jaxlm did not write
        the entry.

    Raises:
      DamagedError: `values` is no dict, or its SHA-256 differs.

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
    inner = {name: value for name, value in values.items() if name != SEAL}
    if SEAL not in values:
        if needed:
            raise DamagedError("it has no SHA-256")
    elif values[SEAL] != _digest(inner):
        raise DamagedError("it is not as it was written: its SHA-256 differs")
    return inner


def seal_file(path: Path) -> None:
    """Writes the SHA-256 of a file `NAME` into the file `NAME.sha256` in the same folder.

    Args:
      path: the path of the file, which is read as a whole.
    """
    _beside(path).write_text(_file_digest(path) + "\n", encoding="ascii")


def check_file(path: Path) -> None:
    """Raises an error if a file does not have the SHA-256 that stands in the file `NAME.sha256` beside it.

    A file without `NAME.sha256` is accepted, because older versions of jaxlm did not write one.

    Args:
      path: the path of the file to check.

    Raises:
      DamagedError: the SHA-256 differs.

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
    # Of the JSON text, so that tuples and the lists that JSON makes of them are equal.
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
