"""Units that are chosen as a whole: words of a text, or instructions of a trace."""

import json
import re
from typing import Any, NamedTuple

import numpy as np

from jaxlm import tokenizers
from jaxlm.corruption._noise_config import NoiseUnit
from jaxlm.corruption._shares import array_module
from jaxlm.corruption._split_characters import (
    INNER_BYTES,
    SplitCharacters,
    join_split_characters,
    split_characters,
)
from jaxlm.errors import ConfigError
from jaxlm.tokenizers import CharacterClass

# The form in which a tokenizer shows bytes that are not UTF-8 on their own, such as parts of letters.
_BYTES = re.compile(r"\\x([89a-f][0-9a-f])")
_CONTINUATION = "…"
# Doubling steps: runs of combining marks up to 31 tokens are looked through.
_MARKS = (1, 2, 4, 8, 16)


class UnitBoundaries(NamedTuple):
    """Where units (words, instructions) begin, told from the id at a position and the id before it.

    A unit begins at an id that `opens`, at an id that begins with a grapheme, and at an id whose first
    character is of another class (`first`) than the last character of the id before (`last`). A combining
    mark (class JOINED) belongs to the character before it.

    Attributes:
      opens: `Bool[V]`, True = the id begins a unit in any case.
      first: `UInt8[V]`, the `tokenizers.CharacterClass` of each id's first character.
      last: `UInt8[V]`, the `tokenizers.CharacterClass` of each id's last character.
      split: the parts of characters that are divided among several tokens; None: no token holds a part of a
        character.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import UnitBoundaries, unit_starts
      >>> units = UnitBoundaries(np.array([True, False]), np.zeros(2, np.uint8), np.zeros(2, np.uint8))
      >>> unit_starts(np.array([[0, 1, 1, 0]]), units).tolist()  # id 0 opens a unit
      [[True, False, False, True]]
    """

    opens: np.ndarray
    first: np.ndarray
    last: np.ndarray
    split: SplitCharacters | None = None


def make_units(unit: NoiseUnit, tokenizer: tokenizers.Tokenizer, vocab_size: int) -> UnitBoundaries | None:
    """Returns where words or instructions begin, for a tokenizer's ids; None if every token is a unit.

    A word is a run of letters, of digits, of white space or of other signs, as in GPT-2's pattern. A space
    before a word belongs to the word if one token holds both, else the space is a unit of its own. WordPiece
    marks tokens that continue a word (`##`), and disassembled code marks tokens that continue an operand
    (`…`); with these tokenizers the marks decide. In scripts without spaces (Han, Hiragana, Thai, Lao, Khmer,
    Myanmar and others) each grapheme is a word, in Katakana each run; a token with several graphemes is not
    divided. Instructions end with [NEXT]. Special tokens are units of their own.

    Args:
      unit: what is chosen as a whole: "token", "word" or "instruction".
      tokenizer: the tokenizer whose ids are divided into units.
      vocab_size: V, the size of the model's vocabulary, at least the tokenizer's.

    Raises:
      ConfigError: if the tokenizer has no words, or no instructions.

    Example:
      >>> import numpy as np
      >>> from jaxlm import tokenizers
      >>> from jaxlm.corruption import make_units, unit_starts
      >>> units = make_units("word", tokenizers.bytes_tokenizer(), 260)
      >>> unit_starts(np.frombuffer(b"to be", np.uint8)[None], units).astype(int).tolist()
      [[1, 0, 1, 1, 0]]
    """
    if unit == "token":
        return None
    if unit == "instruction":
        return _instructions(tokenizer, vocab_size)
    if tokenizer.kind == "residues":
        raise ConfigError("noise.unit='word' needs words: a chain of residues has none; use 'token'")
    opens, first, last = (
        np.ones(vocab_size, bool),
        *np.full((2, vocab_size), CharacterClass.SPECIAL, np.uint8),
    )
    mark, special = _continuation_mark(tokenizer), set(tokenizer.special_ids)
    pieces = {id_: tokenizer.token(id_) for id_ in range(tokenizer.vocab_size) if id_ not in special}
    for id_, token in pieces.items():
        opens[id_], first[id_], last[id_] = _classes(token) if mark is None else _marked_classes(token, mark)
    split = split_characters({id_: _bytes(token) for id_, token in pieces.items()}, vocab_size)
    return UnitBoundaries(opens, first, last, None if mark else split)


def unit_starts(tokens: Any, units: UnitBoundaries | None) -> Any:
    """Returns where units begin in rows of ids, `Bool[B L]`; None if every token is a unit.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import UnitBoundaries, unit_starts
      >>> units = UnitBoundaries(np.zeros(3, bool), np.zeros(3, np.uint8), np.array([0, 0, 1], np.uint8))
      >>> unit_starts(np.array([[0, 2, 1, 1]]), units).tolist()
      [[True, False, True, False]]
    """
    if units is None:
        return None
    xp = array_module(tokens)
    opens, first, last = (xp.asarray(part)[tokens] for part in units[:3])
    if units.split is not None:
        first, last = join_split_characters(tokens, first, last, units.split)
    begins = _begins(first[:, 1:], _through_marks(last, xp)[:, :-1])
    return xp.concatenate([xp.ones_like(opens[:, :1]), opens[:, 1:] | begins], axis=1)


def _begins(first: Any, before: Any) -> Any:
    """Whether a unit begins at a class that follows the class `before`."""
    joined = (first == INNER_BYTES) | ((first == CharacterClass.JOINED) & ~_is_blank(before))
    return ~joined & ((first != before) | (first == CharacterClass.GRAPHEME))


def _through_marks(last: Any, xp: Any) -> Any:
    """The class at a token's end; for marks that of the character before them, LETTER if that is blank."""
    is_mark = (last == CharacterClass.JOINED) | (last == INNER_BYTES)
    kind = last
    for size in _MARKS:
        before = xp.concatenate([kind[:, :size], kind[:, :-size]], axis=1)[:, : last.shape[1]]
        kind = xp.where((kind == CharacterClass.JOINED) | (kind == INNER_BYTES), before, kind)
    is_unknown = (kind == CharacterClass.JOINED) | (kind == INNER_BYTES) | _is_blank(kind)
    return xp.where(is_mark & is_unknown, np.uint8(CharacterClass.LETTER), kind)


def _is_blank(kind: Any) -> Any:
    return (kind == CharacterClass.SPACE) | (kind == CharacterClass.SPECIAL)


def _instructions(tokenizer: tokenizers.Tokenizer, vocab_size: int) -> UnitBoundaries:
    next_id = tokenizer.specials.next
    if next_id is None:
        raise ConfigError(
            "noise.unit='instruction' ends instructions by [NEXT]: the tokenizer has no such token"
        )
    ends = np.arange(vocab_size) == next_id
    return UnitBoundaries(np.zeros(vocab_size, bool), np.zeros(vocab_size, np.uint8), ends.astype(np.uint8))


def _continuation_mark(tokenizer: tokenizers.Tokenizer) -> str | None:
    if tokenizer.kind == "instructions":
        return _CONTINUATION
    model = json.loads(tokenizer.to_json())["model"]
    return model.get("continuing_subword_prefix") if model.get("type") == "WordPiece" else None


def _classes(token: str) -> tuple[bool, int, int]:
    """Whether a token begins a word by its leading space, and the classes at its start and end."""
    # A part of a character counts as a letter until its other bytes are known.
    text = _BYTES.sub("é", token.replace("▁", " "))
    opens = text[:1].isspace() and not text.isspace()
    return opens, tokenizers.character_class(text.lstrip()[:1] or text[:1]), _last_class(text)


def _marked_classes(token: str, mark: str) -> tuple[bool, int, int]:
    """The same for tokenizers with marks: characters of scripts with spaces are all of one class."""
    text = token.removeprefix(mark)
    first, last = (
        kind if kind >= CharacterClass.GRAPHEME else CharacterClass.LETTER
        for kind in (tokenizers.character_class(text[:1]), _last_class(text))
    )
    return not token.startswith(mark), first, last


def _last_class(text: str) -> int:
    """The class of the last character that is not a combining mark; JOINED if all are."""
    kinds = (tokenizers.character_class(character) for character in reversed(text))
    return next((kind for kind in kinds if kind != CharacterClass.JOINED), _only(text))


def _only(text: str) -> int:
    return CharacterClass.JOINED if text else CharacterClass.SPACE


def _bytes(token: str) -> bytes:
    """The bytes of a token, from what is shown of them."""
    parts = _BYTES.split(token)
    return b"".join(bytes.fromhex(part) if index % 2 else part.encode() for index, part in enumerate(parts))
