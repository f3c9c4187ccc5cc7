"""Which tokens make up a word: as the tokenizer divides words, or by the marks in the tokens' strings.

Tokens come in two conventions. Either those that begin a word have a mark in front (a space, `▁`, `Ġ`), or
those that continue one have (`##`, `…`).
"""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from jaxlm import tokenizers

Convention = Literal["initial", "continuation", "unmarked"]
CONTINUATION_MARKS = ("##", "…")
# Marks of a space and of a line end, as files of vocabularies spell them.
SPELLED_SPACES = {"▁": " ", "Ġ": " ", "Ċ": "\n", "ĉ": "\t"}
_MARKED = re.compile(r"(##|…)\w")
_SPECIAL = re.compile(r"<(?!0x)[^<>\s]+>|\[[A-Z0-9_]+\]")


def token_words(tokens: Sequence[str]) -> np.ndarray:
    """Returns the number of the word that each token belongs to, by the marks in the tokens' strings.

    A word begins with the first token, with every token that has the mark of a beginning in front, and
    behind a token that ends with white space; or with every token without the mark of a continuation. Tokens
    of white space alone belong to the word behind them, at the end to the word before them. The last word is
    a word like all others. Where no token has any mark, each is a word of its own.

    Args:
      tokens: readable tokens, or tokens as the vocabulary's file spells them.

    Returns:
      `Int32[T]`, from 0; -1 for special tokens such as `[CLS]` and `<s>`, each of which stands alone.

    Example:
      >>> from jaxlm.attribution import token_words
      >>> token_words(["<s>", "Un", "believ", "able", " ", "sto", "ry"]).tolist()
      [-1, 0, 0, 0, 1, 1, 1]
      >>> token_words(["[CLS]", "un", "##believ", "##able", "story", "[SEP]"]).tolist()
      [-1, 0, 0, 0, 1, -1]
    """
    plain = [_plain(token) for token in tokens]
    special = [bool(_SPECIAL.fullmatch(token)) for token in tokens]
    convention = mark_convention([token for token, own in zip(tokens, special, strict=True) if not own])
    numbers, number = np.full(len(tokens), -1, np.int32), -1
    for index, token in enumerate(plain):
        if special[index]:
            continue
        is_behind = index > 0 and not special[index - 1]
        if not (is_behind and _continues(plain[index - 1], token, convention)):
            number += 1
        numbers[index] = number
    return _with_blank_end(numbers, plain)


def tokenizer_words(tokenizer: tokenizers.Tokenizer, ids: np.ndarray) -> np.ndarray | None:
    """Returns the number of the word that each id belongs to, as the tokenizer divides words.

    Args:
      tokenizer: the tokenizer of the ids.
      ids: `Int[T]`.

    Returns:
      `Int32[T]`; -1 for special tokens. A residue of a protein is a word. None if the tokenizer does not say
      it: it divides no words (then a word of it has white space inside), or the text of the ids is encoded by
      other ids.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.attribution.results._words import tokenizer_words
      >>> tokenizer = tokenizers.train_subwords(["low lower lowest", "low"], vocab_size=263)
      >>> ids = tokenizer.encode("low slow")
      >>> [tokenizer.token(id) for id in ids], tokenizer_words(tokenizer, ids).tolist()
      (['low', ' ', 's', 'low'], [0, 1, 1, 1])
    """
    if np.any((ids < 0) | (ids >= tokenizer.vocab_size)):
        return None
    special = np.isin(ids, tokenizer.special_ids)
    if tokenizer.kind == "residues":
        return np.where(special, -1, np.arange(len(ids))).astype(np.int32)
    encoding = tokenizer.encoding(tokenizer.decode(ids))
    if encoding.ids != np.asarray(ids).tolist():
        return None
    numbers = np.array([-1 if word is None else word for word in encoding.word_ids], np.int32)
    numbers = np.where(special, -1, numbers).astype(np.int32)
    words = (tokenizer.decode(ids[numbers == number]) for number in np.unique(numbers[numbers >= 0]))
    return None if any(re.search(r"\S\s+\S", word) for word in words) else numbers


def mark_convention(tokens: Sequence[str]) -> Convention:
    """Returns how tokens mark words: "initial", "continuation", or "unmarked" if no token has a mark.

    Example:
      >>> from jaxlm.attribution.results._words import mark_convention
      >>> mark_convention(["To", "Ġbe"]), mark_convention(["to", "##day"]), mark_convention(["to", "be"])
      ('initial', 'continuation', 'unmarked')
    """
    # A space is certain; "##" may also be written in a text, and Ġ is a letter of Maltese.
    if any(token[:1].isspace() for token in tokens):
        return "initial"
    if any(_MARKED.match(token) for token in tokens):
        return "continuation"
    return "initial" if any(_plain(token)[:1].isspace() for token in tokens) else "unmarked"


def join_tokens(tokens: Sequence[str], convention: Convention) -> str:
    """Returns the string of several neighbouring tokens.

    Args:
      tokens: readable tokens, or tokens as the vocabulary's file spells them.
      convention: how the tokens mark words, `mark_convention` of the whole text.

    Example:
      >>> from jaxlm.attribution.results._words import join_tokens
      >>> join_tokens([" be", "lieve"], "initial"), join_tokens(["be", "##lieve", "me"], "continuation")
      (' believe', 'believe me')
    """
    first, *rest = tokens
    if convention == "initial" or (convention == "unmarked" and all(len(token) == 1 for token in tokens)):
        return first + "".join(rest)
    return first + "".join(_continued(token) or f" {token}" for token in rest)


def _plain(token: str) -> str:
    """The token with marks of spaces in front as the spaces that they stand for."""
    body = token.lstrip("".join(SPELLED_SPACES))
    return "".join(SPELLED_SPACES[mark] for mark in token[: len(token) - len(body)]) + body


def _continued(token: str) -> str:
    """What a token with the mark of a continuation adds to its word; nothing for other tokens."""
    mark = next((mark for mark in CONTINUATION_MARKS if token.startswith(mark) and token != mark), None)
    return "" if mark is None else token.removeprefix(mark)


def _continues(before: str, token: str, convention: Convention) -> bool:
    """Whether a token belongs to the word of the token before it."""
    if convention == "continuation":
        return bool(_continued(token))
    if convention == "unmarked":
        return False
    if not before.strip():  # white space belongs to the word behind it
        return True
    return not (token[:1].isspace() or before[-1:].isspace())


def _with_blank_end(numbers: np.ndarray, plain: Sequence[str]) -> np.ndarray:
    """White space at the end of a run of words belongs to the word before it."""
    numbers = numbers.copy()
    for index in range(len(numbers) - 1, 0, -1):
        own = numbers == numbers[index]
        is_blank = not "".join(token for token, is_own in zip(plain, own, strict=True) if is_own).strip()
        start = int(own.argmax())
        if numbers[index] >= 0 and is_blank and start > 0 and numbers[start - 1] >= 0:
            numbers[own] = numbers[start - 1]
    return numbers
