"""The bytes of one piece of a vocabulary, as the decoder of a tokenizer writes it inside a text."""

import json
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import tokenizers

from jaxlm.tokenizers._byte_level import to_bytes
from jaxlm.tokenizers._preparation import Preparation, Step, flat_steps, unknown_bytes

# Characters with which every decoder is tested; a wrong one changes letters, signs, spaces or their symbols.
_PROBES = (*map(chr, range(0x20, 0x7F)), "é", "▁", "漢")
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")

PieceBytes = Callable[[str], bytes]


class PieceModel(NamedTuple):
    """The form of a model's pieces, for every kind of model.

    Attributes:
      kind: "BPE", "Unigram", "WordPiece" or "WordLevel".
      continuation: the prefix of a piece that continues a word, `##`; "": none.
      word_end: the suffix of a piece that ends a word, `</w>`; "": none.
      has_byte_pieces: whether `<0x41>` is a byte, for characters without a piece.
      takes_whole_words: whether a word that is a piece is one token, without merges.
      unknown: the piece for what the model cannot write; None: there is none.
    """

    kind: str
    continuation: str = ""
    word_end: str = ""
    has_byte_pieces: bool = False
    takes_whole_words: bool = False
    unknown: str | None = None

    @staticmethod
    def of(backend: tokenizers.Tokenizer) -> "PieceModel":
        """Returns the form of the pieces of a backend's model.

        Example:
          >>> import tokenizers
          >>> from jaxlm.tokenizers._piece_bytes import PieceModel
          >>> backend = tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0}, unk_token="a"))
          >>> PieceModel.of(backend).continuation
          '##'
        """
        model = backend.model
        kind = type(model).__name__
        if kind == "Unigram":
            # The library gives the settings of this model as JSON only.
            state = json.loads(model.__getstate__())
            unknown = None if state["unk_id"] is None else state["vocab"][state["unk_id"]][0]
            return PieceModel(kind, has_byte_pieces=state.get("byte_fallback", False), unknown=unknown)
        return PieceModel(
            kind,
            continuation=getattr(model, "continuing_subword_prefix", None) or "",
            word_end=getattr(model, "end_of_word_suffix", None) or "",
            has_byte_pieces=getattr(model, "byte_fallback", False),
            takes_whole_words=getattr(model, "ignore_merges", False),
            unknown=model.unk_token,
        )


def piece_bytes(
    backend: tokenizers.Tokenizer, model: PieceModel, done: Preparation
) -> tuple[PieceBytes, bool]:
    """Returns the function from a piece to its bytes, and whether it writes a space in front of each word.

    A piece gets the bytes that it has inside a text. Changes by the decoder at the ends of a whole text, or
    after `Fuse`, do not belong to a piece.

    Args:
      backend: of any kind.
      model: the form of its pieces.
      done: its preparation of texts.

    Raises:
      UnknownBytesError: ids do not tell where spaces stood, or the decoder does not undo the preparation.

    Example:
      >>> from jaxlm.tokenizers._piece_bytes import PieceModel, piece_bytes
      >>> from jaxlm.tokenizers._preparation import Preparation
      >>> from tokenizers import Tokenizer, decoders, models
      >>> backend = Tokenizer(models.BPE(byte_fallback=True))
      >>> backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
      >>> of_piece, _ = piece_bytes(backend, PieceModel.of(backend), Preparation())
      >>> of_piece("a"), of_piece("<0xC3>")
      (b'a', b'\\xc3')
    """
    if model.word_end:
        raise unknown_bytes(f"its pieces end words with {model.word_end!r}, not begin them with a space")
    steps: list[Step] = flat_steps(backend.decoder)
    if not steps and model.kind == "WordLevel" and done.divides_words_alone:
        steps = [{"type": "WordPiece", "prefix": ""}]
    spaced = any(step["type"] == "WordPiece" for step in steps)
    _check_words(steps, model, done, spaced=spaced)
    write = _writer(steps, model)
    _check_undone(write, model, done, spaced=spaced)
    return write, spaced


def _writer(steps: Iterable[Step], model: PieceModel) -> PieceBytes:
    changes, finish, is_whole = [], str.encode, False
    for step in steps:
        change = _change(step, model, is_whole=is_whole)
        changes += [] if change is None else [change]
        is_whole = is_whole or step["type"] in ("Fuse", "ByteLevel")
        finish = to_bytes if step["type"] == "ByteLevel" else finish

    def write(piece: str) -> bytes:
        for change in changes:
            piece = change(piece)
        return finish(piece)

    def write_or_byte(piece: str) -> bytes:
        match = _BYTE_PIECE.fullmatch(piece)
        return write(piece) if match is None else bytes.fromhex(match[1])

    return write_or_byte if model.has_byte_pieces else write


def _change(step: Step, model: PieceModel, *, is_whole: bool) -> Callable[[str], str] | None:
    """The change of a single piece by a decoder's step; None if there is none."""
    kind = step["type"]
    if kind in ("Fuse", "ByteLevel", "ByteFallback"):
        return None
    if kind == "WordPiece" and not is_whole:
        return lambda piece: _in_word(piece, model.continuation)
    if kind == "Metaspace":
        return lambda piece: piece.replace(step["replacement"], " ")
    pattern = step["pattern"].get("String") if kind == "Replace" else None
    # Replacing one character gives the same in each piece as in a whole text.
    if pattern is not None and (not is_whole or len(pattern) == 1):
        return lambda piece: piece.replace(pattern, step["content"])
    if is_whole and kind in ("Replace", "Strip"):
        return None
    raise unknown_bytes(f"its decoder's step {kind} changes pieces by what stands beside them")


def _in_word(piece: str, continuation: str) -> str:
    """A continuing piece without its prefix; a piece that begins a word, after a space."""
    if continuation and piece.startswith(continuation):
        return piece[len(continuation) :]
    return " " + piece


def _check_words(steps: list[Step], model: PieceModel, done: Preparation, *, spaced: bool) -> None:
    """Raises an error if pieces do not tell where words begin, or more than white space divides words."""
    prefixes = {step["prefix"] for step in steps if step["type"] == "WordPiece"}
    if model.continuation and prefixes != {model.continuation}:
        raise unknown_bytes(f"its decoder does not join pieces that begin with {model.continuation!r}")
    if spaced and not model.continuation and model.kind != "WordLevel":
        raise unknown_bytes("its pieces do not tell whether they begin a word")
    if not steps and done.drops_white:
        raise unknown_bytes("its file has no decoder, and its ids do not tell where white space stood")
    if spaced and not done.divides_words_alone:
        divider = done.divider or "no pre-tokenizer"
        raise unknown_bytes(
            f"words are divided by {divider}, not by white space alone, so that its ids do not tell where "
            "spaces stood"
        )
    if spaced and (done.mark is not None or done.prefix):
        raise unknown_bytes("spaces are put in front of words twice, before its model and by its decoder")
    if spaced and model.has_byte_pieces:
        raise unknown_bytes("its byte pieces do not tell whether they begin a word")


def _check_undone(write: PieceBytes, model: PieceModel, done: Preparation, *, spaced: bool) -> None:
    """Raises an error if the decoder does not restore a character from the spelling that the model reads."""
    no_spaces = done.drops_white and done.mark is None and not done.prefix
    for probe in _PROBES:
        if probe == done.mark or (probe == " " and no_spaces):
            continue
        spelled = done.spell(probe)
        written = write(model.continuation + spelled)
        expected = probe.encode() if model.continuation or not spaced else b" " + probe.encode()
        if written != expected:
            raise unknown_bytes(
                f"its decoder writes {written.decode(errors='backslashreplace')!r} for {spelled!r}, which is "
                f"{probe!r} in a text"
            )
