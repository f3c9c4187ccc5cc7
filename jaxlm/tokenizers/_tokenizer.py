"""Text to ids and back: one frozen class around a Hugging Face tokenizer, for every kind."""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from jaxlm import io
from jaxlm.errors import UsageError
from jaxlm.tokenizers._byte_level import byte_ids
from jaxlm.tokenizers._files import parse_tokenizer
from jaxlm.tokenizers._kinds import Kind, infer_ambiguous, infer_kind
from jaxlm.tokenizers._library import library_errors
from jaxlm.tokenizers._long_texts import LONG_TEXT, cut_text, encode_long
from jaxlm.tokenizers._marian import num_own_ids, own_ids, with_known_code
from jaxlm.tokenizers._residues import CHAIN_SEPARATOR, Ambiguous, check_residues
from jaxlm.tokenizers._roles import Specials, resolve_roles
from jaxlm.tokenizers._spelling import Spelling
from jaxlm.tokenizers._texts import as_texts, check_characters

CANNOT_DIVIDE = "the tokenizer cannot divide this text"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tokenizer:
    """Converts text to ids and back, as Hugging Face's libraries do with the same `tokenizer.json`.

    Special tokens that are written in a text (`[MASK]`, `<mask>`) become their ids. Two tokenizers are equal
    if their files are equal and the same ids have the same roles. A tokenizer is frozen: do not change
    `backend`.

    Attributes:
      backend: the `tokenizers.Tokenizer` of Hugging Face that does the work.
      kind: the kind that jaxlm made, "instructions", "subwords", "bytes" or "residues"; "huggingface" for a
        tokenizer from any other file.
      specials: the ids of the tokens with roles such as mask, pad and eos.

    Example:
      >>> from jaxlm import tokenizers
      >>> tokenizer = tokenizers.bytes_tokenizer()
      >>> tokenizer.encode("hé[MASK]")
      array([104, 195, 169, 259], dtype=int32)
      >>> tokenizer.decode([104, 195, 169, 259])
      'hé[MASK]'
    """

    backend: tokenizers.Tokenizer
    kind: Kind
    specials: Specials

    @classmethod
    def from_json(cls, text: str, roles: Mapping[str, str | None] | None = None) -> "Tokenizer":
        """Returns the tokenizer of a `tokenizer.json`; padding, truncation and BPE dropout are switched off.

        Args:
          text: the text of the file.
          roles: the tokens of roles that a conventional name does not show, by role, such as
            `{"mask": "<mask>"}`. A token of None means that no token has the role. None: all roles are found
            by conventional names.

        Raises:
          ModelError: the text is not that of a tokenizer.json.

        Example:
          >>> from jaxlm.tokenizers import Tokenizer
          >>> from jaxlm import tokenizers
          >>> Tokenizer.from_json(tokenizers.residue_tokenizer().to_json()).specials.mask
          32
        """
        backend = parse_tokenizer(text)
        return cls(backend, infer_kind(backend), resolve_roles(backend, roles or {}))

    @functools.cached_property
    def vocab_size(self) -> int:
        """The highest id plus one, which is the number of rows that an embedding needs."""
        return 1 + max(self._tokens, default=-1)

    @functools.cached_property
    def special_ids(self) -> tuple[int, ...]:
        """All ids that are never masked, drawn at random or predicted, in ascending order.

        The ids are those of special tokens (with or without a role), of the separator between the chains of a
        protein, and ids below `vocab_size` without a token.
        """
        added = self.backend.get_added_tokens_decoder()
        special = {id for id, token in added.items() if token.special}
        roles = {id for id in self.specials if id is not None}
        holes = set(range(self.vocab_size)) - self._tokens.keys()
        separator = self.backend.token_to_id(CHAIN_SEPARATOR) if self.kind == "residues" else None
        separators = set() if separator is None else {separator}
        return tuple(sorted(special | roles | holes | separators))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the JSON with sorted keys and without white space."""
        canonical = json.dumps(json.loads(self.to_json()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def encode(self, text: str, *, add_specials: bool = False) -> np.ndarray:
        """Returns the ids of a text.

        Args:
          text: any string; for the kind "residues" only symbols of residues and special tokens.
          add_specials: whether to add the opening and closing tokens, such as [CLS] and [SEP], that the
            tokenizer's file puts around a text. A file that puts none adds none.

        Returns:
          The ids, `Int32[L]`; an empty array for an empty text without added tokens.

        Raises:
          UsageError: the text cannot be written in UTF-8, or, for the kind "residues", holds something other
            than residues.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizers.residue_tokenizer().encode("MKT", add_specials=True)
          array([ 0, 20, 15, 11,  2], dtype=int32)
        """
        self._check(text)
        if self.kind == "bytes" and not add_specials:
            return byte_ids(text, self._special_tokens)
        if len(text) > LONG_TEXT and not add_specials:
            return encode_long(self._encode_all, self._read(text))
        return self._ids(self.encoding(self._read(text), add_specials=add_specials))

    def encoding(self, text: str, *, add_specials: bool = False) -> tokenizers.Encoding:
        """Returns Hugging Face's `Encoding` of a text: ids, and the start and end of each token in the text.

        Args:
          text: any string; for the kind "residues" only symbols of residues and special tokens.
          add_specials: whether to add the opening and closing tokens that the tokenizer's file puts around a
            text.

        Raises:
          ModelError: the `tokenizers` library cannot divide the text.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizers.residue_tokenizer().encoding("MKT").offsets
          [(0, 1), (1, 2), (2, 3)]
        """
        with library_errors(CANNOT_DIVIDE):
            return self.backend.encode(text, add_special_tokens=add_specials)

    def encode_batch(self, texts: Iterable[str], *, add_specials: bool = False) -> list[np.ndarray]:
        """Returns the ids of each text, as `encode` does, computed on all cores.

        Args:
          texts: the texts, all of which are held in memory. A single string is one text.
          add_specials: whether to add the opening and closing tokens that the tokenizer's file puts around
            each text.

        Returns:
          The ids of each text, `Int32[L]`, in the order of the texts.

        Raises:
          UsageError: a text cannot be encoded (see `encode`); the message names the index of the text.

        Example:
          >>> from jaxlm import tokenizers
          >>> [ids.tolist() for ids in tokenizers.bytes_tokenizer().encode_batch(["ab", ""])]
          [[97, 98], []]
        """
        texts = list(as_texts(texts))
        for index, text in enumerate(texts):
            try:
                self._check(text)
            except UsageError as error:
                raise UsageError(f"text {index} of the batch: {error}") from error
        if self.kind == "bytes" and not add_specials:
            return [byte_ids(text, self._special_tokens) for text in texts]
        texts = [self._read(text) for text in texts]
        is_long = [len(text) > LONG_TEXT and not add_specials for text in texts]
        short = [text for text, long in zip(texts, is_long, strict=True) if not long]
        ids = iter(self._encode_all(short, add_specials=add_specials))
        pairs = zip(texts, is_long, strict=True)
        return [encode_long(self._encode_all, text) if long else next(ids) for text, long in pairs]

    def pieces(self, text: str) -> Iterator[tuple[int, str]]:
        """Yields the parts into which a long text can be divided without a change of its ids.

        Each part comes as a pair of its offset in the text, in characters, and the part. The ids of the
        parts, joined, are the ids of the text.

        Parts limit the memory for results that take much memory for each character, such as the offsets of
        tokens.

        Args:
          text: any string that `encode` takes. A text that is not long is a single part.

        Raises:
          UsageError: the text cannot be encoded (see `encode`).

        Example:
          >>> from jaxlm import tokenizers
          >>> list(tokenizers.residue_tokenizer().pieces("MKT"))
          [(0, 'MKT')]
        """
        if len(text) <= LONG_TEXT:
            yield 0, text
        else:
            yield from cut_text(self._encode_all, text)

    def decode(self, ids: Iterable[Any]) -> str:
        """Returns the text of ids, with special tokens written out.

        `decode(encode(text))` is `text` for bytes, residues and subwords, and for instructions `text` with
        single spaces.

        Args:
          ids: the ids as integers, `Int[L]`, in a list or an array.

        Returns:
          The text. Bytes that are not valid UTF-8 become U+FFFD.

        Raises:
          UsageError: an id is not in the vocabulary.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizers.residue_tokenizer().decode([20, 15, 32])
          'MK<mask>'
        """
        numbers = np.asarray(ids if hasattr(ids, "__array__") else list(ids), dtype=np.int64).tolist()
        for id in (min(numbers, default=0), max(numbers, default=0)):
            self._check_id(id)
        with library_errors("the tokenizer cannot write these ids as text"):
            return self.backend.decode(numbers, skip_special_tokens=False)

    def token(self, id: int | np.integer) -> str:
        r"""Returns the text of one id, with `…` in front of a piece that continues a word.

        A piece of SentencePiece has a space in front where the file has `▁`.

        Args:
          id: an id below `vocab_size`.

        Returns:
          The text of the token. Bytes that are not valid UTF-8 by themselves are written as `\xNN`, and an id
          without a token as `<hole N>`.

        Raises:
          UsageError: the id is not in the vocabulary.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizer = tokenizers.bytes_tokenizer()
          >>> tokenizer.token(97), tokenizer.token(195), tokenizer.token(259)
          ('a', '\\xc3', '[MASK]')
        """
        self._check_id(id)
        symbols = self._tokens.get(int(id), f"<hole {id}>")
        return symbols if id in self.special_ids else self._spelling.shown(symbols)

    def id(self, token: str) -> int | None:
        """Returns the id of a token; None if the vocabulary has no such token.

        The token may be written as `token` returns it, or as the tokenizer's file spells it.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizer = tokenizers.bytes_tokenizer()
          >>> tokenizer.id("[MASK]"), tokenizer.id(" "), tokenizer.id("ab")
          (259, 32, None)
        """
        spelled = self.backend.token_to_id(token)
        # The text may itself be the byte symbol of another token; the token with that text is preferred.
        if spelled is not None and (not self._spelling.of_bytes or spelled in self.special_ids):
            return spelled
        spellings = self._spelling.spellings(token, has_mark=self.kind == "instructions")
        ids = (self.backend.token_to_id(spelling) for spelling in spellings)
        return next((id for id in ids if id is not None), spelled)

    def name_of(self, id: int) -> str:
        """Returns the token of an id as the tokenizer's file spells it.

        Args:
          id: an id below `vocab_size`.

        Raises:
          UsageError: no token has the id.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizers.bytes_tokenizer().name_of(258)
          '[CLS]'
        """
        name = self.backend.id_to_token(int(id))
        if name is None:
            raise UsageError(f"no token has id {id}: ids go from 0 to {self.vocab_size - 1}")
        return name

    def to_json(self) -> str:
        """Returns the tokenizer as the text of a `tokenizer.json`, which `from_json` reads.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizers.bytes_tokenizer().to_json()[:16]
          '{"version":"1.0"'
        """
        return self.backend.to_str()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the tokenizer as a `tokenizer.json`, atomically.

        Roles of tokens without a conventional name are written into `tokenizer_config.json` in the same
        folder, where `transformers` looks for them; the other entries of that file are kept.

        Args:
          path: the path of the file, or of an existing folder, in which `tokenizer.json` is written.

        Raises:
          WriteError: a file cannot be written.

        Example:
          >>> import tempfile
          >>> from jaxlm import tokenizers
          >>> with tempfile.TemporaryDirectory() as folder:
          ...     tokenizers.bytes_tokenizer().save(folder)
          ...     tokenizers.load_tokenizer(folder).kind
          'bytes'
        """
        path = Path(path)
        path = path / "tokenizer.json" if path.is_dir() else path
        io.write_text(path, self.backend.to_str(pretty=True))
        if self.specials != resolve_roles(self.backend, {}):
            file = path.with_name("tokenizer_config.json")
            known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
            config = known | self.role_settings()
            io.write_text(file, json.dumps(config, indent=2, ensure_ascii=False))

    def role_names(self) -> dict[str, str | None]:
        """Returns the token of every role, such as "mask"; None for a role that no token has.

        The argument `roles` of `from_json` takes the result.

        Example:
          >>> from jaxlm import tokenizers
          >>> names = tokenizers.bytes_tokenizer().role_names()
          >>> names["cls"], names["bos"]
          ('[CLS]', None)
        """
        return {role: self._tokens.get(id) for role, id in self.specials._asdict().items()}

    def role_settings(self) -> dict[str, str | None]:
        """Returns the entries of tokenizer_config.json that name the token of each role, such as "cls_token".

        An entry is None if no token has the role although the name of a token suggests it. Other roles
        without a token have no entry.

        Example:
          >>> from jaxlm import tokenizers
          >>> tokenizers.residue_tokenizer().role_settings()["cls_token"]
          '<cls>'
        """
        usual = resolve_roles(self.backend, {})._asdict()
        names = self.role_names().items()
        return {f"{role}_token": name for role, name in names if name is not None or usual[role] is not None}

    @functools.cached_property
    def _tokens(self) -> dict[int, str]:
        tokens = {id: token for token, id in self.backend.get_vocab(with_added_tokens=True).items()}
        return tokens if self._num_own is None else {id: tokens[id] for id in range(self._num_own)}

    @functools.cached_property
    def _num_own(self) -> int | None:
        return num_own_ids(self.backend)

    @property
    def _unknown(self) -> int:
        """The id of the unknown token, which every Marian vocabulary has."""
        if self.specials.unk is None:
            raise AssertionError("a Marian vocabulary has an unknown token, got none")
        return self.specials.unk

    def _read(self, text: str) -> str:
        """The text in the form that the backend reads."""
        if self._num_own is None:
            return text
        return with_known_code(self.backend, text, self._tokens[self._unknown])

    def _encode_all(self, texts: Sequence[str], *, add_specials: bool = False) -> list[np.ndarray]:
        """The ids of texts, which the library holds in memory together."""
        with library_errors(CANNOT_DIVIDE):
            encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=add_specials)
        return [self._ids(encoding) for encoding in encodings]

    def _ids(self, encoding: tokenizers.Encoding) -> np.ndarray:
        if self._num_own is None:
            return np.asarray(encoding.ids, dtype=np.int32)
        return own_ids(self.backend, encoding, self._num_own, self._unknown)

    @functools.cached_property
    def _special_tokens(self) -> dict[str, int]:
        return {self._tokens[id]: id for id in self.special_ids if id in self._tokens}

    @functools.cached_property
    def _ambiguous(self) -> Ambiguous | None:
        return infer_ambiguous(self.backend)

    @functools.cached_property
    def _spelling(self) -> Spelling:
        return Spelling.of(self.backend)

    def _check(self, text: str) -> None:
        if self._ambiguous is not None:
            check_residues(text, self._ambiguous)
        check_characters(text)

    def _check_id(self, id: int | np.integer) -> None:
        if not 0 <= id < self.vocab_size:
            raise UsageError(f"no token has id {id}: ids go from 0 to {self.vocab_size - 1}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (self.fingerprint, self.specials) == (other.fingerprint, other.specials)

    def __hash__(self) -> int:
        return hash((self.fingerprint, self.specials))

    def __repr__(self) -> str:
        return (
            f"Tokenizer({self.kind!r}, vocab_size={self.vocab_size}, fingerprint={self.fingerprint[:12]!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.from_json, (self.to_json(), self.role_names())
