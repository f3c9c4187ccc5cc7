"""The text of a tokenizer.json, read for our use."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tokenizers

from jaxlm import io
from jaxlm.errors import ModelError
from jaxlm.tokenizers._library import library_errors

# Ids without a token that a file may have beside one for each of its characters.
MOST_HOLES = 1 << 18


def parse_tokenizer(text: str) -> tokenizers.Tokenizer:
    """Reads the text of a `tokenizer.json`, with padding, truncation and BPE dropout switched off.

    Rows are made by packing, nothing is cut off silently, and the same text always gives the same ids.

    Args:
      text: the file's text.

    Returns:
      The backend.

    Raises:
      ModelError: if the text is no such file.

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
    """Refuses ids that no file of `size` characters needs: the library walks through all up to the highest.

    Args:
      ids: of tokens.
      size: of the file that names them; a token takes some characters of it.

    Raises:
      ModelError: names the highest.

    Example:
      >>> from jaxlm.tokenizers._files import check_ids
      >>> check_ids([0, 2147483648], 9000)
      Traceback (most recent call last):
      jaxlm.errors.ModelError: a file of 9,000 characters names the id 2,147,483,648, ...; it is damaged: ...
    """
    highest, most = max(ids, default=0), size + MOST_HOLES
    if highest >= most:
        told = f"a file of {size:,} characters names the id {min(highest, 2**64):,}"
        raise ModelError(f"{told}, and its ids are below {most:,}; it is damaged: fetch it again")


def _ids(data: Mapping[str, Any]) -> Iterator[int]:
    """Every id that a file names; those of a list of pieces are their places."""
    vocab, added = data["model"].get("vocab"), data.get("added_tokens")
    named = vocab.values() if isinstance(vocab, dict) else ()
    listed = (one.get("id") for one in added if isinstance(one, dict)) if isinstance(added, list) else ()
    around = _numbers(data.get("post_processor"))
    yield from (id for id in (*named, *listed, *around, data["model"].get("unk_id")) if type(id) is int)


def _numbers(value: Any) -> Iterator[int]:
    """The whole numbers of a value: of what is put around a text they are ids."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers(one)
    elif type(value) is int:
        yield value
