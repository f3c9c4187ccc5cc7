"""The Python files of this Python's own standard library, which every machine has."""

import hashlib
import platform
import sysconfig
from pathlib import Path

from jaxlm.data.sources._records import CorpusError

# Installed packages and tests do not belong to the library; the others are generated, bundled, or demos.
EXCLUDED_FOLDERS = frozenset(
    {
        "__phello__",
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idle_test",
        "idlelib",
        "lib-dynload",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)


def stdlib() -> Path:
    """Returns the folder of this Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def python_files(root: Path) -> list[Path]:
    """Returns the Python files of the corpus below a folder, sorted by their path in it.

    Args:
      root: the folder.

    Returns:
      Every `.py` file outside the excluded folders.

    Raises:
      CorpusError: there is no such file.
    """
    paths = (path.relative_to(root) for path in root.rglob("*.py"))
    included = sorted(path for path in paths if EXCLUDED_FOLDERS.isdisjoint(path.parts[:-1]))
    if not included:
        raise CorpusError(
            f"no Python source in {str(root)!r}, so there is no embedded corpus; give paths of your own files"
        )
    return [root / path for path in included]


def module_name(path: Path, root: Path) -> str:
    """Returns the name by which `import` finds a file below a folder.

    Example:
      >>> from pathlib import Path
      >>> from jaxlm.data.sources._library import module_name
      >>> module_name(Path("lib/json/__init__.py"), Path("lib"))
      'json'
    """
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def library_fingerprint(builder: str, root: str | Path | None = None) -> str:
    """Returns a digest of everything that a corpus of a folder's Python files depends on.

    Args:
      builder: the name and version of the function that makes the records.
      root: the folder; None is this Python's standard library.

    Returns:
      SHA-256, in hexadecimal, of the builder, this Python's version and every file's name and content.
    """
    root = stdlib() if root is None else Path(root)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    digest = hashlib.sha256(f"{builder} {python}".encode())
    for path in python_files(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.relative_to(root).as_posix()} {content}".encode())
    return digest.hexdigest()
