"""Texts as a masked LM reads them: ids, which tokens are scored, which words they form, and windows.

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

WordUnit = Literal["auto", "pieces", "spaces"]


class MaskedText(NamedTuple):
    """A text before anything of it is masked.

    Attributes:
      tokens: `Int[n]` ids, without the tokens that open and close the text.
      regular: `Bool[n]` True = an ordinary token, which is masked and scored; False = a special token written
        out in the text, which is only read.
      opening, closing: `Int[k]` the tokens that the model reads before and behind the text.
    """

    tokens: np.ndarray
    regular: np.ndarray
    opening: np.ndarray
    closing: np.ndarray

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Returns ids with the tokens that open and close them, `Int32`."""
        return np.concatenate([self.opening, tokens, self.closing]).astype(np.int32, copy=False)

    def room(self, longest: int) -> int:
        """Returns how many of the text's tokens fit into a row of `longest` tokens."""
        return longest - self.opening.size - self.closing.size


def masked_text(
    context: Context, text: str, *, ends: bool | None = None, unknown: UnknownPolicy = "error"
) -> MaskedText:
    """Returns a text as a masked LM reads it.

    Args:
      context: the model that is asked, with its tokenizer and its limits.
      text: the text.
      ends: whether the tokenizer's own tokens open and close it; None: as the model was trained.
      unknown: a symbol that the vocabulary cannot write is an "error", or its token is scored like others
        ("score").

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


def regular_tokens(tokenizer: tokenizers.Tokenizer, tokens: np.ndarray) -> np.ndarray:
    """Returns which tokens are not special, `Bool[n]`; the unknown token is not, as it stands for a symbol.

    Args:
      tokenizer: the model's tokenizer.
      tokens: `Int[n]` ids.
    """
    unk = tokenizer.specials.unk
    regular = ~_special_mask(tokenizer)[tokens]
    return regular if unk is None else regular | (tokens == unk)


def word_numbers(
    tokenizer: tokenizers.Tokenizer, text: str, regular: np.ndarray, words: WordUnit = "auto"
) -> np.ndarray:
    """Returns for each token the number of the word that it belongs to, from 0; -1 for special tokens.

    Args:
      tokenizer: the model's tokenizer.
      text: the text, which the tokenizer divides into n tokens.
      regular: `Bool[n]`, False for special tokens that are written out in the text; a special token divides a
        word.
      words: what a word is: "pieces": the tokenizer's pre-tokens, which it never merges across (punctuation
        is a pre-token of its own); "spaces": what is between white space; "auto": "pieces" if the tokenizer
        has pre-tokens, else "spaces". Each residue of a protein is a word. In scripts without spaces (Han,
        Hiragana, Thai and others) each grapheme and each run of Katakana is a word in all cases (see
        `tokenizers.words_of`); a token that holds several words belongs to the first of them.

    Returns:
      `Int[n]`; tokens of the same word are consecutive.

    Example:
      >>> import numpy as np
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring import word_numbers
      >>> word_numbers(tokenizers.bytes_tokenizer(), "to be", np.ones(5, bool)).tolist()
      [0, 0, 1, 1, 1]
    """
    if tokenizer.kind == "residues":
        numbers = np.arange(regular.size)
    else:
        encoding = tokenizer.encoding(text)
        offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
        if words == "pieces" or (words == "auto" and splits_texts(tokenizer)):
            numbers = np.array([-1 if word is None else word for word in encoding.word_ids], np.int64)
        else:
            numbers = _spaced(text, offsets)
        if tokenizers.has_spaceless(text):
            numbers = _divided(text, offsets, numbers)
    marked = np.where(regular, numbers, -1)
    begins = regular & np.concatenate([[True], marked[1:] != marked[:-1]])
    return np.where(regular, np.cumsum(begins) - 1, -1)


def window_start(length: int, room: int, centre: float | int) -> int:
    """Returns where a window of `room` tokens begins if its middle is as near to `centre` as possible.

    Args:
      length: tokens of the text; a text of at most `room` tokens is in the window whole.
      room: tokens of the window.
      centre: an index in the text.

    Example:
      >>> from jaxlm.scoring.measures import window_start
      >>> [window_start(10, 4, centre) for centre in (0, 4, 5, 9)]
      [0, 2, 3, 6]
      >>> window_start(3, 4, 2)
      0
    """
    return int(np.clip(int(centre) - room // 2, 0, max(length - room, 0)))


@functools.lru_cache(maxsize=8)
def _special_mask(tokenizer: tokenizers.Tokenizer) -> np.ndarray:
    """The mask of special ids, computed once for all texts."""
    return tokenizers.special_mask(tokenizer)


@functools.lru_cache(maxsize=8)
def splits_texts(tokenizer: tokenizers.Tokenizer) -> bool:
    """Returns whether the tokenizer cuts texts into words before it looks for tokens.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._masked_texts import splits_texts
      >>> splits_texts(tokenizers.bytes_tokenizer())
      False
    """
    return tokenizer.kind != "bytes" and tokenizer.backend.pre_tokenizer is not None


def _spaced(text: str, offsets: np.ndarray) -> np.ndarray:
    """The word of each token: that of its first character; a space belongs to the word behind it."""
    space = np.fromiter((character.isspace() for character in text), bool, len(text))
    begins = ~space & np.concatenate([[True], space[:-1]])
    word = np.cumsum(begins) - 1 + space
    return word[np.minimum(offsets[:, 0], len(text) - 1)]


def _divided(text: str, offsets: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Word numbers in which tokens of scripts without spaces have the word of their first letter."""
    shown = [start + len(text[start:end]) - len(text[start:end].lstrip()) for start, end in offsets.tolist()]
    own = tokenizers.spaceless_words(text)[np.minimum(shown, len(text) - 1)]
    return np.where((own < 0) | (numbers < 0), numbers, own + numbers.max() + 1)
