"""Text to ids and back: Hugging Face files, bytes, protein residues, instruction traces. No JAX."""

from jaxlm.tokenizers._characters import (
    CharacterClass,
    character_class,
    class_runs,
    has_spaceless,
    spaceless_words,
    words_of,
)
from jaxlm.tokenizers._config import TokenizerConfig, train_tokenizer
from jaxlm.tokenizers._fitting import FittedTokenizer, fit_tokenizer
from jaxlm.tokenizers._fixed import bytes_tokenizer, residue_tokenizer
from jaxlm.tokenizers._frame import Frame, Reader, file_frame, text_frame
from jaxlm.tokenizers._instructions import train_instructions
from jaxlm.tokenizers._kinds import INSTRUCTION_SPECIALS
from jaxlm.tokenizers._load import load_tokenizer
from jaxlm.tokenizers._preparation import UnknownBytesError
from jaxlm.tokenizers._residues import (
    ALPHABETS,
    AMBIGUOUS,
    AMINO_ACIDS,
    CHAIN_SEPARATOR,
    RESIDUES,
    join_chains,
)
from jaxlm.tokenizers._roles import Specials
from jaxlm.tokenizers._sentinels import sentinel_ids, with_sentinels
from jaxlm.tokenizers._special_mask import special_mask
from jaxlm.tokenizers._subwords import train_subwords
from jaxlm.tokenizers._template import with_frame
from jaxlm.tokenizers._texts import as_ids, as_texts
from jaxlm.tokenizers._token_bytes import TokenBytes, token_bytes
from jaxlm.tokenizers._tokenizer import Tokenizer

__all__ = [
    "ALPHABETS",
    "AMBIGUOUS",
    "AMINO_ACIDS",
    "CHAIN_SEPARATOR",
    "INSTRUCTION_SPECIALS",
    "RESIDUES",
    "CharacterClass",
    "FittedTokenizer",
    "Frame",
    "Reader",
    "Specials",
    "TokenBytes",
    "Tokenizer",
    "TokenizerConfig",
    "UnknownBytesError",
    "as_ids",
    "as_texts",
    "bytes_tokenizer",
    "character_class",
    "class_runs",
    "file_frame",
    "fit_tokenizer",
    "has_spaceless",
    "join_chains",
    "load_tokenizer",
    "residue_tokenizer",
    "sentinel_ids",
    "spaceless_words",
    "special_mask",
    "text_frame",
    "token_bytes",
    "train_instructions",
    "train_subwords",
    "train_tokenizer",
    "with_frame",
    "with_sentinels",
    "words_of",
]
