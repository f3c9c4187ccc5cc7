"""`jaxlm next MODEL TEXT`: the likeliest next tokens, and how likely a given continuation is."""

import dataclasses
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import decoding, pretrained, reports
from jaxlm.cli._failures import UsageError
from jaxlm.cli._inputs import (
    NO_TEXT,
    input_lines,
    json_request,
    refuse_unknown,
    stdin_lines,
    warn_of_unknown,
)
from jaxlm.cli._models import DType, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.devices import enable_compilation_cache

# A text, and what follows it, if its loss is asked for.
NextRequest = tuple[str, str | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Next:
    """Show the likeliest next tokens after a text, and the loss of what really follows.

    Example: jaxlm next ./gpt2 "To be or not to" --target " be"

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several; - reads one a line from stdin, plain or as {"sentence": ..., "target": ...}
      top_k: how many tokens to show
      target: what follows the text: its loss in nats a token and its perplexity are shown too
      dtype: what to keep parameters in and compute in; None: as the run does, and float32 for a Hugging
        Face folder
      json: print one JSON object a line, one for each text
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    top_k: Annotated[int, arg(aliases=["-k"])] = 5
    target: str | None = None
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Next, arguments, program="jaxlm next")
    if options.top_k < 1:
        raise UsageError(f"--top-k is at least 1, got {options.top_k}")
    requests = _requests(options)
    first = next(requests, None)
    if first is None:
        raise UsageError(NO_TEXT)
    enable_compilation_cache()
    loaded = open_model(options.model, dtype=options.dtype)
    if loaded.kind.encoder or not loaded.kind.next_token:
        other = "generate" if loaded.kind.encoder else "fill"
        raise UsageError(
            f"{options.model} predicts no next token: it was trained as {loaded.kind.name}; "
            f"name a causal LM's folder, or use jaxlm {other}"
        )
    # Texts come and go one by one; what was asked is kept until its answer is there.
    asked: deque[str] = deque()
    drawn = _checked(loaded, itertools.chain([first], requests), asked)
    for found in decoding.stream_next_tokens(loaded, drawn, top_k=options.top_k):
        text = asked.popleft()
        if options.json:
            print(json.dumps(next_as_json(text, found, loaded.tokenizer.token), ensure_ascii=False))
        else:
            _show(text, found)
    return 0


def next_as_json(text: str, found: decoding.NextTokens, token_of: Callable[[int], str]) -> dict[str, Any]:
    """Returns what may follow a text as JSON values, under the names that AllenNLP's predictor gives them."""
    values = {
        "sentence": text,
        "probabilities": [one.probability for one in found.candidates],
        "top_indices": [one.token_id for one in found.candidates],
        "top_tokens": [one.token for one in found.candidates],
        "token_ids": found.tokens.tolist(),
        "tokens": [token_of(token) for token in found.tokens.tolist()],
    }
    if found.targets is None:
        return values
    return values | {
        "target_ids": found.targets.tolist(),
        "target_log_probs": found.target_log_probs.tolist(),
        "loss": found.loss,
        "perplexity": found.perplexity,
    }


def _checked(
    loaded: pretrained.Loaded, requests: Iterable[NextRequest], asked: deque[str]
) -> Iterator[NextRequest]:
    """The requests as they are drawn, noted and looked at for what the vocabulary cannot write."""
    is_told = False
    for text, target in requests:
        refuse_unknown(loaded, target or "")
        is_told = is_told or warn_of_unknown("jaxlm next", loaded, [text])
        asked.append(text)
        yield text, target


def _requests(options: Next) -> Iterator[NextRequest]:
    # Only stdin carries requests: an argument that begins with a brace is a text like any other.
    is_given = options.text == ("-",)
    usage = 'jaxlm next MODEL "To be or not to"'
    for line in stdin_lines() if is_given else input_lines(options.text, usage):
        request = json_request(line, {"sentence": str, "target": str}) if is_given else None
        if request is not None and "sentence" not in request:
            raise UsageError(f'a request has a "sentence": got {line[:60]}')
        if request is None:
            yield line, options.target
        else:
            yield request["sentence"], request.get("target", options.target)


def _show(text: str, found: decoding.NextTokens) -> None:
    print(text)
    show(reports.next_table(found))
    if found.loss is not None:
        print(f"target: {found.loss:.4f} nats a token, perplexity {found.perplexity:,.2f}")
