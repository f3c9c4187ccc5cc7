"""How a tokenizer changes a text before its model divides it, as far as the bytes of tokens depend on it."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import tokenizers

from jaxlm.errors import ModelError
from jaxlm.tokenizers._byte_level import to_bytes, to_symbols

Step = Mapping[str, Any]

# (pattern, invert) of `Split` that remove white space and divide a text nowhere else.
_WHITE = ((" ", False), (" +", False), (r"\s", False), (r"\s+", False), (r"\S+", True))


class UnknownBytesError(ModelError):
    """The file of a tokenizer does not determine which bytes of a text each token stands for."""


def unknown_bytes(why: str) -> UnknownBytesError:
    """Returns the error for a tokenizer whose tokens' bytes are unknown, with the reason."""
    return UnknownBytesError(
        f"the bytes of this tokenizer's tokens are not known: {why}; byte-level and SentencePiece tokenizers "
        "tell them"
    )


class Preparation(NamedTuple):
    """The spelling of the text that a model reads, and how it differs from the original text.

    Attributes:
      of_bytes: whether each byte is written as a visible symbol, as in GPT-2.
      mark: the character for a space, SentencePiece's `▁`; None: a space is kept.
      prefix: text that is put in front; a space in it may be spelled as `mark`.
      prefixes_spaces: whether the prefix is also put in front of a text that begins with a space.
      prefixes_parts: whether it is also put in front of the text after an added token.
      marks_words: whether each part of the divided text begins with a space.
      drops_white: whether white space between words is removed.
      divider: the last step that divides a text elsewhere than at white space; None: no step does.
      losses: phrases for what is changed or removed.
    """

    of_bytes: bool = False
    mark: str | None = None
    prefix: str = ""
    prefixes_spaces: bool = False
    prefixes_parts: bool = False
    marks_words: bool = False
    drops_white: bool = False
    divider: str | None = None
    losses: tuple[str, ...] = ()

    def spell(self, text: str) -> str:
        """Returns the text as the model reads it, without prefix and losses.

        Example:
          >>> from jaxlm.tokenizers._preparation import Preparation
          >>> Preparation(mark="▁").spell(" é"), Preparation(of_bytes=True).spell(" é")
          ('▁é', 'ĠÃ©')
        """
        text = text if self.mark is None else text.replace(" ", self.mark)
        return to_symbols(text) if self.of_bytes else text

    def read(self, spelled: str) -> bytes:
        """Returns the bytes of text as the model reads it; undoes `spell`.

        Example:
          >>> from jaxlm.tokenizers._preparation import Preparation
          >>> Preparation(mark="▁").read("▁é") == Preparation(of_bytes=True).read("ĠÃ©") == " é".encode()
          True
        """
        data = to_bytes(spelled) if self.of_bytes else spelled.encode()
        return data if self.mark is None else data.replace(self.mark.encode(), b" ")

    @property
    def prefix_bytes(self) -> bytes:
        """The bytes of the prefix."""
        prefix = self.prefix if self.mark is None else self.prefix.replace(self.mark, " ")
        return prefix.encode()

    @property
    def divides_words_alone(self) -> bool:
        """Whether a text is divided at white space only, which is removed."""
        return self.drops_white and self.divider is None

    def with_loss(self, loss: str) -> "Preparation":
        """Returns the preparation with another loss."""
        return self if loss in self.losses else self._replace(losses=(*self.losses, loss))


def preparation(backend: tokenizers.Tokenizer, *, before_division: bool = False) -> Preparation:
    """Returns how a backend changes texts, by its normalizer and its pre-tokenizer.

    Args:
      backend: of any kind.
      before_division: whether to consider its normalizer alone, after which added tokens may be matched.

    Raises:
      UnknownBytesError: symbols of bytes are changed again.

    Example:
      >>> from jaxlm.tokenizers._preparation import preparation
      >>> from tokenizers import Tokenizer, models, pre_tokenizers
      >>> backend = Tokenizer(models.BPE())
      >>> backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
      >>> done = preparation(backend)
      >>> done.mark, done.prefix, done.prefixes_parts
      ('▁', '▁', False)
    """
    done = Preparation()
    steps = [(step, _NORMALIZERS) for step in flat_steps(backend.normalizer)]
    if not before_division:
        steps += [(step, _PRE_TOKENIZERS) for step in flat_steps(backend.pre_tokenizer)]
    for step, changes in steps:
        if done.of_bytes and step["type"] in _SPELLING:
            raise unknown_bytes(f"its step {step['type']} changes the symbols of bytes")
        done = changes.get(step["type"], _change)(done, step)
    return done


def flat_steps(part: Any) -> list[Step]:
    """Returns the steps of a normalizer, a pre-tokenizer or a decoder as JSON, with sequences flattened.

    Example:
      >>> from jaxlm.tokenizers._preparation import flat_steps
      >>> from tokenizers import decoders
      >>> [step["type"] for step in flat_steps(decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]))]
      ['ByteFallback', 'Fuse']
    """
    return [] if part is None else list(_flat(json.loads(part.__getstate__())))


def _flat(step: Step) -> Iterator[Step]:
    if step["type"] != "Sequence":
        yield step
        return
    (parts,) = (parts for name, parts in step.items() if name != "type")
    for part in parts:
        yield from _flat(part)


def _change(done: Preparation, step: Step) -> Preparation:
    return done.with_loss(f"what {step['type']} changes")


def _replace(done: Preparation, step: Step) -> Preparation:
    (pattern,) = step["pattern"].values()
    if pattern != " " or len(step["content"]) != 1:
        return _change(done, step)
    return _with_mark(done, step["content"])


def _with_mark(done: Preparation, mark: str) -> Preparation:
    return done._replace(mark=mark).with_loss(f"{mark!r}, which stands for a space")


def _prepend(done: Preparation, step: Step) -> Preparation:
    prefix = step["prepend"] + done.prefix
    return done._replace(prefix=prefix, prefixes_spaces=True, prefixes_parts=True)


def _metaspace(done: Preparation, step: Step) -> Preparation:
    done, scheme = _with_mark(done, step["replacement"]), step["prepend_scheme"]
    return done if scheme == "never" else _in_front(done, step["replacement"], parts=scheme == "always")


def _byte_level(done: Preparation, step: Step) -> Preparation:
    done = _in_front(done, " ", parts=True) if step.get("add_prefix_space") else done
    divider = "ByteLevel" if step.get("use_regex") else done.divider
    return done._replace(of_bytes=True, divider=divider)


def _in_front(done: Preparation, prefix: str, *, parts: bool) -> Preparation:
    """Puts a space in front of a text, or of each part of a divided text, that does not begin with one."""
    if done.divider is not None and (parts or done.prefix):
        done = done.with_loss(f"what {done.divider} divides, each part of which gets a space in front")
    done = done._replace(marks_words=parts, prefixes_parts=done.prefixes_parts or parts)
    before = done.prefix if done.mark is None else done.prefix.replace(" ", done.mark)
    return done if before.startswith(prefix) else done._replace(prefix=prefix + before)


def _split(done: Preparation, step: Step) -> Preparation:
    if step["behavior"] != "Removed":
        return done._replace(divider="Split")
    (pattern,) = step["pattern"].values()
    if (pattern, step["invert"]) in _WHITE:
        return _drop_white(done, step)
    return done._replace(divider="Split").with_loss("what Split leaves out")


def _delimiter(done: Preparation, step: Step) -> Preparation:
    if step["delimiter"] == " ":
        return _drop_white(done, step)
    return done._replace(divider="CharDelimiterSplit").with_loss(f"{step['delimiter']!r}, which is left out")


def _punctuation(done: Preparation, step: Step) -> Preparation:
    done = done._replace(divider="Punctuation")
    return done.with_loss("punctuation, which is left out") if step["behavior"] == "Removed" else done


def _drop_white(done: Preparation, step: Step) -> Preparation:
    return done._replace(drops_white=True)


def _words(done: Preparation, step: Step) -> Preparation:
    return done._replace(drops_white=True, divider=step["type"])


def _scripts(done: Preparation, step: Step) -> Preparation:
    # The library drops a space without a script in front of it.
    return _divide(done, step).with_loss("what UnicodeScripts leaves out")


def _divide(done: Preparation, step: Step) -> Preparation:
    return done._replace(divider=step["type"])


# Steps that write a space or a byte as another character, or add one.
_SPELLING = ("ByteLevel", "Metaspace", "Prepend")
_Change = Callable[[Preparation, Step], Preparation]
_NORMALIZERS: dict[str, _Change] = {"Replace": _replace, "Prepend": _prepend, "ByteLevel": _byte_level}
_PRE_TOKENIZERS: dict[str, _Change] = {
    "BertPreTokenizer": _words,
    "ByteLevel": _byte_level,
    "CharDelimiterSplit": _delimiter,
    "Digits": _divide,
    "FixedLength": _divide,
    "Metaspace": _metaspace,
    "Punctuation": _punctuation,
    "Split": _split,
    "UnicodeScripts": _scripts,
    "Whitespace": _words,
    "WhitespaceSplit": _drop_white,
}
