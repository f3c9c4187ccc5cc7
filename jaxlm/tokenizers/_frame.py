"""The ids before and after a text, for each kind of reader, in one function and one table."""

import functools
import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from jaxlm.tokenizers._tokenizer import Tokenizer

# Texts of every kind, residues included, that are no opening or closing tokens.
PROBES = ("A", "a", "0")
MOST_PROBES = 100
Reader = Literal["training", "text", "score", "prompt", "harness", "prefix"]


class Frame(NamedTuple):
    """The ids of the opening and closing tokens around a text, such as [CLS] and [SEP].

    Attributes:
      opening: the ids before the text, in order; empty if nothing stands there.
      closing: the ids after the text, in order; empty if nothing stands there.

    Example:
      >>> import numpy as np
      >>> from jaxlm.tokenizers import Frame
      >>> Frame((2,), (1,)).around(np.array([7, 8])).tolist()
      [2, 7, 8, 1]
    """

    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()

    def around(self, ids: np.ndarray) -> np.ndarray:
        """Returns the opening ids, the given ids and the closing ids as one array, `Int32[L]`."""
        return np.concatenate([self.opening, ids, self.closing]).astype(np.int32)


def text_frame(tokenizer: Tokenizer, reader: Reader, trained: Frame | None = None) -> Frame:
    """Returns the opening and closing ids around a text, for a model and for what the text is used for.

    The use is called the reader. If the ids around the training texts are known, these ids are used.
    Otherwise the table shows the tokens for published tokenizers, as `opening ... closing`; `-` means that
    there are none:

    | tokenizer | its file puts | score | prompt | harness | prefix | training |
    |---|---|---|---|---|---|---|
    | GPT-2, Pythia: bos = eos = `<|endoftext|>` | - | bos ... eos | - | - | bos | bos ... eos |
    | Llama: `<s>`, `</s>` | `<s> ...` | `<s> ... </s>` | `<s> ...` | `<s> ...` | `<s>` | `<s> ... </s>` |
    | Qwen2.5: eos alone | - | eos ... eos | - | - | eos | eos ... eos |
    | llm-jp: bos, eos, cls, sep | bos ... | bos ... eos | bos ... | bos ... | bos | bos ... eos |
    | BERT's vocabulary: cls, sep | cls ... sep | cls ... sep | cls ... | cls ... sep | cls | cls ... sep |
    | cls and sep, no template | - | - | - | - | - | cls ... sep |

    The readers:

    - "score": a text whose probability is computed. It opens with the tokens that the file puts before a
      text, else bos, else eos. It closes with the tokens that the file puts after a text, else eos, which is
      predicted on request. Neither side has cls, sep or pad unless the file puts it there.
    - "prompt": a text that is continued. It has the file's opening tokens alone, as in `transformers`.
    - "text": a text that is read as a whole, by an encoder for example. It has what the file puts around it.
    - "harness": a text of lm-evaluation-harness, as the harness's model `hf` encodes it. It has what the file
      puts around it.
    - "prefix": the tokens by which lm-evaluation-harness replaces an empty context: bos, else eos, else the
      file's opening tokens.
    - "training": a text of the training corpus. It has the same tokens as for "score"; a side for which
      "score" finds no token gets any token that may stand there (see `Specials.ends`).

    Args:
      tokenizer: the tokenizer of the model.
      reader: what the text is used for, one of the names above.
      trained: the ids around the training texts, from `pretrained.Loaded.frame`. None: these ids are not
        known, and the table decides.

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
    """Returns the ids that a tokenizer's file puts before and after a text.

    Example:
      >>> from jaxlm.tokenizers import file_frame
      >>> from jaxlm import tokenizers
      >>> file_frame(tokenizers.residue_tokenizer())
      Frame(opening=(0,), closing=(2,))
    """
    encoded = ((probe, _ids(tokenizer, probe, add_specials=False)) for probe in _probes(tokenizer))
    probe, plain = next(((probe, ids) for probe, ids in encoded if ids), ("", ()))
    whole = _ids(tokenizer, probe, add_specials=True)
    starts = range(len(whole) - len(plain) + 1)
    start = next((n for n in starts if whole[n : n + len(plain)] == plain), 0)
    return Frame(whole[:start], whole[start + len(plain) :])


def _probes(tokenizer: Tokenizer) -> Iterator[str]:
    """Texts of which some become an id; for a vocabulary without usual letters, its own tokens."""
    yield from PROBES
    special = set(tokenizer.special_ids)
    own = (id for id in range(tokenizer.vocab_size) if id not in special)
    yield from (tokenizer.token(id) for id in itertools.islice(own, MOST_PROBES))


def _first(*ids: int | None) -> tuple[int, ...]:
    """The first id that is not None, as a tuple; empty if all are None."""
    return next(((id,) for id in ids if id is not None), ())


def _ids(tokenizer: Tokenizer, text: str, *, add_specials: bool) -> tuple[int, ...]:
    """The ids of a probe; empty if a tokenizer of residues refuses it."""
    try:
        return tuple(tokenizer.encode(text, add_specials=add_specials).tolist())
    except ValueError:
        return ()
