"""Byte-pair merges for pretokens, in which the first byte and the others have different symbols.

Hugging Face's trainer numbers continuation symbols in the order of a hash map, so that ties between merges,
and the file, differ from run to run. Here every byte gets two private characters before training, one for the
first position and one for all others. All symbols are then in the initial alphabet, and the result depends on
the counts alone.
"""

import json
from collections.abc import Iterator, Mapping

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS, CONTINUATION

_FIRST, _NEXT = 0xE000, 0xE100

# The bytes in UTF-8 text without white space: ASCII without its six white-space characters, then lead and
# trail bytes.
_ASCII = tuple(byte for byte in range(0x80) if byte not in (*range(0x09, 0x0E), 0x20))
_LEAD, _TRAIL = tuple(range(0xC2, 0xF5)), tuple(range(0x80, 0xC0))

ALPHABET: tuple[str, ...] = (
    *(BYTE_SYMBOLS[byte] for byte in (*_ASCII, *_LEAD)),
    *(CONTINUATION + BYTE_SYMBOLS[byte] for byte in (*_ASCII, *_LEAD, *_TRAIL)),
)
_INITIAL = [
    *(chr(_FIRST + byte) for byte in (*_ASCII, *_LEAD)),
    *(chr(_NEXT + byte) for byte in (*_ASCII, *_LEAD, *_TRAIL)),
]
_TO_NEXT = {byte: _NEXT + byte for byte in range(256)}


def train_pieces(counts: Mapping[str, int], num_merges: int) -> list[tuple[str, str]]:
    """Returns up to `num_merges` merges, the most frequent first: pairs of symbols of `ALPHABET`, or merged.

    Args:
      counts: counts of pretokens.
      num_merges: an upper bound; merging ends when no pair occurs twice.

    Returns:
      Pairs such as `("s", "…e")`, which make `"se"`, and `("…l", "…f")`, which make `"…lf"`.

    Example:
      >>> from jaxlm.tokenizers._pieces import train_pieces
      >>> train_pieces({"self": 9, "elf": 1, "telf": 1}, 3)
      [('…l', '…f'), ('…e', '…lf'), ('s', '…elf')]
    """
    if num_merges <= 0 or not counts:
        return []
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(_INITIAL) + num_merges, min_frequency=2, initial_alphabet=_INITIAL, show_progress=False
    )
    backend.train_from_iterator(_repeated(counts), trainer)
    merges = json.loads(backend.to_str())["model"]["merges"]
    return [(_spelled(left), _spelled(right)) for left, right in merges]


def _repeated(counts: Mapping[str, int], block: int = 1000) -> Iterator[str]:
    """Every pretoken repeated by its count, because the trainer takes texts and no counts."""
    for pretoken, count in counts.items():
        private = _private(pretoken)
        for start in range(0, count, block):
            yield " ".join([private] * min(block, count - start))


def _private(pretoken: str) -> str:
    data = pretoken.encode()
    return chr(_FIRST + data[0]) + data[1:].decode("latin-1").translate(_TO_NEXT)


def _spelled(private: str) -> str:
    mark = CONTINUATION if ord(private[0]) >= _NEXT else ""
    return mark + "".join(BYTE_SYMBOLS[ord(character) & 0xFF] for character in private)
