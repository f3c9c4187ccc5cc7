"""The command line: `jaxlm COMMAND`, one file a command."""

from jaxlm.cli._main import main

__all__ = ["main"]
