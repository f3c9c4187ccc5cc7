"""`jaxlm next MODEL TEXT`: the likeliest next tokens, and the loss of a given continuation."""

import dataclasses
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import decoding, pretrained, reports
from jaxlm.cli._byte_models import Unit
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
from jaxlm.cli._next_bytes import show_next_bytes
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.devices import enable_compilation_cache

# A text, and the continuation whose loss is asked for, if there is one.
NextRequest = tuple[str, str | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Next:
    """Show the likeliest next tokens after a text, and the loss of a given continuation.

    Example: jaxlm next ./gpt2 "To be or not to" --target " be"

    Byte by byte, behind a text that may end inside a token: jaxlm next ./gpt2 "To be or n" --unit byte

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      text: one text or several; - reads one a line from stdin, plain or as {"sentence": ..., "target": ...}
      unit: the likeliest tokens, or the likeliest bytes of a causal model, with the probability of the text
      top_k: how many tokens or bytes to show
      target: a continuation of the text: its loss in nats a token and its perplexity are shown too, or its
        loss in nats and bits a byte
      opening: of bytes: text before each text, in which special tokens are read as such; None: the tokens
        that begin texts
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
      json: print one JSON object a line, one for each text
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    text: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT")] = ()
    unit: Unit = "token"
    top_k: Annotated[int, arg(aliases=["-k"])] = 5
    target: str | None = None
    opening: str | None = None
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    options = parse(Next, arguments, program="jaxlm next")
    if options.top_k < 1:
        raise UsageError(f"--top-k is at least 1, got {options.top_k}")
    requests = _requests(options)
    first = next(requests, None)
    if first is None:
        raise UsageError(NO_TEXT)
    enable_compilation_cache()
    if options.unit == "byte":
        show_next_bytes(
            options.model,
            itertools.chain([first], requests),
            top_k=options.top_k,
            dtype=options.dtype,
            opening=options.opening,
            as_json=options.json,
        )
        return 0
    if options.opening is not None:
        raise UsageError("--opening is for bytes: add --unit byte, or leave --opening out")
    loaded = open_model(options.model, dtype=options.dtype)
    if loaded.kind.encoder or not loaded.kind.next_token:
        other = "generate" if loaded.kind.encoder else "fill"
        raise UsageError(
            f"{options.model} predicts no next token: it was trained as {loaded.kind.name}; "
            f"name a causal LM's folder, or use jaxlm {other}"
        )
    # Requests are read ahead of the answers: their texts wait here.
    texts: deque[str] = deque()
    checked = _checked(loaded, itertools.chain([first], requests), texts)
    for prediction in decoding.stream_next_tokens(loaded, checked, top_k=options.top_k):
        text = texts.popleft()
        if options.json:
            values = next_as_json(text, prediction, loaded.text_tokenizer.token)
            print(json.dumps(values, ensure_ascii=False))
        else:
            _show(text, prediction)
    return 0


def next_as_json(
    text: str, prediction: decoding.NextTokens, token_of: Callable[[int], str]
) -> dict[str, Any]:
    """Returns the next tokens of a text as JSON values, with the names of AllenNLP's predictor.

    Args:
      text: the text.
      prediction: its next tokens.
      token_of: returns the token of an id.
    """
    values = {
        "sentence": text,
        "probabilities": [candidate.probability for candidate in prediction.candidates],
        "top_indices": [candidate.token_id for candidate in prediction.candidates],
        "top_tokens": [candidate.token for candidate in prediction.candidates],
        "token_ids": prediction.tokens.tolist(),
        "tokens": [token_of(token) for token in prediction.tokens.tolist()],
    }
    if prediction.targets is None or prediction.target_log_probs is None:
        return values
    return values | {
        "target_ids": prediction.targets.tolist(),
        "target_log_probs": prediction.target_log_probs.tolist(),
        "loss": prediction.loss,
        "perplexity": prediction.perplexity,
    }


def _checked(
    loaded: pretrained.Loaded, requests: Iterable[NextRequest], texts: deque[str]
) -> Iterator[NextRequest]:
    """Yields the requests and appends their texts to `texts`; refuses or warns of unknown tokens."""
    has_warned = False
    for text, target in requests:
        refuse_unknown(loaded, target or "")
        has_warned = has_warned or warn_of_unknown("jaxlm next", loaded, [text])
        texts.append(text)
        yield text, target


def _requests(options: Next) -> Iterator[NextRequest]:
    # Only lines of stdin may be JSON: an argument that begins with a brace is a text.
    is_stdin = options.text == ("-",)
    usage = 'jaxlm next MODEL "To be or not to"'
    lines = stdin_lines(any_bytes=options.unit == "byte")
    for line in lines if is_stdin else input_lines(options.text, usage):
        request = json_request(line, {"sentence": str, "target": str}) if is_stdin else None
        if request is not None and "sentence" not in request:
            raise UsageError(f'a request has a "sentence": got {line[:60]}')
        if request is None:
            yield line, options.target
        else:
            yield request["sentence"], request.get("target", options.target)


def _show(text: str, prediction: decoding.NextTokens) -> None:
    print(text)
    show(reports.next_table(prediction))
    if prediction.loss is not None:
        print(f"target: {prediction.loss:.4f} nats a token, perplexity {prediction.perplexity:,.2f}")
