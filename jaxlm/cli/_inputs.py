"""Texts that a command reads, from its arguments or from the lines of stdin."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any

from jaxlm import io, pretrained
from jaxlm.cli._failures import UsageError, say

NO_TEXT = "stdin held no text: write one a line"


def input_lines(given: tuple[str, ...], usage: str) -> list[str]:
    """Returns the texts of the command line, or for a single "-" the lines of stdin that are not blank.

    Args:
      given: the texts of the command line.
      usage: an example of the command, for the message.

    Raises:
      UsageError: if there is no text.
    """
    if not given:
        raise UsageError(f"TEXT is missing: {usage}")
    lines = list(stdin_lines()) if given == ("-",) else list(given)
    if not lines:
        raise UsageError(NO_TEXT)
    return lines


def stdin_lines(*, any_bytes: bool = False) -> Iterator[str]:
    """Yields the lines of stdin that are not blank, without their line ends, as they come.

    Args:
      any_bytes: whether a byte that is not UTF-8 becomes half a surrogate pair, as in arguments.

    Raises:
      UsageError: if stdin is closed, or is not text in its encoding.
    """
    if sys.stdin is None:
        raise UsageError("stdin is closed: give the text as an argument, or pipe it in")
    if any_bytes and isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    try:
        for line in sys.stdin:
            if line.strip():
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise UsageError(f"stdin is not {error.encoding.upper()} ({where}): write it as UTF-8") from error


def json_request(line: str, names: dict[str, type]) -> dict[str, Any] | None:
    """Returns the JSON object of a line; None for a line that does not begin with a brace: it is plain text.

    Args:
      line: the line.
      names: the keys that an object may have, and the type of each value.

    Raises:
      UsageError: if the line begins with a brace and is no JSON object, or has another key or type.

    Example:
      >>> from jaxlm.cli._inputs import json_request
      >>> json_request('{"sentence": "To be"}', {"sentence": str}), json_request("To be", {})
      ({'sentence': 'To be'}, None)
    """
    if not line.lstrip().startswith("{"):
        return None
    try:
        request = io.parse_json(line)
    except ValueError as error:
        raise UsageError(f"this line is no JSON object ({error}): {line[:60]}") from error
    for name, value in request.items():
        if name not in names:
            raise UsageError(f"a request has the keys {', '.join(names)}: got {name!r}")
        if not isinstance(value, names[name]) or isinstance(value, bool):
            raise UsageError(f"{name!r} is a {names[name].__name__} in a request: got {value!r}")
    return request


def refuse_unknown(loaded: pretrained.Loaded, target: str) -> None:
    """Raises `UsageError` if the vocabulary has no token for a part of the text that is to be predicted.

    Args:
      loaded: the model.
      target: the text.

    Raises:
      UsageError: with the tokens that the text is read as.
    """
    tokenizer = loaded.text_tokenizer
    ids, unknown = tokenizer.encode(target), tokenizer.specials.unk
    if unknown is not None and unknown in ids:
        read = " ".join(tokenizer.token(id) for id in ids[:8])
        raise UsageError(f"the target {target!r} is not in the vocabulary, which reads it as {read}")


def warn_of_unknown(program: str, loaded: pretrained.Loaded, texts: list[str]) -> bool:
    """Warns on stderr if the vocabulary has no token for a part of a text.

    Args:
      program: the command, for the message.
      loaded: the model.
      texts: which are read.

    Returns:
      Whether it warned.
    """
    tokenizer = loaded.text_tokenizer
    unknown = tokenizer.specials.unk
    if unknown is None or not any(unknown in tokenizer.encode(text) for text in texts):
        return False
    read_as = tokenizer.token(unknown)
    say(program, f"warning: parts of the text are not in the vocabulary and read as {read_as}")
    return True
