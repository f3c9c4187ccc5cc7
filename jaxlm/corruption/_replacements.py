"""What a chosen token becomes. A replacement is a function of a word and a token; a mixture of some is one.

Words and tokens are arrays of one shape, NumPy's or JAX's, and the result is of the tokens' kind: the same on
host and device. Each is a frozen record, so that it pickles for a pipeline's worker processes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxlm import ops
from jaxlm.corruption._corrupt import Replacement
from jaxlm.corruption._shares import WORDS, array_module, is_below, share_bound
from jaxlm.errors import ConfigError


@dataclass(frozen=True, eq=False)
class _ToMask:
    mask_id: int

    def __call__(self, words: Any, tokens: Any) -> Any:
        return array_module(tokens).full_like(tokens, self.mask_id)


@dataclass(frozen=True, eq=False)
class _Keep:
    def __call__(self, words: Any, tokens: Any) -> Any:
        return tokens


@dataclass(frozen=True, eq=False)
class _ToRandom:
    ids: np.ndarray

    def __call__(self, words: Any, tokens: Any) -> Any:
        ids = array_module(tokens).asarray(self.ids)
        return ids[ops.multiply_high(words, self.ids.size)].astype(tokens.dtype)


@dataclass(frozen=True, eq=False)
class _ToOther:
    ids: np.ndarray
    places: np.ndarray

    def __call__(self, words: Any, tokens: Any) -> Any:
        xp = array_module(tokens)
        own = xp.asarray(self.places)[tokens.clip(0, self.places.size - 1)]
        # Of the ids without its own: those from its own on are one further. A stranger has all to draw from.
        drawn = ops.multiply_high(words, self.ids.size - 1)
        other = drawn + (drawn >= own).astype(np.uint32)
        any_id = ops.multiply_high(words, self.ids.size)
        place = xp.where(own < self.ids.size, other, any_id)
        return xp.asarray(self.ids)[place].astype(tokens.dtype)


@dataclass(frozen=True, eq=False)
class _Mixture:
    parts: tuple[tuple[int, int, Replacement], ...]

    def __call__(self, words: Any, tokens: Any) -> Any:
        xp = array_module(tokens)
        seen = tokens
        for start, stop, replacement in reversed(self.parts):
            own = replacement(_stretched(words - np.uint32(start), stop - start), tokens)
            seen = xp.where(is_below(words, stop), own, seen)
        return seen


def to_mask(mask_id: int) -> Replacement:
    """Returns the replacement by the mask id.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import to_mask
      >>> to_mask(4)(np.zeros(2, np.uint32), np.array([7, 8])).tolist()
      [4, 4]
    """
    return _ToMask(int(mask_id))


def keep() -> Replacement:
    """Returns the replacement of a token by itself: it stays, and is predicted all the same.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import keep
      >>> keep()(np.zeros(2, np.uint32), np.array([7, 8])).tolist()
      [7, 8]
    """
    return _Keep()


def to_random(ids: np.ndarray | Sequence[int]) -> Replacement:
    """Returns the replacement by a random id of `ids`, which may be the token's own.

    Raises:
      ConfigError: if there are no ids.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import to_random
      >>> to_random([8, 9])(np.array([0, 2**32 - 1], np.uint32), np.array([7, 9])).tolist()
      [8, 9]
    """
    ids = np.asarray(ids, np.int32)
    if not ids.size:
        raise ConfigError("a random replacement draws from at least one id: got none; give the vocabulary's")
    return _ToRandom(ids)


def to_other(ids: np.ndarray | Sequence[int]) -> Replacement:
    """Returns the replacement by another id of `ids`, each as likely, and never the token's own.

    Raises:
      ConfigError: if there are fewer than two ids, or an id stands there twice.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import to_other
      >>> to_other([7, 8, 9])(np.array([0, 2**32 - 1], np.uint32), np.array([7, 9])).tolist()
      [8, 8]
    """
    ids = np.asarray(ids, np.int32)
    if ids.size < 2 or np.unique(ids).size != ids.size:
        raise ConfigError(f"another id is drawn from at least two distinct ids: got {ids.tolist()[:8]}")
    places = np.full(ids.max() + 2, ids.size, np.uint32)
    places[ids] = np.arange(ids.size)
    return _ToOther(ids, places)


def mixture(parts: Sequence[tuple[float, Replacement]]) -> Replacement:
    """Returns the replacement that is one of several, drawn for each position by their weights.

    BERT's is `mixture([(0.8, to_mask(id)), (0.1, to_random(ids)), (0.1, keep())])`. A position's word says
    which part it is, and where in that part's range it lies becomes, stretched, the part's own word; parts
    may be mixtures in turn. Two of R ids that a part of weight w draws from differ in probability by at
    most R / (w * 2^32): 7e-5 at R = 30,522 and a tenth.

    Args:
      parts: (weight, replacement), the weights not negative, of sum 1.

    Raises:
      ValueError: if a weight is negative or they do not sum to 1.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import mixture, to_mask, to_random
      >>> half = mixture([(0.5, to_mask(4)), (0.5, to_random([8, 9]))])
      >>> half(np.array([0, 2**31, 2**32 - 1], np.uint32), np.array([7, 7, 7])).tolist()
      [4, 8, 9]

    References:
      Devlin et al., "BERT", 2019, https://arxiv.org/abs/1810.04805 (section 3.1).
    """
    weights = [float(weight) for weight, _ in parts]
    if not all(weight >= 0 for weight in weights) or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ValueError(f"the weights of a mixture are not negative and sum to 1: got {weights}")
    used = [(weight, part) for weight, part in parts if weight > 0]
    bounds = [share_bound(math.fsum(weight for weight, _ in used[:index])) for index in range(len(used))]
    ranges = zip(bounds, [*bounds[1:], WORDS], used, strict=True)
    return _Mixture(tuple((start, stop, part) for start, stop, (_, part) in ranges if start < stop))


def _stretched(within: Any, width: int) -> Any:
    """Words that are uniform in [0, width) as words of the whole range: floor(within * 2^32 / width)."""
    if width >= WORDS:
        return within
    whole, rest = divmod(WORDS * WORDS // width, WORDS)
    return within * np.uint32(whole) + ops.multiply_high(within, rest)
