"""Imports Python objects that files name as "module:NAME"."""

import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from jaxlm.errors import ConfigError


def import_reference(reference: str, kind: type, *, named_in: str | os.PathLike[str] | None = None) -> Any:
    """Imports and returns an object that is named as "module:NAME".

    Importing a module runs it. Opening a folder must not run code that came with it, so a module inside the
    folder of the file that names it is not imported.

    Args:
      reference: the name of an importable module, a colon, and the name of the object in the module.
      kind: the type that the object must have.
      named_in: the folder of the file in which the reference stands. None: the reference does not come from a
        file, and a module in any folder is imported.

    Raises:
      ConfigError: the module cannot be imported, lies inside the folder `named_in`, or has no object of that
        name and type.

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
        value = getattr(importlib.import_module(module), name, None)
    except ConfigError:
        raise
    except Exception as error:  # of the user's own module
        raise ConfigError(
            f"{reference!r} cannot be imported: {error}; put the folder of its file on PYTHONPATH"
        ) from error
    if not isinstance(value, kind):
        raise ConfigError(f"{reference!r} is a {kind.__name__}: got {type(value).__name__}")
    return value


def _check_outside(module: str, folder: Path) -> None:
    """Raises an error if a module or one of its packages is inside a folder; checks each before it runs."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:count]))
        if spec is None:
            return
        if any(path.is_relative_to(folder.resolve()) for path in _paths(spec)):
            raise ConfigError(
                f"module {module!r} lies in {folder}, whose file names it, and is not run for that: import "
                "it first, or move it elsewhere on PYTHONPATH"
            )


def _paths(spec: ModuleSpec) -> list[Path]:
    origin = [spec.origin] if spec.has_location and spec.origin is not None else []
    return [Path(path).resolve() for path in (*(spec.submodule_search_locations or ()), *origin)]
