"""What is chosen whole: words of text, instructions of a trace."""

import json
import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np

from jaxlm import tokenizers
from jaxlm.corruption._noise_config import Unit
from jaxlm.corruption._shares import array_module

# Classes of characters: a word is of one of them.
_LETTER, _DIGIT, _SPACE, _OTHER, _SPECIAL = range(5)
# How a tokenizer shows bytes that are no UTF-8 on their own: parts of letters.
_BYTES = re.compile(r"\\x[89a-f][0-9a-f]")
_CONTINUATION = "…"


class Units(NamedTuple):
    """Where units begin, by the ids of a position and of the one before it.

    A unit begins at an id that `opens`, and where the class that an id begins with (`first`) is not the one
    that the id before it ends with (`last`).

    `opens` `Bool[V]`; `first`, `last` `UInt8[V]`.

    Example:
      >>> Units(np.array([True, False]), np.zeros(2, np.uint8), np.zeros(2, np.uint8)).opens.tolist()
      [True, False]
    """

    opens: np.ndarray
    first: np.ndarray
    last: np.ndarray


def make_units(unit: Unit, tokenizer: tokenizers.Tokenizer, vocab_size: int) -> Units | None:
    """Returns where the units of a tokenizer's ids begin; None where every token is a unit.

    A word of text is a run of letters, of digits, of white space or of other signs, as GPT-2's pattern takes
    text apart; the space before it is of the word where one piece holds both, else a unit of its own.
    WordPiece marks what continues a word (`##`), an instruction trace what continues an operand (`…`); there
    the marks decide. Instructions end with [NEXT]. Specials are units of their own.

    Args:
      unit: "token", "word" or "instruction".
      tokenizer: its tokens.
      vocab_size: V, at least the tokenizer's.

    Raises:
      ValueError: if the tokenizer has no such units.

    Example:
      >>> units = make_units("word", tokenizers.bytes_tokenizer(), 260)
      >>> unit_starts(np.frombuffer(b"to be", np.uint8)[None], units).astype(int).tolist()
      [[1, 0, 1, 1, 0]]
    """
    if unit == "token":
        return None
    if unit == "instruction":
        return _instructions(tokenizer, vocab_size)
    if tokenizer.kind == "residues":
        raise ValueError("noise.unit='word' needs words: a chain of residues has none; use 'token'")
    opens, first, last = np.ones(vocab_size, bool), *np.full((2, vocab_size), _SPECIAL, np.uint8)
    mark, special = _continuation_mark(tokenizer), set(tokenizer.special_ids)
    for id_ in range(tokenizer.vocab_size):
        if id_ in special:
            continue
        token = tokenizer.token(id_)
        if mark is not None:
            opens[id_], first[id_], last[id_] = not token.startswith(mark), _LETTER, _LETTER
        else:
            opens[id_], first[id_], last[id_] = _classes(token)
    return Units(opens, first, last)


def unit_starts(tokens: Any, units: Units | None) -> Any:
    """Returns `Bool[B L]`, True where a unit begins within a row; None where every token is a unit.

    Example:
      >>> units = Units(np.zeros(3, bool), np.zeros(3, np.uint8), np.array([0, 0, 1], np.uint8))
      >>> unit_starts(np.array([[0, 2, 1, 1]]), units).tolist()
      [[True, False, True, False]]
    """
    if units is None:
        return None
    xp = array_module(tokens)
    opens, first, last = (xp.asarray(part)[tokens] for part in units)
    changes = first[:, 1:] != last[:, :-1]
    return xp.concatenate([xp.ones_like(opens[:, :1]), opens[:, 1:] | changes], axis=1)


def _instructions(tokenizer: tokenizers.Tokenizer, vocab_size: int) -> Units:
    next_id = tokenizer.specials.next
    if next_id is None:
        raise ValueError(
            "noise.unit='instruction' ends instructions by [NEXT]: the tokenizer has no such token"
        )
    ends = np.arange(vocab_size) == next_id
    return Units(np.zeros(vocab_size, bool), np.zeros(vocab_size, np.uint8), ends.astype(np.uint8))


def _continuation_mark(tokenizer: tokenizers.Tokenizer) -> str | None:
    if tokenizer.kind == "instructions":
        return _CONTINUATION
    model = json.loads(tokenizer.to_json())["model"]
    return model.get("continuing_subword_prefix") if model.get("type") == "WordPiece" else None


def _classes(token: str) -> tuple[bool, int, int]:
    """Whether a token opens a word by its space, and the classes of its ends."""
    text = _BYTES.sub("é", token.replace("▁", " "))
    opens = text[:1].isspace() and not text.isspace()
    return opens, _class(text.lstrip()[:1] or text[:1]), _class(text[-1:])


def _class(character: str) -> int:
    if not character or character.isspace():
        return _SPACE
    kind = unicodedata.category(character)[0]
    return {"L": _LETTER, "M": _LETTER, "N": _DIGIT}.get(kind, _OTHER)
