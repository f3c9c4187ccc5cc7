"""`jaxlm fill MODEL TEXT`: the likeliest tokens at each mask."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import decoding, pretrained, reports
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._inputs import stdin_lines
from jaxlm.cli._models import DType, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.devices import enable_compilation_cache


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fill:
    """Show the likeliest tokens at each mask of a text, and the text filled with the first of each.

    Example: jaxlm fill runs/bytecode-1 "LOAD_FAST self [NEXT] LOAD_ATTR [MASK]"

    Special tokens are never predicted: probabilities are among the tokens that may stand at a mask.

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several, the mask token where a token is missing; - reads a text a line from stdin
      top_k: how many tokens to show at each mask
      method: all masks at once, or one after the other, the most confident first
      dtype: what to keep parameters in and compute in; None: as the run does, and float32 for a Hugging
        Face folder
      json: print one JSON object a line, one for each text
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    top_k: Annotated[int, arg(aliases=["-k"])] = 5
    method: Literal["parallel", "iterative"] = "parallel"
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
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
    _warn_of_unknown(loaded, texts)
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
            {"position": one.position, "candidates": [candidate._asdict() for candidate in one.candidates]}
            for one in filled.predictions
        ],
    }


def _texts(given: tuple[str, ...]) -> list[str]:
    if not given:
        raise UsageError('TEXT is missing: jaxlm fill MODEL "a text with a [MASK]"')
    texts = list(stdin_lines()) if given == ("-",) else list(given)
    if not texts:
        raise UsageError("stdin held no text: write one a line, the mask token where a token is missing")
    return texts


def _warn_of_unknown(loaded: pretrained.Loaded, texts: list[str]) -> None:
    unknown = loaded.tokenizer.specials.unk
    if unknown is not None and any(unknown in loaded.tokenizer.encode(text) for text in texts):
        read_as = loaded.tokenizer.token(unknown)
        say("jaxlm fill", f"warning: parts of the text are not in the vocabulary and read as {read_as}")
