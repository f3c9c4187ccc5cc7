"""Python objects that files name: "module:NAME"."""

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from jaxlm.errors import ConfigError


def import_reference(reference: str, kind: type, *, named_in: str | os.PathLike[str] | None = None) -> Any:
    """Returns the object of a type that a file names as "module:NAME".

    Importing a module runs it. So a module that lies in the folder of the file that names it is not imported:
    whoever opens a folder does not run what came with it.

    Args:
      reference: the module, importable here, and the name in it.
      kind: what the object is an instance of.
      named_in: the folder of the file that names it; None: the caller names it himself.

    Raises:
      ConfigError: if the module cannot be imported, lies in that folder, or has no such object.

    Example:
      >>> from jaxlm.io import import_reference
      >>> import_reference("math:pi", float)
      3.141592653589793
      >>> import_reference("mathz:pi", float)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: 'mathz:pi' cannot be imported: No module named 'mathz'; put the folder ...
    """
    module, _, name = reference.partition(":")
    try:
        if module not in sys.modules and named_in is not None:
            _check_outside(module, Path(named_in))
        found = getattr(importlib.import_module(module), name, None)
    except ConfigError:
        raise
    except Exception as error:  # of the user's own module
        raise ConfigError(
            f"{reference!r} cannot be imported: {error}; put the folder of its file on PYTHONPATH"
        ) from error
    if not isinstance(found, kind):
        raise ConfigError(f"{reference!r} is a {kind.__name__}: got {type(found).__name__}")
    return found


def _check_outside(module: str, folder: Path) -> None:
    """Refuses a module that lies in a folder, or whose package does; looks at each package before it runs."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:count]))
        if spec is None:
            return
        if any(path.is_relative_to(folder.resolve()) for path in _places(spec)):
            raise ConfigError(
                f"module {module!r} lies in {folder}, whose file names it, and is not run for that: import "
                "it first, or move it elsewhere on PYTHONPATH"
            )


def _places(spec: ModuleSpec) -> list[Path]:
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location else [])]
    return [Path(place).resolve() for place in places]
