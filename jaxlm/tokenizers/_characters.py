"""Classes of characters, from which words are made, also in scripts that write no spaces.

A word is a run of letters, of digits, of white space or of other signs. Scripts such as Han, Hiragana, Thai,
Lao, Khmer and Myanmar put no spaces between words: there each grapheme (a letter with its marks) is a word. A
run of Katakana is one word, because it mostly spells one.
"""

import enum
import functools
import itertools
import re
import unicodedata

import numpy as np


class CharacterClass(enum.IntEnum):
    """The class of a character, by which a text is divided into words.

    Attributes:
      LETTER, DIGIT, SPACE, OTHER: consecutive characters of one of these classes are one word.
      SPECIAL: the class of special tokens such as [MASK]; no character has it.
      GRAPHEME: a letter of a script without spaces between words, such as Chinese. Each one begins a word.
      KATAKANA: a letter of Katakana. Consecutive letters are one word.
      JOINED: a combining mark, which belongs to the word of the character before it.
    """

    LETTER = 0
    DIGIT = 1
    SPACE = 2
    OTHER = 3
    SPECIAL = 4
    GRAPHEME = 5
    KATAKANA = 6
    JOINED = 7


LETTER, DIGIT, SPACE, OTHER, SPECIAL, GRAPHEME, KATAKANA, JOINED = CharacterClass
# Scripts without spaces; digits and punctuation among them keep their own classes.
_GRAPHEMES = (
    "\u0e01-\u0e5b\u0e81-\u0edf"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17f9\u19e0-\u19ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aad\uaa80-\uaadf\U00011700-\U0001174f"  # of Tai languages
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
    "\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00016ff0-\U00016ff6\U00020000-\U0003ffff"
    "\u3041-\u309f\U0001b001-\U0001b11f\U0001b132-\U0001b132\U0001b150-\U0001b152"  # Hiragana
    "\u3105-\u312f\u31a0-\u31bf\ua000-\ua4c6"  # Bopomofo, Yi
    "\U00016fe0-\U00016fe1\U00017000-\U00018d08\U0001b170-\U0001b2fb"  # Tangut, Nushu
)
_KATAKANA = (
    "\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff6f\uff71-\uff9d\u32d0-\u32fe\u3300-\u3357"
    "\U0001aff0-\U0001b000\U0001b120-\U0001b122\U0001b155-\U0001b155\U0001b164-\U0001b167"
)
# Marks that Unicode's categories call letters: AM of Thai and Lao, the long vowel, voicing marks; vowels and
# finals of Hangul syllables that are written in parts; zero-width joiners.
_JOINED = (
    "\u0e33-\u0e33\u0eb3-\u0eb3\u309b-\u309c\u30fc-\u30fc\uff70-\uff70\uff9e-\uff9f\u1160-\u11ff\ud7b0-\ud7fb"
)
_JOINED += "\u200c-\u200d"
_SPACELESS = re.compile(f"[{_GRAPHEMES}{_KATAKANA}]")
_CATEGORIES = {"L": LETTER, "N": DIGIT, "Z": SPACE, "M": JOINED}
# The code points outside are unassigned or for private use.
_ASSIGNED = ((0, 0x33480), (0xE0000, 0xE0200))


def character_class(character: str) -> CharacterClass:
    """Returns the class of a character; SPACE for an empty string.

    Example:
      >>> from jaxlm.tokenizers import character_class
      >>> [character_class(one).name for one in "a1 ,字かカ"]
      ['LETTER', 'DIGIT', 'SPACE', 'OTHER', 'GRAPHEME', 'GRAPHEME', 'KATAKANA']
    """
    return _class_of(ord(character)) if character else SPACE


@functools.lru_cache(1 << 16)
def _class_of(code: int) -> CharacterClass:
    firsts, classes = class_runs()
    return CharacterClass(classes[np.searchsorted(firsts, code, side="right") - 1])


@functools.cache
def class_runs() -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes of all Unicode code points, as runs of consecutive code points of one class.

    The first array, `Int32[runs]`, holds the first code point of each run, sorted; the second array,
    `UInt8[runs]`, holds the class of the run (a `CharacterClass`).

    Example:
      >>> import numpy as np
      >>> from jaxlm.tokenizers import class_runs
      >>> from jaxlm.tokenizers._characters import GRAPHEME
      >>> firsts, classes = class_runs()
      >>> int(classes[np.searchsorted(firsts, ord("字"), side="right") - 1]) == GRAPHEME
      True
    """
    classes, may_be = np.full(0x110000, OTHER, np.uint8), np.zeros(0x110000, bool)
    for first, end in _ASSIGNED:
        characters = [chr(code) for code in range(first, end)]
        kinds = [unicodedata.category(character) for character in characters]
        classes[first:end] = [_CATEGORIES.get(kind[0], OTHER) for kind in kinds]
        may_be[first:end] = [kind[0] in "LNS" and kind not in ("Nd", "Sc") for kind in kinds]
        classes[first:end][[character.isspace() for character in characters]] = SPACE
    for names, kind in ((_GRAPHEMES, GRAPHEME), (_KATAKANA, KATAKANA)):
        classes[may_be & _among(names)] = kind
    classes[_among(_JOINED)] = JOINED
    firsts = np.flatnonzero(np.concatenate([[True], classes[1:] != classes[:-1]]))
    return firsts.astype(np.int32), classes[firsts]


def _among(names: str) -> np.ndarray:
    """Whether each code point is in one of the ranges of a regular expression."""
    members = np.zeros(0x110000, bool)
    for first, last in re.findall("(.)-(.)", names, re.DOTALL):
        members[ord(first) : ord(last) + 1] = True
    return members


def has_spaceless(text: str) -> bool:
    """Returns whether a text has a character of a script without spaces between words, such as Chinese.

    Example:
      >>> from jaxlm.tokenizers import has_spaceless
      >>> has_spaceless("no, it has not"), has_spaceless("漢")
      (False, True)
    """
    return not text.isascii() and _SPACELESS.search(text) is not None


def spaceless_words(text: str) -> np.ndarray:
    """Returns for each character the number of its word; -1 for scripts with spaces between words.

    In scripts without spaces (Chinese, Japanese, Thai and others) each letter is a word together with its
    combining marks, and consecutive letters of Katakana are one word. Words are counted from 0.

    Returns:
      The numbers of the words, `Int[characters]`.

    Example:
      >>> from jaxlm.tokenizers import spaceless_words
      >>> spaceless_words("東京タワーto見る").tolist()
      [0, 1, 2, 2, 2, -1, -1, 3, 4]
    """
    words, number, before = np.full(len(text), -1), -1, SPACE
    for index, character in enumerate(text):
        kind = character_class(character)
        kind = before if kind == JOINED else kind
        if kind in (GRAPHEME, KATAKANA):
            # A mark belongs to the grapheme before it.
            is_new = kind != before or (kind == GRAPHEME and character_class(character) != JOINED)
            number += is_new
            words[index] = number
        before = kind
    return words


def words_of(text: str) -> list[str]:
    """Returns the words of a text: the parts between white space.

    In scripts without spaces between words (Chinese, Japanese, Thai and others) each letter is a word, and
    consecutive letters of Katakana are one word.

    Example:
      >>> from jaxlm.tokenizers import words_of
      >>> words_of("to be, 東京タワー")
      ['to', 'be,', '東', '京', 'タワー']
    """
    if not has_spaceless(text):
        return text.split()
    numbers = spaceless_words(text)
    bounds = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(text)]
    parts = [text[start:end] for start, end in itertools.pairwise(bounds)]
    return [word for part in parts for word in part.split()]
