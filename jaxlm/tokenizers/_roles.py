"""The roles of special tokens: padding, mask, end of an instruction, ..."""

from collections.abc import Mapping
from typing import NamedTuple

import tokenizers

from jaxlm.tokenizers._kinds import INSTRUCTION_SPECIALS, infer_kind

# The names that published vocabularies use, the clearest first.
CONVENTIONAL_NAMES: dict[str, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>", "<|pad|>"),
    "unk": ("[UNK]", "<unk>", "<|unk|>"),
    "cls": ("[CLS]", "<cls>", "<|cls|>"),
    "sep": ("[SEP]", "<sep>", "<|sep|>"),
    "bos": ("<s>", "[BOS]", "<bos>", "<|bos|>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"),
    "eos": ("</s>", "[EOS]", "<eos>", "<|eos|>", "<|end_of_text|>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
    "next": ("[NEXT]", "<next>", "<|next|>"),
}


class Specials(NamedTuple):
    """The ids of the tokens with special roles, each None if no token of the vocabulary has the role.

    `pad` fills rows; `unk` replaces what the vocabulary cannot write; `cls` and `sep` open and close the text
    of an encoder; `bos` and `eos` open and close the text of a decoder; `mask` replaces a hidden token;
    `next` separates the instructions of a function.
    """

    pad: int | None = None
    unk: int | None = None
    cls: int | None = None
    sep: int | None = None
    bos: int | None = None
    eos: int | None = None
    mask: int | None = None
    next: int | None = None

    @property
    def ends(self) -> tuple[int, int] | None:
        """The ids that can open and close a text; None if the vocabulary has neither.

        The ids are those of `bos` and `eos`, or else of `cls` and `sep`. If a vocabulary has only one of the
        two, as GPT-2, its id stands at both ends. `text_frame` decides whether a text gets these tokens at
        all.

        Example:
          >>> from jaxlm.tokenizers import Specials
          >>> Specials(cls=0, eos=2).ends, Specials(eos=7).ends, Specials(mask=4).ends
          ((0, 2), (7, 7), None)
        """
        opening = [id for id in (self.bos, self.cls, self.eos, self.sep) if id is not None]
        closing = [id for id in (self.eos, self.sep, self.bos, self.cls) if id is not None]
        return (opening[0], closing[0]) if opening else None


def resolve_roles(backend: tokenizers.Tokenizer, roles: Mapping[str, str | None]) -> Specials:
    """Returns the id of every role: of the token that `roles` names, else of one with a conventional name.

    Conventional names are looked up among added tokens only, because an ordinary piece of a vocabulary may be
    spelled `</s>` too.

    Args:
      backend: the vocabulary.
      roles: token by role, for example `{"mask": "<mask>"}`; a token that the vocabulary lacks, or an empty
        one, counts as not named; None means that no token has the role.

    Example:
      >>> import tokenizers
      >>> from jaxlm.tokenizers._roles import resolve_roles
      >>> backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<m>": 0, "[PAD]": 1}, unk_token="<m>"))
      >>> resolve_roles(backend, {"mask": "<m>"})
      Specials(pad=None, unk=None, cls=None, sep=None, bos=None, eos=None, mask=0, next=None)
      >>> backend.add_special_tokens(["[PAD]"])
      1
      >>> resolve_roles(backend, {}).pad
      1
    """
    reserved = {token.content for token in backend.get_added_tokens_decoder().values()}
    reserved.update(INSTRUCTION_SPECIALS if infer_kind(backend) == "instructions" else ())

    def find(role: str) -> int | None:
        if role in roles and roles[role] is None:
            return None
        names = [roles.get(role, ""), *(name for name in CONVENTIONAL_NAMES[role] if name in reserved)]
        # Vocabularies may have an empty entry (an empty line), which has no role.
        ids = (backend.token_to_id(name) for name in names if name)
        return next((id for id in ids if id is not None), None)

    return Specials(**{role: find(role) for role in Specials._fields})
