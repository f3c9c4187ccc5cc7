"""SentencePiece's spelling of pieces: spaces as `▁`, bytes of characters without a piece as `<0xNN>`.

Two spellings are ours. HIDDEN begins a piece that must not be found in a text: one of the other language, if
both sides of a translation share a vocabulary. The pieces after BEYOND are found in texts but have no id;
they are read as unknown.
"""

import re

SPACE_MARK = "▁"
HIDDEN, BEYOND = "\ue0f0", "\ue0f1"  # of Unicode's private use
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def from_piece(piece: str) -> str:
    r"""Returns the text of a piece; a byte that is no text by itself is shown as `\xNN`.

    Example:
      >>> from jaxlm.tokenizers._sentence_pieces import from_piece
      >>> from_piece("▁the"), from_piece("<0x41>"), from_piece("<0xC3>")
      (' the', 'A', '\\xc3')
    """
    if match := _BYTE.fullmatch(piece):
        return bytes.fromhex(match[1]).decode(errors="backslashreplace")
    return piece.removeprefix(HIDDEN).replace(SPACE_MARK, " ")


def to_pieces(text: str) -> tuple[str, ...]:
    """Returns the possible spellings of the piece of a text, the likeliest first.

    Example:
      >>> from jaxlm.tokenizers._sentence_pieces import to_pieces
      >>> to_pieces(" the"), to_pieces("A")
      (('▁the', '\\ue0f0▁the'), ('A', '\\ue0f0A', '<0x41>'))
    """
    piece, data = text.replace(" ", SPACE_MARK), text.encode()
    spelled = (piece, HIDDEN + piece)
    return (*spelled, f"<0x{data[0]:02X}>") if len(data) == 1 else spelled


def spells_spaces(decoder: str) -> bool:
    """Returns whether the pieces of a tokenizer are spelled as SentencePiece's, by the JSON of its decoder.

    Example:
      >>> from jaxlm.tokenizers._sentence_pieces import spells_spaces
      >>> spells_spaces('{"type":"Metaspace","replacement":"▁"}'), spells_spaces('{"type":"WordPiece"}')
      (True, False)
    """
    return SPACE_MARK in decoder or "Metaspace" in decoder
