"""Texts that a command reads: from its arguments, or a line each from stdin."""

import sys
from collections.abc import Iterator
from typing import Any

from jaxlm import io, pretrained
from jaxlm.cli._failures import UsageError, say

NO_TEXT = "stdin held no text: write one a line"


def input_lines(given: tuple[str, ...], usage: str) -> list[str]:
    """Returns the texts given, or for a single "-" the lines of stdin that are not blank.

    Raises:
      UsageError: if there are none; `usage` shows what to write.
    """
    if not given:
        raise UsageError(f"TEXT is missing: {usage}")
    lines = list(stdin_lines()) if given == ("-",) else list(given)
    if not lines:
        raise UsageError(NO_TEXT)
    return lines


def stdin_lines() -> Iterator[str]:
    """Yields the lines of stdin that are not blank, without their ends, as they come.

    Raises:
      UsageError: if stdin is closed, or holds what is no text.
    """
    if sys.stdin is None:
        raise UsageError("stdin is closed: give the text as an argument, or pipe it in")
    try:
        for line in sys.stdin:
            if line.strip():
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        found = f"{error.reason} at byte {error.start}"
        raise UsageError(f"stdin is not {error.encoding.upper()} ({found}): write it as UTF-8") from error


def json_request(line: str, names: dict[str, type]) -> dict[str, Any] | None:
    """Returns the JSON object that a line holds, checked; None for a line that begins like plain text.

    Args:
      line: what was read.
      names: the keys that an object may have, and the type of each.

    Raises:
      UsageError: if the line begins like an object and is none, or has a key or value of another kind.

    Example:
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
    """Raises UsageError if what is to be predicted holds what the vocabulary has no token for."""
    ids, unknown = loaded.tokenizer.encode(target), loaded.tokenizer.specials.unk
    if unknown is not None and unknown in ids:
        read = " ".join(loaded.tokenizer.token(id) for id in ids[:8])
        raise UsageError(f"the target {target!r} is not in the vocabulary, which reads it as {read}")


def warn_of_unknown(program: str, loaded: pretrained.Loaded, texts: list[str]) -> bool:
    """Says on stderr if a text holds what the vocabulary has no token for; returns whether one does."""
    unknown = loaded.tokenizer.specials.unk
    is_unknown = unknown is not None and any(unknown in loaded.tokenizer.encode(text) for text in texts)
    if is_unknown:
        read_as = loaded.tokenizer.token(unknown)
        say(program, f"warning: parts of the text are not in the vocabulary and read as {read_as}")
    return is_unknown
