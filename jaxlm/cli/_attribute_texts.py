"""What `jaxlm attribute` explains: its texts with their targets, written by the model where none is given."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm import decoding, pretrained, steps, tokenizers
from jaxlm.cli._failures import UsageError


class AttributedTexts(NamedTuple):
    """Texts as `attribution.attribute` takes them.

    Attributes:
      texts: texts, or rows of ids.
      targets: one for each text; None: the masked model's likeliest tokens.
      contrast: other targets, one for each text; None: nothing is compared.
    """

    texts: Sequence[Any]
    targets: Sequence[Any] | None
    contrast: Sequence[Any] | None


def texts_and_targets(
    loaded: pretrained.Loaded,
    texts: Sequence[str],
    target: str | None,
    contrast: str | None,
    *,
    max_new_tokens: int,
    target_tokenizer: tokenizers.Tokenizer | None = None,
) -> AttributedTexts:
    """Returns the texts with their targets.

    Without a target the model writes one, the likeliest token each time: as many tokens as the contrast has,
    if there is one, and else `max_new_tokens` at most, with the token that ended the text. The ids are taken
    as they were written. A masked model fills its masks.

    Args:
      loaded: the model.
      texts: the texts of the command line.
      target: for a causal model what follows each text, or the whole text; for an encoder-decoder what it
        writes; for a masked model the text without masks; None: none is given.
      contrast: another target.
      max_new_tokens: how many tokens are written at most if there is no contrast.
      target_tokenizer: the tokenizer of an encoder-decoder's targets; None: the model's.

    Raises:
      UsageError: if the model predicts no tokens, or a contrast has none.
    """
    kind = loaded.kind
    if not (kind.next_token or kind.fill):
        raise UsageError(
            f"this model predicts no tokens: it was trained as {kind.name}; name a language model"
        )
    continues = kind.next_token and not kind.encoder
    compared = None if contrast is None else [_whole(text, contrast, continues) for text in texts]
    if target is not None:
        return AttributedTexts(texts, [_whole(text, target, continues) for text in texts], compared)
    if not kind.next_token:
        filled = None if compared is None else [one.tokens for one in decoding.fill_batch(loaded, texts)]
        return AttributedTexts(texts, filled, compared)
    if compared is None:
        written = _write(loaded, texts, max_new_tokens)
        return AttributedTexts(*_pairs(loaded, texts, written), None)
    reader = steps.TextReader(loaded, target_tokenizer)
    others = [reader.read_ids(one, is_prompt=True, is_target=kind.encoder) for one in compared]
    written = [
        _write(loaded, [text], _length(reader, text, other))[0]
        for text, other in zip(texts, others, strict=True)
    ]
    return AttributedTexts(*_pairs(loaded, texts, written), others)


def _whole(text: str, target: str, continues: bool) -> str:
    """The whole text of a causal model's target, which may be given as what follows the text."""
    return text + target if continues and not target.startswith(text) else target


def _write(
    loaded: pretrained.Loaded, texts: Sequence[str], max_new_tokens: int
) -> list[decoding.GeneratedText]:
    config = decoding.GenerationConfig(max_new_tokens=max_new_tokens)
    return decoding.generate(loaded, texts, decoding.with_defaults(config, loaded.extra))


def _pairs(
    loaded: pretrained.Loaded, texts: Sequence[str], written: Sequence[decoding.GeneratedText]
) -> tuple[list[Any], list[Any]]:
    """Texts and targets: for a causal model the ids of the prompts, and of the whole texts."""
    if loaded.kind.encoder:
        return list(texts), [one.tokens for one in written]
    return [one.prompt for one in written], [np.concatenate([one.prompt, one.tokens]) for one in written]


def _length(reader: steps.TextReader, text: str, contrast: np.ndarray) -> int:
    """How many tokens of a contrast are compared."""
    before = 0 if reader.kind == "seq2seq" else len(reader.read_ids(text, is_prompt=True))
    if len(contrast) <= before:
        raise UsageError("a contrast has a token behind the text at least: got none")
    return len(contrast) - before
