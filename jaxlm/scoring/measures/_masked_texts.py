"""Texts as a masked LM reads them: ids, which of them are scored, which words they make, and windows.

Letters: `n` tokens of a text.
"""

import functools
from typing import Literal, NamedTuple

import numpy as np

from jaxlm import tokenizers
from jaxlm.errors import JaxlmError
from jaxlm.scoring.measures._measure import Context, ScoreError
from jaxlm.scoring.measures._openings import masked_frame
from jaxlm.scoring.measures._unknown import UnknownPolicy, check_unknown

Words = Literal["auto", "pieces", "spaces"]


class MaskedText(NamedTuple):
    """A text before anything of it is masked.

    Attributes:
      tokens: `Int[n]` ids, without what opens and closes the text.
      regular: `Bool[n]` True = a token of the text, which is masked and scored in its turn; False = a special
        written out in it, which is context only.
      opening, closing: `Int[k]` what the model reads before and behind it.
    """

    tokens: np.ndarray
    regular: np.ndarray
    opening: np.ndarray
    closing: np.ndarray

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Returns ids between what opens and what closes them, `Int32`."""
        return np.concatenate([self.opening, tokens, self.closing]).astype(np.int32, copy=False)

    def room(self, longest: int) -> int:
        """Returns how many of its tokens a row of `longest` tokens has room for."""
        return longest - self.opening.size - self.closing.size


def masked_text(
    context: Context, text: str, *, ends: bool | None = None, unknown: UnknownPolicy = "error"
) -> MaskedText:
    """Returns a text as a masked LM reads it.

    Args:
      context: of the model.
      text: the text.
      ends: whether the tokenizer's own tokens open and close it; None: as the model was trained.
      unknown: what is done with what the vocabulary cannot write: "error", or "score" its token like others.

    Returns:
      `MaskedText`.

    Raises:
      ScoreError: if a symbol is unknown, or there is nothing to score.
    """
    tokenizer = context.tokenizer
    try:
        tokens = context.encode(text)
    except JaxlmError as error:
        raise ScoreError(str(error)) from error
    regular = ~_special_mask(tokenizer)[tokens]
    unk = tokenizer.specials.unk
    if unk is not None and (tokens == unk).any():
        check_unknown(context, text, tokens, unknown)
        regular |= (tokens == unk) & (unknown == "score")
    if not regular.any():
        raise ScoreError(
            "no tokens: the text is empty" if not tokens.size else "nothing to score: all tokens are specials"
        )
    opening, closing = (np.asarray(ids, np.int32) for ids in masked_frame(context, ends))
    return MaskedText(tokens, regular, opening, closing)


def word_numbers(
    tokenizer: tokenizers.Tokenizer, text: str, regular: np.ndarray, words: Words = "auto"
) -> np.ndarray:
    """Returns the word that each token is of, counted from 0; -1 for what is not regular.

    Args:
      tokenizer: the model's.
      text: the text.
      regular: `Bool[n]` of `MaskedText`; a special divides a word.
      words: what a word is: "pieces", what the tokenizer never merges across (its pre-tokens, of which
        punctuation is one); "spaces", what stands between white space; "auto", "pieces" where the tokenizer
        splits texts, else "spaces". Each residue of a protein is a word. Scripts without spaces (Han,
        Hiragana, Thai and their like) have words of their own in all of these, each grapheme and each run of
        Katakana (see `tokenizers.words_of`); a token that holds several is of its first.

    Returns:
      `Int[n]`; the tokens of a word stand together.

    Example:
      >>> word_numbers(tokenizers.bytes_tokenizer(), "to be", np.ones(5, bool)).tolist()
      [0, 0, 1, 1, 1]
    """
    if tokenizer.kind == "residues":
        numbers = np.arange(regular.size)
    else:
        encoding = tokenizer.encoding(text)
        offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
        if words == "pieces" or (words == "auto" and splits_texts(tokenizer)):
            numbers = np.array([-1 if one is None else one for one in encoding.word_ids], np.int64)
        else:
            numbers = _spaced(text, offsets)
        if tokenizers.has_spaceless(text):
            numbers = _divided(text, offsets, numbers)
    marked = np.where(regular, numbers, -1)
    begins = regular & np.concatenate([[True], marked[1:] != marked[:-1]])
    return np.where(regular, np.cumsum(begins) - 1, -1)


def window_start(length: int, room: int, centre: float | int) -> int:
    """Returns where a window of `room` tokens begins that has its middle as near `centre` as it can.

    Args:
      length: of the text; one no longer than `room` is in the window whole.
      room: how long the window is.
      centre: a place in the text.

    Example:
      >>> [window_start(10, 4, centre) for centre in (0, 4, 5, 9)]
      [0, 2, 3, 6]
      >>> window_start(3, 4, 2)
      0
    """
    return int(np.clip(int(centre) - room // 2, 0, max(length - room, 0)))


@functools.lru_cache(maxsize=8)
def _special_mask(tokenizer: tokenizers.Tokenizer) -> np.ndarray:
    """The mask, made once for all texts."""
    return tokenizers.special_mask(tokenizer)


@functools.lru_cache(maxsize=8)
def splits_texts(tokenizer: tokenizers.Tokenizer) -> bool:
    """Returns whether the tokenizer cuts texts into words before it looks for tokens.

    Example:
      >>> splits_texts(tokenizers.bytes_tokenizer())
      False
    """
    return tokenizer.kind != "bytes" and tokenizer.backend.pre_tokenizer is not None


def _spaced(text: str, offsets: np.ndarray) -> np.ndarray:
    """The word of each token: that of its first character, of a space the word behind it."""
    space = np.fromiter((character.isspace() for character in text), bool, len(text))
    begins = ~space & np.concatenate([[True], space[:-1]])
    word = np.cumsum(begins) - 1 + space
    return word[np.minimum(offsets[:, 0], len(text) - 1)]


def _divided(text: str, offsets: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The words with those of scripts without spaces, by a token's first letter, in the place of theirs."""
    shown = [start + len(text[start:end]) - len(text[start:end].lstrip()) for start, end in offsets.tolist()]
    own = tokenizers.spaceless_words(text)[np.minimum(shown, len(text) - 1)]
    return np.where((own < 0) | (numbers < 0), numbers, own + numbers.max() + 1)
