"""What each class of transformers does with a text before its model divides it, and puts around it after."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors

from jaxlm.tokenizers._classes import TokenizerFamily
from jaxlm.tokenizers._sentence_pieces import SPACE_MARK

# How Qwen cuts a text: English endings, words, single digits, marks, line ends, other white space.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class ProcessingSteps(NamedTuple):
    """What is done to a text, part by part; None: nothing."""

    normalizer: normalizers.Normalizer | None
    pre_tokenizer: pre_tokenizers.PreTokenizer | None
    decoder: decoders.Decoder | None


def processing_steps(way: TokenizerFamily, config: Mapping[str, Any]) -> ProcessingSteps:
    """Returns what a class does to texts.

    Args:
      way: "bert", "gpt2", "roberta", "qwen2", "neox", "llama" or "gemma".
      config: what `tokenizer_config.json` says: `do_lower_case`, `strip_accents` and `tokenize_chinese_chars`
        of BERT's, `add_prefix_space` of the others, and `legacy` of Llama's count.

    Example:
      >>> from jaxlm.tokenizers._processing_steps import processing_steps
      >>> processing_steps("bert", {}).normalizer.normalize_str("The Élan")
      'the elan'
      >>> processing_steps("bert", {"do_lower_case": False}).normalizer.normalize_str("The Élan")
      'The Élan'
    """
    if way == "bert":
        return _bert(config)
    spaced = config.get("add_prefix_space")
    if way == "llama":
        return _llama(True if spaced is None else bool(spaced), bool(config.get("legacy", False)))
    if way == "gemma":
        parts = [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
        cut = pre_tokenizers.Split(" ", "merged_with_previous")
        return ProcessingSteps(normalizers.Replace(" ", SPACE_MARK), cut, decoders.Sequence(parts))
    return _bytes(way, bool(spaced))


def _bert(config: Mapping[str, Any]) -> ProcessingSteps:
    normalizer = normalizers.BertNormalizer(
        clean_text=True,
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
    )
    return ProcessingSteps(normalizer, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece())


def _bytes(way: TokenizerFamily, spaced: bool) -> ProcessingSteps:
    cut = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    if way == "qwen2":
        words = pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated")
        cut = pre_tokenizers.Sequence(
            [words, pre_tokenizers.ByteLevel(add_prefix_space=spaced, use_regex=False)]
        )
    composed = normalizers.NFC() if way in ("qwen2", "neox") else None
    return ProcessingSteps(composed, cut, decoders.ByteLevel())


def _llama(spaced: bool, legacy: bool) -> ProcessingSteps:
    scheme = ("always" if legacy else "first") if spaced else "never"
    parts = [decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    parts += [decoders.Strip(" ", 1, 0)] if spaced else []
    cut = pre_tokenizers.Metaspace(SPACE_MARK, prepend_scheme=scheme, split=False)
    return ProcessingSteps(None, cut, decoders.Sequence(parts))


def set_processing(backend: tokenizers.Tokenizer, steps: ProcessingSteps) -> None:
    """Has a backend do to texts what `steps` say."""
    backend.normalizer = steps.normalizer
    backend.pre_tokenizer = steps.pre_tokenizer
    backend.decoder = steps.decoder


def put_end_tokens(
    backend: tokenizers.Tokenizer, opening: str | None, closing: str | None, *, again: int = 1
) -> None:
    """Puts tokens around a text on request, those that the vocabulary has.

    Args:
      backend: gets the template.
      opening: stands before a text; None: nothing.
      closing: stands behind it; None: nothing.
      again: how often `closing` stands between two texts.
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
