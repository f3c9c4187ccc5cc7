"""What stands before and behind a text, for each of those who read it: one function, one table."""

import functools
import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.tokenizers._tokenizer import Tokenizer

# Texts of every kind, residues included, that no file opens or closes texts with.
PROBES = ("A", "a", "0")
MOST_PROBES = 100
Reader = Literal["training", "text", "score", "prompt", "harness", "prefix"]


class Frame(NamedTuple):
    """The ids before and behind a text.

    Attributes:
      opening: in their order.
      closing: in their order.

    Example:
      >>> import numpy as np
      >>> from jaxlm.tokenizers import Frame
      >>> Frame((2,), (1,)).around(np.array([7, 8])).tolist()
      [2, 7, 8, 1]
    """

    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()

    def around(self, ids: np.ndarray) -> np.ndarray:
        """Returns ids between what opens and what closes them, `Int32`."""
        return np.concatenate([self.opening, ids, self.closing]).astype(np.int32)


def text_frame(tokenizer: Tokenizer, reader: Reader, trained: Frame | None = None) -> Frame:
    """Returns what stands around a text for one who reads it with a model.

    What a model was trained with, where that is known, is what it reads. Else it is, of published tokenizers
    (`-` is nothing, `opening ... closing`):

    | tokenizer | its file puts | score | prompt | harness | prefix | training |
    |---|---|---|---|---|---|---|
    | GPT-2, Pythia: bos = eos = `<|endoftext|>` | - | bos ... eos | - | - | bos | bos ... eos |
    | Llama: `<s>`, `</s>` | `<s> ...` | `<s> ... </s>` | `<s> ...` | `<s> ...` | `<s>` | `<s> ... </s>` |
    | Qwen2.5: eos alone | - | eos ... eos | - | - | eos | eos ... eos |
    | llm-jp: bos, eos, cls, sep | bos ... | bos ... eos | bos ... | bos ... | bos | bos ... eos |
    | BERT's vocabulary: cls, sep | cls ... sep | cls ... sep | cls ... | cls ... sep | cls | cls ... sep |
    | cls and sep, no template | - | - | - | - | - | cls ... sep |

    The readers:

    - "score": the file's own opening, else bos, else eos; the file's own closing, else eos, which is
      predicted where that is asked for. Neither is ever cls, sep or pad unless the file puts it there.
    - "prompt": a text that is gone on with: the file's own opening alone, as in `transformers`, not closed.
    - "text": a text that is read whole, as an encoder does: what the file puts around it.
    - "harness": a text of lm-evaluation-harness, as its model `hf` encodes it: what the file puts around it.
    - "prefix": what the harness puts where there is no context: bos, else eos, else the file's own opening.
    - "training": as "score", and where a side has none of these, any role that may stand there (see
      `Specials.ends`): for a corpus whose texts are to have ends.

    Args:
      tokenizer: of the model.
      reader: who reads.
      trained: what stood around the texts that the model was trained on; None: not known.

    Example:
      >>> from jaxlm.tokenizers import Frame, text_frame
      >>> from jaxlm import tokenizers
      >>> text_frame(tokenizers.residue_tokenizer(), "text")
      Frame(opening=(0,), closing=(2,))
      >>> text_frame(tokenizers.residue_tokenizer(), "prompt")
      Frame(opening=(0,), closing=())
      >>> text_frame(tokenizers.residue_tokenizer(), "score", Frame())
      Frame(opening=(), closing=())
    """
    roles = tokenizer.specials
    if reader == "prefix":
        own = file_frame(tokenizer) if trained is None else trained
        return Frame(_first(roles.bos, roles.eos) or own.opening[-1:])
    if trained is not None:
        is_causal = reader in ("prompt", "harness")
        return Frame(trained.opening) if is_causal else trained
    own = file_frame(tokenizer)
    if reader == "prompt":
        return Frame(own.opening)
    if reader in ("text", "harness"):
        return own
    opening, closing = own.opening or _first(roles.bos, roles.eos), own.closing or _first(roles.eos)
    if reader == "score":
        return Frame(opening, closing)
    first, last = ((id,) for id in roles.ends or (None, None))
    return Frame(opening or _first(*first), closing or _first(*last))


@functools.lru_cache(maxsize=8)
def file_frame(tokenizer: Tokenizer) -> Frame:
    """Returns the ids that a tokenizer's file puts before and behind a text.

    Example:
      >>> from jaxlm.tokenizers import file_frame
      >>> from jaxlm import tokenizers
      >>> file_frame(tokenizers.residue_tokenizer())
      Frame(opening=(0,), closing=(2,))
    """
    found = ((probe, _ids(tokenizer, probe, add_specials=False)) for probe in _probes(tokenizer))
    probe, plain = next(((probe, ids) for probe, ids in found if ids), ("", ()))
    whole = _ids(tokenizer, probe, add_specials=True)
    starts = range(len(whole) - len(plain) + 1)
    start = next((n for n in starts if whole[n : n + len(plain)] == plain), 0)
    return Frame(whole[:start], whole[start + len(plain) :])


def _probes(tokenizer: Tokenizer) -> Iterator[str]:
    """Texts that are read as some id: of a vocabulary without usual letters its own tokens."""
    yield from PROBES
    special = set(tokenizer.special_ids)
    own = (id for id in range(tokenizer.vocab_size) if id not in special)
    yield from (tokenizer.token(id) for id in itertools.islice(own, MOST_PROBES))


def _first(*ids: int | None) -> tuple[int, ...]:
    """The first id that there is, alone; nothing where there is none."""
    return next(((id,) for id in ids if id is not None), ())


def _ids(tokenizer: Tokenizer, text: str, *, add_specials: bool) -> tuple[int, ...]:
    """The ids of a probe; none where a tokenizer of residues refuses it."""
    try:
        return tuple(tokenizer.encode(text, add_specials=add_specials).tolist())
    except ValueError:
        return ()
