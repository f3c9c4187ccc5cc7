"""Python objects that files name: "module:NAME"."""

import importlib
from typing import Any

from jaxlm.errors import ConfigError


def import_reference(reference: str, kind: type) -> Any:
    """Returns the object of a type that a file names as "module:NAME".

    Args:
      reference: the module, importable here, and the name in it.
      kind: what the object is an instance of.

    Raises:
      ConfigError: if the module cannot be imported, or has no such object.

    Example:
      >>> import_reference("math:pi", float)
      3.141592653589793
      >>> import_reference("mathz:pi", float)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: 'mathz:pi' cannot be imported: No module named 'mathz'; put the folder ...
    """
    module, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # of the user's own module
        raise ConfigError(
            f"{reference!r} cannot be imported: {error}; put the folder of its file on PYTHONPATH"
        ) from error
    if not isinstance(found, kind):
        raise ConfigError(f"{reference!r} is a {kind.__name__}: got {type(found).__name__}")
    return found
