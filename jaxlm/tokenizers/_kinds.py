"""The four kinds of tokenizers of jaxlm, as Hugging Face pipelines around a vocabulary.

The file format cannot hold the name of a kind, so the kind of a file is recognised by its pipeline.
"""

import functools
import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from jaxlm.tokenizers._byte_level import BYTE_SYMBOLS, CONTINUATION
from jaxlm.tokenizers._residues import ALPHABETS, AMBIGUOUS, RESIDUE_SPECIALS, Alphabet, Ambiguous

Kind = Literal["instructions", "subwords", "bytes", "residues", "huggingface"]

INSTRUCTION_SPECIALS: tuple[str, ...] = ("[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]", "[NEXT]")
TEXT_SPECIALS: tuple[str, ...] = ("[PAD]", "[SEP]", "[CLS]", "[MASK]")


def instructions_backend(vocab: dict[str, int], merges: Sequence[tuple[str, str]]) -> tokenizers.Tokenizer:
    """Returns a backend of pretokens between white space, whole if the vocabulary has them, else in pieces.

    The special tokens are plain entries of the vocabulary and are found like any whole pretoken. Added tokens
    would be found before the text is divided, and so inside of words too.

    Args:
      vocab: id by symbol.
      merges: pairs of symbols, in their order.
    """
    model = models.BPE(vocab, list(merges), continuing_subword_prefix=CONTINUATION, ignore_merges=True)
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    # A space is replaced by its byte symbol, because the byte decoder does not decode a token with other
    # characters.
    backend.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix=CONTINUATION, cleanup=False),
            decoders.Replace(" ", BYTE_SYMBOLS[0x20]),
            decoders.ByteLevel(),
        ]
    )
    return backend


def text_backend(
    vocab: dict[str, int], merges: Sequence[tuple[str, str]], *, split_words: bool
) -> tokenizers.Tokenizer:
    """Returns a backend of the bytes of any text, merged within words (GPT-2's pattern) or not at all.

    Args:
      vocab: id by symbol.
      merges: pairs of symbols, in their order.
      split_words: whether merges stay within words.
    """
    backend = tokenizers.Tokenizer(models.BPE(vocab, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split_words)
    backend.decoder = decoders.ByteLevel()
    return with_specials(backend, TEXT_SPECIALS, "[CLS]", "[SEP]")


@functools.cache
def bytes_backend() -> tokenizers.Tokenizer:
    """Returns the backend of bytes: the 256 bytes with their value as id, then the special tokens."""
    vocab = {symbol: id for id, symbol in enumerate((*BYTE_SYMBOLS, *TEXT_SPECIALS))}
    return text_backend(vocab, [], split_words=False)


@functools.cache
def residues_backend(alphabet: Alphabet = "esm", ambiguous: Ambiguous = "keep") -> tokenizers.Tokenizer:
    """Returns a backend with one id for each residue letter; a letter that the alphabet lacks is `<unk>`.

    The file holds the treatment of ambiguous letters as a replacement. For "unknown" B, Z, J, U and O become
    X (which cortex's alphabet lacks). For "error" all six become a letter of no alphabet, so that a library
    without our check reads `<unk>`.

    Args:
      alphabet: whose symbols.
      ambiguous: the treatment of ambiguous letters, see `residue_tokenizer`.
    """
    model = models.BPE({symbol: id for id, symbol in enumerate(ALPHABETS[alphabet])}, [], unk_token="<unk>")
    backend = tokenizers.Tokenizer(model)
    if ambiguous == "unknown":
        backend.normalizer = normalizers.Replace(Regex(f"[{AMBIGUOUS.replace('X', '')}]"), "X")
    if ambiguous == "error":
        backend.normalizer = normalizers.Replace(Regex(f"[{AMBIGUOUS}]"), "?")
    backend.decoder = decoders.Fuse()
    return with_specials(backend, RESIDUE_SPECIALS, "<cls>", "<eos>")


def with_specials(
    backend: tokenizers.Tokenizer, specials: Sequence[str], opening: str, closing: str
) -> tokenizers.Tokenizer:
    """Makes tokens of the vocabulary special, and puts two of them around a text on request.

    Args:
      backend: the tokenizer, which is changed.
      specials: the tokens.
      opening: the token before a text.
      closing: the token after a text.
    """
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{opening} $A {closing}",
        special_tokens=[(name, backend.token_to_id(name)) for name in (opening, closing)],
    )
    return backend


def pipeline(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """Returns what a backend does to a text, as JSON values without vocabulary and tokens around texts."""
    data = json.loads(backend.to_str())
    # The tokens around a text do not change the kind.
    around = data["post_processor"]
    around = None if around is not None and around["type"] == "TemplateProcessing" else around
    return data | {"model": data["model"] | {"vocab": None, "merges": None}, "post_processor": around}


@functools.cache
def _pipelines() -> dict[Kind, dict[str, Any]]:
    instructions = {symbol: id for id, symbol in enumerate(INSTRUCTION_SPECIALS)}
    subwords = {symbol: id for id, symbol in enumerate(TEXT_SPECIALS)}
    return {
        "instructions": pipeline(instructions_backend(instructions, [])),
        "subwords": pipeline(text_backend(subwords, [], split_words=True)),
        "bytes": pipeline(bytes_backend()),
    }


def infer_kind(backend: tokenizers.Tokenizer) -> Kind:
    """Returns the kind of a backend by its pipeline; "huggingface" if it has none of ours.

    Example:
      >>> import tokenizers
      >>> from tokenizers import models
      >>> from jaxlm.tokenizers._kinds import bytes_backend, infer_kind
      >>> infer_kind(bytes_backend()), infer_kind(tokenizers.Tokenizer(models.BPE()))
      ('bytes', 'huggingface')
    """
    if infer_ambiguous(backend) is not None:
        return "residues"
    own = pipeline(backend)
    kinds: list[Kind] = [kind for kind, expected in _pipelines().items() if expected == own]
    if not kinds:
        return "huggingface"
    (kind,) = kinds
    if kind == "bytes" and backend.get_vocab() != bytes_backend().get_vocab():
        return "huggingface"
    names = tuple(backend.id_to_token(id) for id in range(len(INSTRUCTION_SPECIALS)))
    if kind == "instructions" and names != INSTRUCTION_SPECIALS:
        return "huggingface"
    return kind


def infer_ambiguous(backend: tokenizers.Tokenizer) -> Ambiguous | None:
    """Returns the treatment of ambiguous letters by a backend of residues; None for any other backend.

    Example:
      >>> from jaxlm.tokenizers._kinds import bytes_backend, infer_ambiguous, residues_backend
      >>> infer_ambiguous(residues_backend("cortex", "unknown")), infer_ambiguous(bytes_backend())
      ('unknown', None)
    """
    # The size is compared first, because vocabularies of other kinds can be long.
    if backend.get_vocab_size() > max(map(len, ALPHABETS.values())):
        return None
    alphabets = [name for name in ALPHABETS if residues_backend(name).get_vocab() == backend.get_vocab()]
    if not alphabets:
        return None
    own = pipeline(backend)
    treatments: tuple[Ambiguous, ...] = get_args(Ambiguous)
    for treatment in treatments:
        if pipeline(residues_backend(alphabets[0], treatment)) == own:
            return treatment
    return None
