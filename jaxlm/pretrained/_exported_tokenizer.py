"""The tokenizer of a model that is written for others: its file does what training did."""

from typing import Any, NamedTuple

from jaxlm import models, tokenizers
from jaxlm.pretrained._loaded import ENDS, HUGGINGFACE, Loaded, training_frame

# Who reads a text: with a causal model, with an encoder-decoder, with any other.
WRITERS: tuple[tokenizers.Reader, ...] = ("training", "score", "prompt")
REWRITERS: tuple[tokenizers.Reader, ...] = ("text",)
CODERS: tuple[tokenizers.Reader, ...] = ("training", "text")


class ExportedTokenizer(NamedTuple):
    """A tokenizer, and what its tokenizer_config.json says beside it.

    Attributes:
      tokenizer: whose file is written.
      told: of "jaxlm_ends" alone, or nothing.
    """

    tokenizer: tokenizers.Tokenizer
    told: dict[str, Any]


def exported_tokenizer(loaded: Loaded) -> ExportedTokenizer:
    """Returns a model's tokenizer as `transformers` is to read with it, and what that leaves to be said.

    A published one stays as it was. Else the file puts around texts what training put there, or what it did
    where nothing is known of that; of a causal model only what opens them.

    Args:
      loaded: with a tokenizer.

    Example:
      >>> from jaxlm import models, tokenizers
      >>> from jaxlm.pretrained import Loaded
      >>> from jaxlm.pretrained._exported_tokenizer import exported_tokenizer
      >>> tokenizer, extra = tokenizers.bytes_tokenizer(), {"experiment": {"data": {"ends": True}}}
      >>> loaded = Loaded(models.TransformerConfig(), "causal_lm", None, {}, tokenizer, extra)
      >>> exported = exported_tokenizer(loaded)
      >>> exported.tokenizer.encode("a", add_specials=True).tolist(), exported.told
      ([258, 97], {'jaxlm_ends': {'opening': ['[CLS]'], 'closing': ['[SEP]']}})
    """
    tokenizer, kind, extra = loaded.tokenizer, loaded.kind, loaded.extra
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
    """Whether every reader finds a frame in a tokenizer's file alone."""
    readers = WRITERS if kind.causal else REWRITERS if kind.encoder else CODERS
    return all(
        tokenizers.text_frame(tokenizer, reader) == tokenizers.text_frame(tokenizer, reader, frame)
        for reader in readers
    )
