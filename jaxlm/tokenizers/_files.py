"""Parses and checks the text of a tokenizer.json."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tokenizers

from jaxlm import io
from jaxlm.errors import ModelError
from jaxlm.tokenizers._library import library_errors

# A file may name ids up to its number of characters plus this.
MOST_HOLES = 1 << 18


def parse_tokenizer(text: str) -> tokenizers.Tokenizer:
    """Parses the text of a `tokenizer.json`; padding, truncation and BPE dropout are switched off.

    Packing makes rows, nothing may be cut off silently, and the same text must always give the same ids.

    Args:
      text: the text of the file.

    Returns:
      The backend.

    Raises:
      ModelError: the text is not that of a tokenizer.json.

    Example:
      >>> from jaxlm.tokenizers._files import parse_tokenizer
      >>> parse_tokenizer("[]")
      Traceback (most recent call last):
      ...
      jaxlm.errors.ModelError: not a Hugging Face tokenizer.json: expected an object with a "model"
    """
    try:
        data = io.parse_json(text)
    except ValueError as error:
        raise ModelError(f"not a Hugging Face tokenizer.json: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise ModelError('not a Hugging Face tokenizer.json: expected an object with a "model"')
    check_ids(_ids(data), len(text))
    data |= {"padding": None, "truncation": None}
    if "dropout" in data["model"]:
        data["model"]["dropout"] = None
    with library_errors("not a Hugging Face tokenizer.json"):
        return tokenizers.Tokenizer.from_str(json.dumps(data))


def check_ids(ids: Iterable[int], size: int) -> None:
    """Raises an error for an id that is too high for the size of its file.

    The library allocates memory for all ids up to the highest.

    Args:
      ids: of tokens.
      size: the number of characters in the file; each token takes some of them.

    Raises:
      ModelError: names the highest id.

    Example:
      >>> from jaxlm.tokenizers._files import check_ids
      >>> check_ids([0, 2147483648], 9000)
      Traceback (most recent call last):
      jaxlm.errors.ModelError: a file of 9,000 characters names the id 2,147,483,648, ...; it is damaged: ...
    """
    highest, most = max(ids, default=0), size + MOST_HOLES
    if highest >= most:
        raise ModelError(
            f"a file of {size:,} characters names the id {min(highest, 2**64):,}, and its ids are below "
            f"{most:,}; it is damaged: fetch it again"
        )


def _ids(data: Mapping[str, Any]) -> Iterator[int]:
    """Every id that a file names. A list of pieces names none, because their index is the id."""
    vocab, added = data["model"].get("vocab"), data.get("added_tokens")
    named = vocab.values() if isinstance(vocab, dict) else ()
    tokens = [token for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    listed = (token.get("id") for token in tokens)
    around = _numbers(data.get("post_processor"))
    yield from (id for id in (*named, *listed, *around, data["model"].get("unk_id")) if type(id) is int)


def _numbers(value: Any) -> Iterator[int]:
    """The integers inside a JSON value; in a post-processor they are ids."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif type(value) is int:
        yield value
