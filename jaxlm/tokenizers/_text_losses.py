"""Phrases for the parts of a text that its ids do not restore."""

from collections.abc import Container, Iterable

from tokenizers import AddedToken

from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS
from jaxlm.tokenizers._piece_bytes import PieceModel
from jaxlm.tokenizers._preparation import Preparation

# Bytes that never occur in UTF-8, bytes that only continue a character, and white space of ASCII.
_NEVER = frozenset((0xC0, 0xC1, *range(0xF5, 0x100)))
_TRAIL = frozenset(range(0x80, 0xC0))
_WHITE = frozenset((*range(0x09, 0x0E), 0x20))


def text_losses(
    model: PieceModel,
    done: Preparation,
    pieces: Container[str],
    added: Iterable[AddedToken],
    *,
    spaced: bool,
) -> tuple[str, ...]:
    """Returns phrases for what changes in a text on the way to ids and back to bytes.

    Args:
      model: the form of the model's pieces.
      done: the preparation of texts.
      pieces: the pieces of the model.
      added: added tokens that are not special.
      spaced: whether a space is written in front of each piece that begins a word.

    Example:
      >>> from jaxlm.tokenizers._piece_bytes import PieceModel
      >>> from jaxlm.tokenizers._preparation import Preparation
      >>> from jaxlm.tokenizers._text_losses import text_losses
      >>> model = PieceModel("WordPiece", continuation="##")
      >>> text_losses(model, Preparation(drops_white=True), {}, [], spaced=True)
      ('white space but for single spaces between words', "words that begin with '##'")
    """
    losses = list(done.losses)
    if done.drops_white:
        keeps_single = spaced or done.marks_words
        losses.append("white space" + " but for single spaces between words" * keeps_single)
    losses += _beside_added(done, list(added), spaced=spaced)
    if model.continuation and not (done.of_bytes and not set(model.continuation) <= set(BYTE_SYMBOLS)):
        losses.append(f"words that begin with {model.continuation!r}")
    if model.has_byte_pieces and (model.kind == "Unigram" or model.takes_whole_words):
        losses.append("names of bytes such as '<0x41>', which become the byte")
    if _drops_characters(model, done, pieces):
        losses.append("characters that no piece has, which are left out")
    return tuple(losses)


def _beside_added(done: Preparation, added: list[AddedToken], *, spaced: bool) -> list[str]:
    """The losses beside added tokens."""
    losses = []
    if added and (spaced or done.drops_white or any(token.lstrip or token.rstrip for token in added)):
        losses.append("white space beside added tokens")
    if added and (spaced or done.prefixes_parts):
        losses.append("text behind an added token, which gets a space in front")
    return losses


def _drops_characters(model: PieceModel, done: Preparation, pieces: Container[str]) -> bool:
    """Whether a BPE model lacks pieces for some characters and has no unknown piece."""
    if model.kind != "BPE" or model.unknown is not None:
        return False
    possible = frozenset(range(256)) - _NEVER
    if not done.of_bytes:
        return not (model.has_byte_pieces and all(f"<0x{byte:02X}>" in pieces for byte in possible))
    possible -= _WHITE if done.drops_white else frozenset()
    opening = possible - _TRAIL if model.continuation else possible
    needed = [BYTE_SYMBOLS[byte] for byte in opening]
    needed += [model.continuation + BYTE_SYMBOLS[byte] for byte in possible]
    return any(piece not in pieces for piece in needed)
