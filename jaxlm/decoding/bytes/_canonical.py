"""The canonical ids of bytes: those that a tokenizer gives a text, for any bytes and at any place of a text.

A prefix of a text may end inside a character, and a tokenizer reads whole characters only. Byte-level models
are then asked for the merges of the last word's bytes, and SentencePiece spells the bytes of the character by
themselves.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import tokenizers as hf

from jaxlm import tokenizers
from jaxlm.errors import UsageError

# A text is divided anew from an anchor on, which moves each time that so many bytes lie behind it.
WINDOW = 256
# Bytes that complete a character: the first that fit; the last ones are letters for most first bytes.
_SECOND_BYTES = (0xBF, 0x9F, 0x8F)
_WHITE = b" \t\r\n"


class Prefix(NamedTuple):
    """The canonical ids of a prefix of some bytes, from an anchor on.

    Attributes:
      length: how many bytes the prefix has.
      ids: the ids behind the anchor; None where no ids spell the bytes, for instance inside a character.
      num_fixed: how many of the first of these ids lie before the anchor of the next prefix.
    """

    length: int
    ids: tuple[int, ...] | None
    num_fixed: int = 0


class CanonicalEncoder:
    """Gives bytes the ids that a tokenizer gives them inside a text.

    Special tokens that are written in a text are plain text here.

    Attributes:
      table: the bytes of the tokenizer's ids.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding.bytes._canonical import CanonicalEncoder
      >>> encoder = CanonicalEncoder(tokenizers.train_subwords(["to be or not to be"] * 9, vocab_size=262))
      >>> encoder.spelled(encoder.encode("é be".encode()[:1]))
      b'\\xc3'
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, table: tokenizers.TokenBytes | None = None) -> None:
        self.table = tokenizers.token_bytes(tokenizer) if table is None else table
        # A copy, because the setting is the backend's, and the tokenizer of a user keeps its own.
        self._backend = hf.Tokenizer.from_str(tokenizer.to_json())
        self._backend.encode_special_tokens = True
        values = [(id, data) for id, data in enumerate(self.table.values) if data]
        single: dict[int, int] = {}
        for id, data in values:
            if len(data) == 1:
                single.setdefault(data[0], id)
        self._single = single
        # Where every token is one byte there is nothing to divide.
        self._is_plain = len(values) == len(single) and not self.table.prefix
        spelled = {byte: self._backend.id_to_token(id) or "" for byte, id in single.items()}
        self._symbols = {byte: token for byte, token in spelled.items() if len(token) == 1}
        self._is_byte_level = 0x80 in self._symbols

    def spelled(self, ids: Iterable[int]) -> bytes | None:
        """Returns the bytes of ids, the tokenizer's prefix included; None if one of them has no bytes."""
        values = self.table.values
        parts = [values[id] if id < len(values) else None for id in ids]
        return None if None in parts else b"".join(part for part in parts if part)

    def encode(self, data: bytes) -> tuple[int, ...] | None:
        """Returns the ids that spell some bytes; None if the tokenizer gives none that do.

        Args:
          data: bytes of a text, which may begin and end inside a character; at the beginning of a text with
            the tokenizer's prefix in front.
        """
        return self.encode_batch([data])[0]

    def encode_batch(self, parts: Sequence[bytes]) -> list[tuple[int, ...] | None]:
        """Returns `encode` of several, whose whole texts are divided together."""
        if self._is_plain:
            return [self._plain(data) for data in parts]
        texts: dict[int, str] = {}
        for index, data in enumerate(parts):
            try:
                texts[index] = self._unprefixed(data.decode())
            except UnicodeDecodeError:
                continue
        encoded = self._encodings(list(texts.values()))
        whole = dict(zip(texts, (tuple(encoding.ids) for encoding in encoded), strict=True))
        results = [whole[index] if index in whole else self._broken(data) for index, data in enumerate(parts)]
        return [
            ids if ids is not None and self.spelled(ids) == data else None
            for ids, data in zip(results, parts, strict=True)
        ]

    def prefixes(self, data: bytes) -> Iterator[Prefix]:
        """Yields the canonical ids of `data[:1]`, `data[:2]` and so on, each behind the anchor of its time.

        Args:
          data: bytes of a text from its beginning, with the tokenizer's prefix in front.
        """
        anchor, length = 0, 1
        while length <= len(data):
            last = min(len(data), anchor + (-(-(length - anchor) // WINDOW)) * WINDOW)
            all_ids = self.encode_batch([data[anchor:end] for end in range(length, last + 1)])
            for end, ids in enumerate(all_ids, start=length):
                fixed, num_bytes = self.fixed(data[anchor:end], ids)
                yield Prefix(end, ids, fixed)
                anchor += num_bytes
            length = last + 1

    def fixed(self, tail: bytes, ids: tuple[int, ...] | None) -> tuple[int, int]:
        """Returns how many ids and bytes behind an anchor the next anchor lies; (0, 0): it stays.

        The bytes behind the new anchor must have the same ids by themselves. A space begins words in most
        tokenizers, so that anchors in front of one are tried first.

        Args:
          tail: the bytes behind the anchor.
          ids: those of `tail`.
        """
        if len(tail) % WINDOW or ids is None:
            return 0, 0
        ends = itertools.accumulate(len(self.table.values[id] or b"") for id in ids)
        places = [(count, end) for count, end in enumerate(ends, start=1) if 0 < end <= len(tail) // 2]
        before_space = [place for place in places if tail[place[1]] in _WHITE]
        for count, end in (
            itertools.islice(reversed(places), 32) if not before_space else reversed(before_space)
        ):
            if self.encode(tail[end:]) == ids[count:]:
                return count, end
        return 0, 0

    def _plain(self, data: bytes) -> tuple[int, ...] | None:
        ids = tuple(self._single.get(byte, -1) for byte in data)
        return None if -1 in ids else ids

    def _unprefixed(self, text: str) -> str:
        """The text before which the tokenizer puts its prefix, if it does so before spaces too."""
        return text.removeprefix(self.table.prefix.decode()) if self.table.prefixes_spaces else text

    def _encodings(self, texts: list[str]) -> list[hf.Encoding]:
        try:
            return self._backend.encode_batch(texts, add_special_tokens=False)
        except Exception as error:  # the library raises plain exceptions where a model cannot divide a text
            raise UsageError(f"the tokenizer cannot divide this text: {error}") from error

    def _broken(self, data: bytes) -> tuple[int, ...] | None:
        """The ids of bytes that are no text: of a text with parts of characters in it, or behind it."""
        try:
            return tuple(self._encodings([self._unprefixed(data.decode())])[0].ids)
        except UnicodeDecodeError as error:
            start, end, is_cut = error.start, error.end, error.reason == "unexpected end of data"
        before, broken = data[:start], data[start:end]
        if is_cut and end == len(data) and self._is_byte_level:
            ids = self._cut_word(before, broken)
            if ids is not None:
                return ids
        parts = [() if not before else self.encode(before), self._plain(broken)]
        parts.append(() if end == len(data) else self.encode(data[end:]))
        if any(part is None for part in parts):
            return None
        return tuple(id for part in parts if part is not None for id in part)

    def _cut_word(self, before: bytes, broken: bytes) -> tuple[int, ...] | None:
        """The ids of a text and the first bytes of a character, by the merges of the last word's bytes."""
        whole = _completed(broken)
        if whole is None:
            return None
        encoding = self._encodings([self._unprefixed((before + whole).decode())])[0]
        words = encoding.word_ids
        first = next((index for index, word in enumerate(words) if word == words[-1]), 0)
        word = self.spelled(encoding.ids[first:])
        if word is None or not word.endswith(whole):
            return None
        symbols = [self._symbols.get(byte) for byte in word[: len(word) - len(whole)] + broken]
        if None in symbols:
            return None
        tokens = self._backend.model.tokenize("".join(symbol for symbol in symbols if symbol))
        return (*encoding.ids[:first], *(token.id for token in tokens))


def _completed(broken: bytes) -> bytes | None:
    """A character that begins with some bytes; None if there is none."""
    size = 2 if broken[0] < 0xE0 else 3 if broken[0] < 0xF0 else 4
    for second in _SECOND_BYTES:
        whole = (broken + bytes([second] if len(broken) == 1 else [0xBF]) + b"\xbf\xbf\xbf")[:size]
        try:
            whole.decode()
        except UnicodeDecodeError:
            continue
        return whole
    return None
