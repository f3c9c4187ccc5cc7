"""The text of a tokenizer.json, read for our use."""

import json

import tokenizers


def parse(text: str) -> tokenizers.Tokenizer:
    """Reads the text of a `tokenizer.json`, with padding, truncation and BPE dropout switched off.

    Rows are made by packing, nothing is cut off silently, and the same text always gives the same ids.

    Args:
      text: the file's text.

    Returns:
      The backend.

    Raises:
      ValueError: if the text is no such file.

    Example:
      >>> parse("[]")
      Traceback (most recent call last):
      ...
      ValueError: not a Hugging Face tokenizer.json: expected an object with a "model"
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not a Hugging Face tokenizer.json: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise ValueError('not a Hugging Face tokenizer.json: expected an object with a "model"')
    data |= {"padding": None, "truncation": None}
    if "dropout" in data["model"]:
        data["model"]["dropout"] = None
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(data))
    # The Rust side raises bare `Exception` for what it can't read.
    except Exception as error:
        raise ValueError(f"not a Hugging Face tokenizer.json: {' '.join(str(error).split())}") from error
