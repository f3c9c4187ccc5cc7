"""Trains tokenizers of byte-level byte-pair subwords."""

from collections.abc import Iterable, Iterator

from tokenizers import trainers

from jaxlm.errors import ConfigError, CorpusError
from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS
from jaxlm.tokenizers._kinds import TEXT_SPECIALS, text_backend
from jaxlm.tokenizers._texts import as_texts
from jaxlm.tokenizers._tokenizer import Tokenizer

MIN_SUBWORDS_VOCAB = len(TEXT_SPECIALS) + len(BYTE_SYMBOLS)


def train_subwords(texts: Iterable[str], *, vocab_size: int = 4096) -> Tokenizer:
    """Trains byte-pair subwords over bytes: there is no [UNK], and decoding restores every text.

    The vocabulary holds [PAD] 0, [SEP] 1, [CLS] 2, [MASK] 3, the 256 bytes, and merged pieces within words
    (GPT-2's pattern). The same texts in any order give the same file.

    Args:
      texts: the texts, each of which is read once. A single string is one text.
      vocab_size: the largest number of ids; few texts can give fewer.

    Returns:
      A `Tokenizer` of kind "subwords".

    Raises:
      ConfigError: `vocab_size` is too small for the special tokens and the bytes.
      CorpusError: there are no texts, or all of them are empty or white space.

    Example:
      >>> from jaxlm.tokenizers import train_subwords
      >>> tokenizer = train_subwords(["low lower lowest", "low"], vocab_size=263)
      >>> [tokenizer.token(id) for id in tokenizer.encode("low slow")]
      ['low', ' ', 's', 'low']

    References:
      Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016,
      https://arxiv.org/abs/1508.07909; Radford et al., "Language Models are Unsupervised Multitask Learners",
      2019 (section 2.2, bytes).
    """
    if vocab_size < MIN_SUBWORDS_VOCAB:
        raise ConfigError(
            f"a subword vocabulary needs at least {MIN_SUBWORDS_VOCAB} ids (specials and bytes): "
            f"got vocab_size={vocab_size}; give it more"
        )
    backend = text_backend({symbol: id for id, symbol in enumerate(TEXT_SPECIALS)}, [], split_words=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(TEXT_SPECIALS),
        initial_alphabet=list(BYTE_SYMBOLS),
        show_progress=False,
    )
    backend.train_from_iterator(_not_empty(texts), trainer)
    return Tokenizer.from_json(backend.to_str())


def _not_empty(texts: Iterable[str]) -> Iterator[str]:
    """The texts, and an error at the end if all of them are blank."""
    empty = True
    for text in as_texts(texts):
        empty = empty and not text.strip()
        yield text
    if empty:
        raise CorpusError("expected text to train on: found none")
