"""`jaxlm convert MODEL OUT`: a run as a Hugging Face folder, or the other way round."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import pretrained
from jaxlm.cli._models import DType, model_folder
from jaxlm.cli._options import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a run's model as a Hugging Face folder, which transformers opens with the same logits, or a
    Hugging Face model as a folder like a run's.

    Example: jaxlm convert runs/prose-1 prose-bert

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      out: the folder to write; missing or empty
      dtype: type of the parameters; None: the run's, and float32 for a Hugging Face folder
      json: print one JSON object
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    out: Annotated[Positional[str], arg(metavar="OUT")]
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Convert, arguments, program="jaxlm convert")
    written = pretrained.convert(model_folder(options.model), options.out, dtype=options.dtype)
    if options.json:
        print(json.dumps({"model": options.model, "out": options.out, "written": written}))
    else:
        print(f"{options.out}: {written}, from {options.model}")
    return 0
