"""The program `jaxlm`, and `python -m jaxlm`."""

import os
import signal
import sys


def main() -> int:
    """Runs the command line and returns its exit code.

    Returns:
      The exit code of `jaxlm.cli.main`.
    """
    # Until the command line has handlers of its own: importing it takes a moment, in which nothing is begun.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    from jaxlm import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
