"""Prompts as padded rows of ids for one compiled call, each with a name that its draws depend on."""

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import models, ops, pretrained
from jaxlm.decoding._loaded_texts import Text, read_ids
from jaxlm.errors import UsageError


class Prompts(NamedTuple):
    """Prompts side by side, padded on the right.

    Attributes:
      tokens: `Int[B P]` ids, padding 0.
      lengths: `Int[B]` how many tokens of a row are real; 0 in rows that only fill the batch.
      names: `UInt32[B 2]` what a row's draws depend on: a digest of its ids, and how many earlier rows hold
        the same ids.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    names: np.ndarray


def prompt_ids(loaded: pretrained.Loaded, text: Text, *, new_tokens: int = 0) -> np.ndarray:
    """Returns the checked ids of a prompt; those of an empty one are the begin-of-sequence token.

    Args:
      loaded: the model.
      text: a text, before which the model's opening tokens are put; or ids, to which nothing is added.
      new_tokens: how many tokens must fit into the model's context after the prompt.

    Returns:
      `Int[L]` ids, int32, at least one.

    Raises:
      UsageError: if the prompt is empty and the tokenizer has no token that begins texts, the prompt is too
        long, or it holds an id that the model does not have.
    """
    ids = read_ids(loaded, text)
    if ids.size == 0:
        bos = loaded.text_tokenizer.specials.bos
        if bos is None:
            raise UsageError(
                "the prompt is empty, and this tokenizer has no token that begins texts: write some"
            )
        ids = np.array([bos])
    return checked_ids(loaded.config, ids, new_tokens=new_tokens)


def checked_ids(config: models.TransformerConfig, ids: np.ndarray, *, new_tokens: int = 0) -> np.ndarray:
    """Returns ids as int32.

    Args:
      config: of the model.
      ids: `Int[L]`, at least one.
      new_tokens: how many tokens must fit into the model's context after them.

    Raises:
      UsageError: if they are not one row of whole numbers, are too many, or hold one that the model does not
        have.
    """
    vocab_size, max_length = config.required_vocab_size(), models.longest_text(config)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise UsageError(f"a prompt's ids are one row of whole numbers: got shape {ids.shape} of {ids.dtype}")
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise UsageError(f"ids lie in 0..{vocab_size - 1}: got {int(ids.min())}..{int(ids.max())}")
    if ids.size + new_tokens > max_length:
        more = f" and {new_tokens} more must fit" if new_tokens else ""
        raise UsageError(
            f"the prompt is {ids.size} tokens long{more}, and the model reads at most {max_length} "
            "(its max_length); shorten it"
        )
    return ids.astype(np.int32)


def pad_prompts(prompts: Sequence[np.ndarray], max_length: int) -> Prompts:
    """Returns prompts as rows. The rows' number and length are rounded up, so that few programs are compiled.

    Args:
      prompts: `Int[L_i]` ids, none longer than `max_length`.
      max_length: the model's context; no row is padded beyond it.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding._prompts import pad_prompts
      >>> prompts = pad_prompts([np.array([5, 6, 7]), np.array([8])], max_length=4)
      >>> prompts.tokens.tolist(), prompts.lengths.tolist()
      ([[5, 6, 7, 0], [8, 0, 0, 0]], [3, 1])
    """
    num_rows = ops.bucket(len(prompts))
    width = min(ops.fine_bucket(max(prompt.size for prompt in prompts)), max_length)
    tokens, lengths = np.zeros((num_rows, width), np.int32), np.zeros(num_rows, np.int32)
    names, before = np.zeros((num_rows, 2), np.uint32), Counter()
    for row, prompt in enumerate(prompts):
        tokens[row, : prompt.size], lengths[row] = prompt, prompt.size
        digest = zlib.crc32(prompt.astype("<i4").tobytes())
        names[row] = digest, before[digest]
        before[digest] += 1
    return Prompts(tokens, lengths, names)
