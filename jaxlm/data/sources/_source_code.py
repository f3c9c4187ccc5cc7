"""This Python's own standard library as text: one record a module."""

import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from jaxlm.data.sources._library import library_fingerprint, module_name, python_files, stdlib
from jaxlm.data.sources._records import Record

# Part of the corpus' fingerprint: increase it when the same file gives another record.
CODE_VERSION = 1


def python_source(
    root: str | Path | None = None, *, left_out: Counter[str] | None = None
) -> Iterator[Record]:
    """Yields the whole source text of every Python file below a folder.

    Args:
      root: the folder. None: this Python's standard library, without its test suites and installed packages.
      left_out: a counter, whose entry "modules" is increased by one for each file that is skipped because it
        is not in the encoding that it declares. None: skipped files are not counted.

    Yields:
      One record for each file, sorted by path. The name of the module, such as `json.decoder` (`json` for
      `json/__init__.py`), is both the id of the record and its `meta["group"]`. All line ends are "\\n".

    Raises:
      CorpusError: the folder holds no Python file, as for an interpreter that is shipped without the sources
        of its library.

    Example:
      >>> from jaxlm.data import python_source
      >>> record = next(python_source())
      >>> record.id, "import" in record.text
      ('__future__', True)
    """
    root = stdlib() if root is None else Path(root)
    for path in python_files(root):
        module = module_name(path, root)
        try:
            with tokenize.open(path) as file:
                text = file.read()
        except (SyntaxError, UnicodeDecodeError):
            if left_out is not None:
                left_out["modules"] += 1
            continue
        yield Record(module, text, {"group": module, "where": str(path)})


def python_fingerprint(root: str | Path | None = None) -> str:
    """Returns a digest of the records that `python_source` yields.

    Args:
      root: the folder of the Python files. None: this Python's standard library, without its test suites and
        installed packages.

    Returns:
      The SHA-256 in hexadecimal of this Python's version, of the version of `python_source`, and of every
      file's name and content.
    """
    return library_fingerprint(f"source {CODE_VERSION}", root)
