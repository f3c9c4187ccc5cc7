"""`jaxlm fill MODEL TEXT`: the likeliest tokens at each mask."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import decoding, reports
from jaxlm.cli._failures import UsageError
from jaxlm.cli._inputs import stdin_lines, warn_of_unknown
from jaxlm.cli._models import DType, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.devices import enable_compilation_cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fill:
    """Show the likeliest tokens at each mask of a text, and the text filled with the first of each.

    Example: jaxlm fill runs/bytecode-1 "LOAD_FAST self [NEXT] LOAD_ATTR [MASK]"

    Special tokens are never predicted: the probabilities are over the other tokens.

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several, with the mask token for each missing token; - reads a text a line from stdin
      top_k: how many tokens to show at each mask
      method: all masks at once, or one after the other, the most confident first
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
      json: print one JSON object a line, one for each text
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    top_k: Annotated[int, arg(aliases=["-k"])] = 5
    method: Literal["parallel", "iterative"] = "parallel"
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    options = parse(Fill, arguments, program="jaxlm fill")
    if options.top_k < 1:
        raise UsageError(f"--top-k is at least 1, got {options.top_k}")
    texts = _texts(options.text)
    enable_compilation_cache()
    loaded = open_model(options.model, dtype=options.dtype)
    if not loaded.kind.fill:
        other = ", or use jaxlm generate" if loaded.kind.encoder else ""
        raise UsageError(
            f"{options.model} fills no masks: it was trained as {loaded.kind.name}; "
            f"name a masked LM's folder{other}"
        )
    warn_of_unknown("jaxlm fill", loaded, texts)
    results = decoding.fill_batch(loaded, texts, top_k=options.top_k, method=options.method)
    for filled in results:
        if options.json:
            print(json.dumps(filled_as_json(filled), ensure_ascii=False))
        else:
            print(filled.text)
            show(reports.fill_table(filled))
    return 0


def filled_as_json(filled: decoding.FilledText) -> dict[str, Any]:
    """Returns a filled text as JSON values."""
    return {
        "text": filled.text,
        "tokens": filled.tokens.tolist(),
        "predictions": [
            {"position": mask.position, "candidates": [candidate._asdict() for candidate in mask.candidates]}
            for mask in filled.predictions
        ],
    }


def _texts(given: tuple[str, ...]) -> list[str]:
    if not given:
        raise UsageError('TEXT is missing: jaxlm fill MODEL "a text with a [MASK]"')
    texts = list(stdin_lines()) if given == ("-",) else list(given)
    if not texts:
        raise UsageError("stdin held no text: write one a line, with the mask token for each missing token")
    return texts
