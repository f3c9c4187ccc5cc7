"""What of a text its ids do not give back, in words."""

from collections.abc import Container, Iterable

from tokenizers import AddedToken

from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS
from jaxlm.tokenizers._piece_bytes import PieceModel
from jaxlm.tokenizers._preparation import Preparation

# Bytes that no UTF-8 has, those that only go on with a character, and white space of ASCII.
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
    """Returns what of a text changes on the way to ids and back to bytes, a phrase each.

    Args:
      model: what the model says of its pieces.
      done: what is done to a text in front of it.
      pieces: those of the model.
      added: tokens that are looked for in texts and are no specials.
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
    """What added tokens do to the text beside them; it depends on the place, not on the token's bytes."""
    losses = []
    if added and (spaced or done.drops_white or any(token.lstrip or token.rstrip for token in added)):
        losses.append("white space beside added tokens")
    if added and (spaced or done.prefixes_parts):
        losses.append("text behind an added token, which gets a space in front")
    return losses


def _drops_characters(model: PieceModel, done: Preparation, pieces: Container[str]) -> bool:
    """Whether merges have neither pieces for every character nor one for those that are unknown."""
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
