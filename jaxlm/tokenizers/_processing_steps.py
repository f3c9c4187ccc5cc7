"""How each family of transformers' tokenizers processes a text, and what it puts around the ids."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors

from jaxlm.tokenizers._classes import TokenizerFamily
from jaxlm.tokenizers._sentence_pieces import SPACE_MARK

# Qwen's division of texts: English endings, words, single digits, punctuation, line ends, other white space.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class ProcessingSteps(NamedTuple):
    """The parts of a backend that process a text; None: no such part.

    Attributes:
      normalizer: changes the text.
      pre_tokenizer: divides the text in front of the model.
      decoder: makes text of tokens.
    """

    normalizer: normalizers.Normalizer | None
    pre_tokenizer: pre_tokenizers.PreTokenizer | None
    decoder: decoders.Decoder | None


def processing_steps(family: TokenizerFamily, config: Mapping[str, Any]) -> ProcessingSteps:
    """Returns the processing of texts in a family.

    Args:
      family: "bert", "gpt2", "roberta", "qwen2", "neox", "llama" or "gemma".
      config: the content of `tokenizer_config.json`, of which `do_lower_case`, `strip_accents` and
        `tokenize_chinese_chars` are used for BERT, `add_prefix_space` for all others, and `legacy` for Llama.

    Example:
      >>> from jaxlm.tokenizers._processing_steps import processing_steps
      >>> processing_steps("bert", {}).normalizer.normalize_str("The Élan")
      'the elan'
      >>> processing_steps("bert", {"do_lower_case": False}).normalizer.normalize_str("The Élan")
      'The Élan'
    """
    if family == "bert":
        return _bert(config)
    spaced = config.get("add_prefix_space")
    if family == "llama":
        return _llama(True if spaced is None else bool(spaced), bool(config.get("legacy", False)))
    if family == "gemma":
        parts = [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
        cut = pre_tokenizers.Split(" ", "merged_with_previous")
        return ProcessingSteps(normalizers.Replace(" ", SPACE_MARK), cut, decoders.Sequence(parts))
    return _bytes(family, bool(spaced))


def _bert(config: Mapping[str, Any]) -> ProcessingSteps:
    normalizer = normalizers.BertNormalizer(
        clean_text=True,
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
    )
    return ProcessingSteps(normalizer, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece())


def _bytes(family: TokenizerFamily, spaced: bool) -> ProcessingSteps:
    cut = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    if family == "qwen2":
        words = pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated")
        cut = pre_tokenizers.Sequence(
            [words, pre_tokenizers.ByteLevel(add_prefix_space=spaced, use_regex=False)]
        )
    composed = normalizers.NFC() if family in ("qwen2", "neox") else None
    return ProcessingSteps(composed, cut, decoders.ByteLevel())


def _llama(spaced: bool, legacy: bool) -> ProcessingSteps:
    scheme = ("always" if legacy else "first") if spaced else "never"
    parts = [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    parts += [decoders.Strip(" ", 1, 0)] if spaced else []
    cut = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme=scheme, split=False)
    return ProcessingSteps(None, cut, decoders.Sequence(parts))


def set_processing(backend: tokenizers.Tokenizer, steps: ProcessingSteps) -> None:
    """Sets the parts of a backend that process texts."""
    backend.normalizer = steps.normalizer
    backend.pre_tokenizer = steps.pre_tokenizer
    backend.decoder = steps.decoder


def put_end_tokens(
    backend: tokenizers.Tokenizer, opening: str | None, closing: str | None, *, again: int = 1
) -> None:
    """Makes a backend put tokens around a text on request; tokens that the vocabulary lacks are left out.

    Args:
      backend: the tokenizer, which is changed.
      opening: the token before a text; None: none.
      closing: the token after a text; None: none.
      again: how often `closing` stands between the two texts of a pair.
    """
    before, behind = (
        [name] if name and backend.token_to_id(name) is not None else [] for name in (opening, closing)
    )
    second = [f"{name}:1" for name in behind]
    backend.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *behind],
        pair=[*before, "$A", *behind * again, "$B:1", *second],
        special_tokens=[(name, backend.token_to_id(name)) for name in {*before, *behind}],
    )
