"""`jaxlm lm-eval ...`: lm-evaluation-harness's own command line, which knows the model `jaxlm`."""

import sys
from collections.abc import Sequence
from unittest import mock

from jaxlm import scoring

USAGE = """usage: jaxlm lm-eval run --model jaxlm --model_args pretrained=MODEL --tasks TASK ...

lm-evaluation-harness's own command line (pip install 'jaxlm[lm-eval]') with one more model, jaxlm. Its
arguments: pretrained=MODEL, a run folder, or a Hugging Face folder or name; dtype=float32 or bfloat16;
max_length=N, tokens that are read at once. What the vocabulary cannot write is scored as its unknown token,
as by the harness's own hf model (jaxlm score refuses it, unless --unknown is score).

  -h, --help              this
  run --help, ls --help   the harness's own"""


def run(arguments: Sequence[str]) -> int:
    """Runs the harness's command line and returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    scoring.register_harness()
    from lm_eval.__main__ import cli_evaluate

    with mock.patch.object(sys, "argv", ["jaxlm lm-eval", *arguments]):
        cli_evaluate()
    return 0
