"""`jaxlm lm-eval ...`: lm-evaluation-harness's own command line, which knows the model `jaxlm`."""

import sys
from collections.abc import Sequence
from unittest import mock

from jaxlm import scoring


def run(arguments: Sequence[str]) -> int:
    """Runs the harness's command line and returns its exit code."""
    scoring.register_harness()
    from lm_eval.__main__ import cli_evaluate

    with mock.patch.object(sys, "argv", ["jaxlm lm-eval", *arguments]):
        cli_evaluate()
    return 0
