"""The tokenizer of an exported model, whose file puts around a text what training did."""

from typing import Any, NamedTuple

from jaxlm import models, tokenizers
from jaxlm.pretrained._loaded import ENDS, HUGGINGFACE, Loaded, training_frame

# The readers of texts with a causal model, with an encoder-decoder, and with any other model.
WRITERS: tuple[tokenizers.Reader, ...] = ("training", "score", "prompt")
REWRITERS: tuple[tokenizers.Reader, ...] = ("text",)
CODERS: tuple[tokenizers.Reader, ...] = ("training", "text")


class ExportedTokenizer(NamedTuple):
    """A tokenizer to be written, and the entries for its tokenizer_config.json.

    Attributes:
      tokenizer: the tokenizer.
      told: the entry "jaxlm_ends", or none.
    """

    tokenizer: tokenizers.Tokenizer
    told: dict[str, Any]


def exported_tokenizer(loaded: Loaded) -> ExportedTokenizer:
    """Returns a model's tokenizer for `transformers`, and the entries that its file cannot express.

    The tokenizer of a published model is not changed. Otherwise the file puts around a text the tokens of
    training, or its own where those are not known; for a causal model only the opening ones.

    Args:
      loaded: a model with a tokenizer.

    Raises:
      UsageError: the model has no tokenizer.

    Example:
      >>> from jaxlm import models, tokenizers
      >>> from jaxlm.pretrained import Loaded
      >>> from jaxlm.pretrained._exported_tokenizer import exported_tokenizer
      >>> tokenizer, extra = tokenizers.bytes_tokenizer(), {"experiment": {"data": {"ends": True}}}
      >>> config = models.TransformerConfig(vocab_size=tokenizer.vocab_size, causal=True)
      >>> loaded = Loaded(config, "causal_lm", models.build(config, "causal_lm"), {}, tokenizer, extra)
      >>> exported = exported_tokenizer(loaded)
      >>> exported.tokenizer.encode("a", add_specials=True).tolist(), exported.told
      ([258, 97], {'jaxlm_ends': {'opening': ['[CLS]'], 'closing': ['[SEP]']}})
    """
    tokenizer, kind, extra = loaded.text_tokenizer, loaded.kind, loaded.extra
    frame = training_frame(tokenizer, kind, extra)
    if frame is None and HUGGINGFACE in extra:
        return ExportedTokenizer(tokenizer, {})
    frame = tokenizers.file_frame(tokenizer) if frame is None else frame
    exported = tokenizers.with_frame(tokenizer, tokenizers.Frame(frame.opening) if kind.causal else frame)
    if _says(exported, frame, kind):
        return ExportedTokenizer(exported, {})
    names = ([tokenizer.backend.id_to_token(id) for id in ids] for ids in frame)
    return ExportedTokenizer(exported, {ENDS: dict(zip(frame._fields, names, strict=True))})


def _says(tokenizer: tokenizers.Tokenizer, frame: tokenizers.Frame, kind: models.ModelKind) -> bool:
    """Whether a tokenizer's file alone gives every reader the right frame."""
    readers = WRITERS if kind.causal else REWRITERS if kind.encoder else CODERS
    return all(
        tokenizers.text_frame(tokenizer, reader) == tokenizers.text_frame(tokenizer, reader, frame)
        for reader in readers
    )
