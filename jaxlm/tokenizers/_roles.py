"""Which id plays which part: padding, mask, end of an instruction, ..."""

from collections.abc import Mapping
from typing import NamedTuple

import tokenizers

from jaxlm.tokenizers._kinds import INSTRUCTION_SPECIALS, infer_kind

# The names that published vocabularies use, the most telling first.
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
    """The ids of the roles, None where the vocabulary has no such token.

    `pad` fills rows, `unk` stands for what a vocabulary can't write, `cls` and `sep` open and close an
    encoder's text, `bos` and `eos` a decoder's, `mask` hides a token, `next` ends an instruction.
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
        """The ids that may open and close a text, None where the vocabulary has none.

        `bos` and `eos` where they are there, else `cls` and `sep`; a vocabulary with one of them has it at
        both ends, as GPT-2's. Whether a text has ends at all, `text_frame` says.

        Example:
          >>> from jaxlm.tokenizers import Specials
          >>> Specials(cls=0, eos=2).ends, Specials(eos=7).ends, Specials(mask=4).ends
          ((0, 2), (7, 7), None)
        """
        opening = [id for id in (self.bos, self.cls, self.eos, self.sep) if id is not None]
        closing = [id for id in (self.eos, self.sep, self.bos, self.cls) if id is not None]
        return (opening[0], closing[0]) if opening else None


def resolve_roles(backend: tokenizers.Tokenizer, roles: Mapping[str, str | None]) -> Specials:
    """Finds the id of every role: by the token that `roles` names, else by a conventional name.

    Conventional names are looked for only among tokens that stand for themselves wherever they are matched:
    an ordinary piece of a vocabulary may well be spelled `</s>`.

    Args:
      backend: the vocabulary.
      roles: role to token, e.g. `{"mask": "<mask>"}`; a token that the vocabulary lacks counts as not named,
        and so does an empty one; None says that no token has the role.

    Returns:
      `Specials`.

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
        # An entry without a name takes no role, though vocabularies have one (an empty line).
        ids = (backend.token_to_id(name) for name in names if name)
        return next((id for id in ids if id is not None), None)

    return Specials(**{role: find(role) for role in Specials._fields})
