"""Models over bytes on the command line: which models can be one, and what is read before a text."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from jaxlm import models, pretrained, tokenizers
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._inputs import stdin_lines
from jaxlm.cli._models import DType, open_model
from jaxlm.decoding.bytes import ByteModel, make_byte_model
from jaxlm.errors import JaxlmError
from jaxlm.tokenizers import UnknownBytesError

Unit = Literal["token", "byte"]
TOKENS_REMEDY = "leave --unit byte out"


def open_byte_model(
    argument: str, *, dtype: DType | None = None, opening: str | None = None
) -> tuple[ByteModel, tokenizers.Tokenizer]:
    """Returns the model of MODEL as a model over bytes, and its tokenizer.

    Args:
      argument: a folder or a name.
      dtype: type of the parameters and of the computation.
      opening: text before every text, in which special tokens are read as such; None: the tokens that begin
        texts for this model.

    Raises:
      UsageError: if it is no causal LM, its tokenizer does not tell the bytes of its tokens, or `opening`
        has a part that the tokenizer cannot write.
    """
    loaded = open_model(argument, dtype=dtype)
    refuse_model_without_bytes(argument, loaded.kind)
    with naming_unknown_bytes(argument):
        ids = None if opening is None else _opening_ids(loaded, opening)
        return make_byte_model(loaded, opening=ids), loaded.text_tokenizer


def refuse_model_without_bytes(argument: str, kind: models.ModelKind) -> None:
    """Refuses a model that is no causal LM, which alone can be a model over bytes.

    Args:
      argument: the model, as the user named it.
      kind: of the model.

    Raises:
      UsageError: with what can be done instead.
    """
    if kind.next_token and not kind.encoder:
        return
    raise UsageError(
        f"--unit byte needs a causal LM, which continues a text byte by byte: {argument} is a {kind.name}; "
        f"{TOKENS_REMEDY}, or name a causal LM"
    )


@contextmanager
def naming_unknown_bytes(argument: str) -> Iterator[None]:
    """Adds the model and the remedy to the error of a tokenizer that does not tell the bytes of its tokens.

    Args:
      argument: the model, as the user named it.

    Raises:
      UsageError: in place of the tokenizer's error.
    """
    try:
        yield
    except UnknownBytesError as error:
        raise UsageError(f"{argument}: {error}; {TOKENS_REMEDY}") from error


def argument_bytes(text: str) -> bytes:
    """Returns the bytes of a text of the command line, which need not be valid UTF-8.

    Args:
      text: as Python reads arguments, in which half a surrogate pair stands for a byte that is not UTF-8.

    Raises:
      UsageError: if it has half a surrogate pair that stands for no byte.

    Example:
      >>> from jaxlm.cli._byte_models import argument_bytes
      >>> argument_bytes("é"), argument_bytes("\\udcc3")
      (b'\\xc3\\xa9', b'\\xc3')
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError(f"half a surrogate pair cannot be written in UTF-8: got {text!r:.60}") from error


def byte_prompts(given: tuple[str, ...]) -> list[bytes]:
    """Returns the bytes of the texts of the command line, or for a single "-" of the lines of stdin.

    Args:
      given: the texts; none: one empty text.

    Raises:
      UsageError: if stdin holds no line that is not blank.
    """
    texts = stdin_lines(any_bytes=True) if given == ("-",) else given or ("",)
    prompts = [argument_bytes(text) for text in texts]
    if not prompts:
        raise UsageError("stdin held no text: write one a line")
    return prompts


def check_begun(argument: str, byte_model: ByteModel, prompts: Iterable[bytes]) -> None:
    """Refuses an empty text for a model that has no token that begins texts.

    Args:
      argument: the model, as the user named it.
      byte_model: the model.
      prompts: the texts.

    Raises:
      UsageError: if one is empty and nothing is read before it.
    """
    if not byte_model.opening_ids and not all(prompts):
        raise UsageError(
            f"the text is empty, and {argument} has no token that begins texts: write some, or name tokens "
            "with --opening"
        )


def warn_of_specials(program: str, tokenizer: tokenizers.Tokenizer, prompts: Iterable[bytes]) -> None:
    """Warns on stderr of text that looks like a special token, and says how to have the token read.

    Args:
      program: the command, for the message.
      tokenizer: of the model.
      prompts: the texts, of which the first with such text is named.
    """
    special = set(tokenizer.special_ids) - {tokenizer.specials.unk}
    for prompt in prompts:
        # What cannot be divided into tokens has no special one, and the command says why.
        with suppress(JaxlmError):
            named = [id for id in tokenizer.encode(prompt.decode(errors="replace")).tolist() if id in special]
            if named:
                name = tokenizer.token(named[0])
                say(
                    program,
                    f"warning: {name} in the text is read as plain bytes; to have the token read before the "
                    f"text, leave it out of the text and write --opening '{name}'",
                )
                return


def _opening_ids(loaded: pretrained.Loaded, opening: str) -> tuple[int, ...]:
    """The ids of what is read before every text, special tokens among them."""
    tokenizer = loaded.text_tokenizer
    ids, unknown = tuple(tokenizer.encode(opening).tolist()), tokenizer.specials.unk
    if unknown is not None and unknown in ids and tokenizer.token(unknown) not in opening:
        raise UsageError(f"--opening has a part that is not in the vocabulary: got {opening[:60]!r}")
    return ids
