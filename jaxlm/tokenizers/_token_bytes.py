"""The bytes of every id: what a token writes inside a text, if the tokenizer's file determines it."""

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
    """The bytes of every id of a tokenizer, and how the bytes of a text are made of them.

    If no id of `ids = tokenizer.encode(text)` has the value None, and the text has nothing that `losses`
    lists, then::

        b"".join(values[id] for id in ids) == prefix + text.encode()

    Some texts get no prefix: an empty text, which has no ids; a text that begins with an added token; and,
    unless `prefixes_spaces`, a text that begins with a space. The bytes of a single id need not be valid
    UTF-8, several ids may have the same bytes, and an id may have no bytes, `b""`.

    Attributes:
      values: the bytes of each id inside a text, indexed by the id. None: the id stands for no text (special
        tokens, the unknown token, and ids without a token).
      prefix: the bytes that the tokenizer adds in front of a text: `b" "` if every word, even the first of a
        text, begins with a space; else `b""`.
      prefixes_spaces: whether the prefix is also added in front of a text that begins with a space.
      prefixes_parts: whether the prefix is also added after an added or special token.
      losses: phrases that say what of a text cannot be restored from its ids. Empty: every text is restored.

    Example:
      >>> from jaxlm.tokenizers import token_bytes
      >>> from jaxlm import tokenizers
      >>> table = token_bytes(tokenizers.bytes_tokenizer())
      >>> table.values[195], table.values[259], table.prefix, table.losses
      (b'\\xc3', None, b'', ())
    """

    values: tuple[bytes | None, ...]
    prefix: bytes = b""
    prefixes_spaces: bool = False
    prefixes_parts: bool = False
    losses: tuple[str, ...] = ()

    def text(self, ids: Iterable[int] | np.ndarray) -> bytes:
        """Returns the bytes of a text from all its ids, without the prefix.

        Args:
          ids: the ids as integers, `Int[L]`.

        Raises:
          UsageError: the value of an id is None.

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
    """Returns the bytes of a text for which each id of a tokenizer stands; the result is cached.

    The bytes follow from the tokenizer's file. Pieces of byte-level tokenizers are written with one symbol
    for each byte; pieces of SentencePiece have `▁` for a space, and `<0x41>` for a single byte. If white
    space alone divides words, a piece that begins a word gets a space in front, unlike a piece that continues
    a word (`##ing`). An added token that is not special has the bytes of the text that it matches. A residue
    has the byte of its letter.

    Args:
      tokenizer: a tokenizer of any kind.
      rows: the number of ids for which a model computes logits. Ids beyond those of the tokenizer have the
        value None. None: `tokenizer.vocab_size`.

    Returns:
      A `TokenBytes` with one value for each of the `rows` ids.

    Raises:
      UnknownBytesError: the file does not determine the bytes. With BERT's word pieces, for example, no id
        says whether a space stood in front of a comma.

    Example:
      >>> from jaxlm.tokenizers import token_bytes
      >>> from jaxlm import tokenizers
      >>> tokenizer = tokenizers.train_instructions(["xor rax rax [NEXT] ret"], vocab_size=512)
      >>> table = token_bytes(tokenizer)
      >>> [table.values[id] for id in tokenizer.encode("xor -8 [NEXT]")]
      [b' xor', b' -', b'8', None]
      >>> table.text(tokenizer.encode("xor -8")), table.losses
      (b'xor -8', ('white space but for single spaces between words',))
    """
    separator = tokenizer.backend.token_to_id(CHAIN_SEPARATOR) if tokenizer.kind == "residues" else None
    specials = tuple(id for id in tokenizer.special_ids if id != separator)
    table = _table(tokenizer.backend, tokenizer.vocab_size, specials)
    if rows is None or rows == len(table.values):
        return table
    return table._replace(values=(*table.values, *[None] * (rows - len(table.values)))[:rows])


# The key is the backend, because comparing two tokenizers means to serialise both.
@functools.lru_cache(maxsize=8)
def _table(backend: tokenizers.Tokenizer, vocab_size: int, specials: tuple[int, ...]) -> TokenBytes:
    model, done = PieceModel.of(backend), preparation(backend)
    of_piece, spaced = piece_bytes(backend, model, done)
    pieces = backend.get_vocab(with_added_tokens=False)
    added = {id: token for id, token in backend.get_added_tokens_decoder().items() if not token.special}
    of_text, of_pieces = _added_bytes(backend, added), _piece_values(pieces, of_piece)
    # For an id that is both a piece and an added token, the bytes of the piece are taken.
    values: dict[int, bytes | None] = of_text | of_pieces | dict.fromkeys(specials)
    if model.unknown is not None and model.unknown in pieces:
        values[pieces[model.unknown]] = None
    two = [added[id].content for id, data in of_text.items() if values[id] not in (data, None)]
    losses = text_losses(model, done, pieces, added.values(), spaced=spaced)
    # Texts with the mark of a space are among the losses already.
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
    """The bytes of the model's ids; None for an id that two pieces of different bytes share."""
    values: dict[int, bytes | None] = {}
    for piece, id in pieces.items():
        data = of_piece(piece)
        values[id] = data if values.get(id, data) == data else None
    return values


def _added_bytes(backend: tokenizers.Tokenizer, added: Mapping[int, AddedToken]) -> dict[int, bytes]:
    """The bytes of the text in which each added token is found: the original or the normalized text."""
    done, normalizer = preparation(backend, before_division=True), backend.normalizer
    return {
        id: done.read(normalizer.normalize_str(token.content))
        if token.normalized and normalizer is not None
        else token.content.encode()
        for id, token in added.items()
    }
