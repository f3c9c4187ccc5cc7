"""The four kinds of tokenizer that are ours, as Hugging Face pipelines around a vocabulary.

The file format has no room for a name of ours, so a file is recognised by its pipeline: what it does with
text is what it is.
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
    """Pretokens between white space, each one whole if the vocabulary has it, else split into byte pieces.

    The specials are plain entries of the vocabulary, found like any whole pretoken. As added tokens they
    would be cut out of the text before the pretokens are, so inside words too.
    """
    model = models.BPE(vocab, list(merges), continuing_subword_prefix=CONTINUATION, ignore_merges=True)
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    # Spaces must go through the byte decoder as the symbol of a space: it leaves a token with foreign
    # characters undecoded.
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
    """Bytes of any text, merged within words (GPT-2's pattern) or not at all."""
    backend = tokenizers.Tokenizer(models.BPE(vocab, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split_words)
    backend.decoder = decoders.ByteLevel()
    return with_specials(backend, TEXT_SPECIALS, "[CLS]", "[SEP]")


@functools.cache
def bytes_backend() -> tokenizers.Tokenizer:
    """The 256 bytes at their own values, then the specials."""
    vocab = {symbol: id for id, symbol in enumerate((*BYTE_SYMBOLS, *TEXT_SPECIALS))}
    return text_backend(vocab, [], split_words=False)


@functools.cache
def residues_backend(alphabet: Alphabet = "esm", ambiguous: Ambiguous = "keep") -> tokenizers.Tokenizer:
    """One id a residue letter; a letter that the alphabet lacks is `<unk>`.

    What is to be done with ambiguous letters stands in the file as a replacement: B, Z, J, U and O become X
    (which cortex's alphabet lacks), or every one of the six becomes what no alphabet has, so that a library
    without our check reads `<unk>` where we refuse.
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
    """Reserves `specials` of the vocabulary, with `opening` and `closing` around a text on request."""
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{opening} $A {closing}",
        special_tokens=[(name, backend.token_to_id(name)) for name in (opening, closing)],
    )
    return backend


def pipeline(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """What a backend does to text, as plain data; its vocabulary and what it puts around texts left out."""
    data = json.loads(backend.to_str())
    # An opening token more or less makes no other kind of it.
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
    """Tells which kind a backend is: the one whose pipeline it has, "huggingface" for any other.

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
    """Tells what a backend of residues does with ambiguous letters, None for a backend of anything else.

    Example:
      >>> from jaxlm.tokenizers._kinds import bytes_backend, infer_ambiguous, residues_backend
      >>> infer_ambiguous(residues_backend("cortex", "unknown")), infer_ambiguous(bytes_backend())
      ('unknown', None)
    """
    # A quick look first: vocabularies of other kinds can be long.
    if backend.get_vocab_size() > max(map(len, ALPHABETS.values())):
        return None
    alphabets = [name for name in ALPHABETS if residues_backend(name).get_vocab() == backend.get_vocab()]
    if not alphabets:
        return None
    found = pipeline(backend)
    known: tuple[Ambiguous, ...] = get_args(Ambiguous)
    return next((one for one in known if pipeline(residues_backend(alphabets[0], one)) == found), None)
