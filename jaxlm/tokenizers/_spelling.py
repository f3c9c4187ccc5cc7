"""The spelling of a vocabulary's tokens: bytes as symbols, spaces as SentencePiece's mark, or plain text."""

import json
from typing import NamedTuple

import tokenizers

from jaxlm.tokenizers._byte_level import CONTINUATION, from_symbols, to_symbols
from jaxlm.tokenizers._sentence_pieces import from_piece, spells_spaces, to_pieces


class Spelling(NamedTuple):
    """The spelling of a vocabulary's ordinary tokens, which its decoder undoes.

    Attributes:
      of_bytes: whether each byte is written as a visible symbol, as in GPT-2.
      of_spaces: whether a space is written as the mark `▁`, as in SentencePiece.
    """

    of_bytes: bool
    of_spaces: bool

    @staticmethod
    def of(backend: tokenizers.Tokenizer) -> "Spelling":
        """Returns the spelling of a backend's vocabulary.

        Example:
          >>> from jaxlm.tokenizers._spelling import Spelling
          >>> from tokenizers import Tokenizer, decoders, models
          >>> backend = Tokenizer(models.BPE())
          >>> backend.decoder = decoders.ByteLevel()
          >>> Spelling.of(backend)
          Spelling(of_bytes=True, of_spaces=False)
        """
        decoder = json.dumps(json.loads(backend.to_str())["decoder"], ensure_ascii=False)
        of_bytes = '"ByteLevel"' in decoder
        return Spelling(of_bytes, not of_bytes and spells_spaces(decoder))

    def shown(self, symbols: str) -> str:
        r"""Returns the text of a token.

        Example:
          >>> from jaxlm.tokenizers._spelling import Spelling
          >>> Spelling(True, False).shown("Ġthe"), Spelling(False, True).shown("▁the")
          (' the', ' the')
        """
        if self.of_bytes:
            return from_symbols(symbols)
        return from_piece(symbols) if self.of_spaces else symbols

    def spellings(self, token: str, *, has_mark: bool) -> tuple[str, ...]:
        """Returns the possible spellings of a token in the vocabulary, beside the text itself.

        Args:
          token: the text of a token, as `shown` returns it.
          has_mark: whether continuing pieces begin with `…`, which does not belong to their bytes.

        Example:
          >>> from jaxlm.tokenizers._spelling import Spelling
          >>> Spelling(True, False).spellings(" the", has_mark=False)
          ('Ġthe',)
        """
        if self.of_bytes:
            mark = CONTINUATION if has_mark and token.startswith(CONTINUATION) else ""
            return (mark + to_symbols(token[len(mark) :]),)
        return to_pieces(token) if self.of_spaces else ()
