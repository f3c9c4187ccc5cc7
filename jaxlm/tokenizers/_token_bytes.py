"""The bytes of every id: what a token writes inside a text, where its tokenizer's file tells it."""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import tokenizers
from tokenizers import AddedToken

from jaxlm.errors import UsageError
from jaxlm.tokenizers._piece_bytes import PieceBytes, PieceModel, piece_bytes
from jaxlm.tokenizers._preparation import preparation
from jaxlm.tokenizers._residues import CHAIN_SEPARATOR
from jaxlm.tokenizers._text_losses import text_losses
from jaxlm.tokenizers._tokenizer import Tokenizer


class TokenBytes(NamedTuple):
    """The bytes of every id of a tokenizer, and what stands between them and a text.

    With `ids = tokenizer.encode(text)`, none of them None in `values`, and a text that has nothing of what
    `losses` lists::

        b"".join(values[id] for id in ids) == prefix + text.encode()

    Some texts get no prefix: one that is empty, which has no ids, one that begins with an added token, and,
    unless `prefixes_spaces`, one that begins with a space. Bytes of single ids need not be UTF-8, several ids
    may have the same bytes, and an id may have none, `b""`.

    Attributes:
      values: by id, its bytes inside a text; None: it stands for no text of its own (specials, what is
        unknown, ids without a token).
      prefix: what the tokenizer puts in front of a text: `b" "` where its words begin with spaces and the
        first one too, else `b""`.
      prefixes_spaces: whether the prefix stands in front of a text that begins with a space, too.
      prefixes_parts: whether the prefix stands in front of text behind an added token or a special, too.
      losses: what of a text its ids do not give back, a phrase each; empty: every text comes back.

    Example:
      >>> from jaxlm.tokenizers import token_bytes
      >>> from jaxlm import tokenizers
      >>> found = token_bytes(tokenizers.bytes_tokenizer())
      >>> found.values[195], found.values[259], found.prefix, found.losses
      (b'\\xc3', None, b'', ())
    """

    values: tuple[bytes | None, ...]
    prefix: bytes = b""
    prefixes_spaces: bool = False
    prefixes_parts: bool = False
    losses: tuple[str, ...] = ()

    def text(self, ids: Iterable[int] | np.ndarray) -> bytes:
        """Returns the bytes of a text, by its ids from the first on: without the prefix.

        Args:
          ids: integers `[L]`.

        Raises:
          UsageError: if an id has no bytes.

        Example:
          >>> from jaxlm.tokenizers import TokenBytes
          >>> TokenBytes((b" to", b" be"), prefix=b" ").text([0, 1])
          b'to be'
        """
        parts = []
        for position, id in enumerate(np.asarray(list(ids), dtype=np.int64).tolist()):
            data = self.values[id] if 0 <= id < len(self.values) else None
            if data is None:
                raise UsageError(
                    f"id {id} at position {position} has no bytes: it stands for no text of its own"
                )
            parts.append(data)
        return b"".join(parts).removeprefix(self.prefix)


def token_bytes(tokenizer: Tokenizer, *, rows: int | None = None) -> TokenBytes:
    """Returns the bytes of every id, read off what the tokenizer's file does to texts; found once, and kept.

    Byte-level pieces are written in symbols of bytes, SentencePiece's with `▁` for a space, and as `<0x41>`
    where their model falls back on bytes. Pieces that go on with a word (`##ing`) are told from those that
    begin one, which get a space in front, where words are divided by white space alone. Added tokens that are
    no specials have the bytes of the text that they are found in. Residues are their letters.

    Args:
      tokenizer: of any kind.
      rows: ids of a model's head; None: `tokenizer.vocab_size`. Ids beyond the tokenizer have no bytes.

    Returns:
      `TokenBytes`, with as many values as rows.

    Raises:
      UnknownBytesError: if the file does not tell the bytes: BERT's word pieces, of which no id tells whether
        a space stood in front of a comma.

    Example:
      >>> from jaxlm.tokenizers import token_bytes
      >>> from jaxlm import tokenizers
      >>> tokenizer = tokenizers.train_instructions(["xor rax rax [NEXT] ret"], vocab_size=512)
      >>> found = token_bytes(tokenizer)
      >>> [found.values[id] for id in tokenizer.encode("xor -8 [NEXT]")]
      [b' xor', b' -', b'8', None]
      >>> found.text(tokenizer.encode("xor -8")), found.losses
      (b'xor -8', ('white space but for single spaces between words',))
    """
    separator = tokenizer.backend.token_to_id(CHAIN_SEPARATOR) if tokenizer.kind == "residues" else None
    specials = tuple(id for id in tokenizer.special_ids if id != separator)
    found = _found(tokenizer.backend, tokenizer.vocab_size, specials)
    if rows is None or rows == len(found.values):
        return found
    return found._replace(values=(*found.values, *[None] * (rows - len(found.values)))[:rows])


# By the backend, not by the tokenizer: to compare tokenizers is to read their files.
@functools.lru_cache(maxsize=8)
def _found(backend: tokenizers.Tokenizer, vocab_size: int, specials: tuple[int, ...]) -> TokenBytes:
    model, done = PieceModel.of(backend), preparation(backend)
    of_piece, spaced = piece_bytes(backend, model, done)
    pieces = backend.get_vocab(with_added_tokens=False)
    added = {id: token for id, token in backend.get_added_tokens_decoder().items() if not token.special}
    of_text, of_pieces = _added_bytes(backend, added), _piece_values(pieces, of_piece)
    # What the model divides texts into goes before what the id stands for besides.
    values: dict[int, bytes | None] = of_text | of_pieces | dict.fromkeys(specials)
    if model.unknown is not None and model.unknown in pieces:
        values[pieces[model.unknown]] = None
    two = [added[id].content for id, data in of_text.items() if values[id] not in (data, None)]
    losses = text_losses(model, done, pieces, added.values(), spaced=spaced)
    # A text with the mark of a space in it is lost already.
    other = [text for text in two if done.mark is None or done.mark not in text]
    losses += tuple(f"{text!r}, an added token and a piece of other bytes" for text in other)
    return TokenBytes(
        tuple(values.get(id) for id in range(vocab_size)),
        b" " if spaced else done.prefix_bytes,
        done.prefixes_spaces,
        spaced or done.prefixes_parts,
        losses,
    )


def _piece_values(pieces: Mapping[str, int], of_piece: PieceBytes) -> dict[int, bytes | None]:
    """The bytes of the model's ids; None of an id that two pieces of different bytes share."""
    values: dict[int, bytes | None] = {}
    for piece, id in pieces.items():
        data = of_piece(piece)
        values[id] = data if values.get(id, data) == data else None
    return values


def _added_bytes(backend: tokenizers.Tokenizer, added: Mapping[int, AddedToken]) -> dict[int, bytes]:
    """The bytes of the text in which each added token is found: as it came, or as the normalizer left it."""
    done, normalizer = preparation(backend, before_division=True), backend.normalizer
    return {
        id: done.read(normalizer.normalize_str(token.content))
        if token.normalized and normalizer is not None
        else token.content.encode()
        for id, token in added.items()
    }
