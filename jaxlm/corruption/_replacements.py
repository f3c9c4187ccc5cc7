"""Replacements: what chosen tokens become. A replacement is a function of random words and tokens.

Words and tokens are arrays of the same shape, of NumPy or JAX, and the result is of the same kind as the
tokens, equal on host and device. A mixture of replacements is a replacement. Each is a frozen dataclass, so
that it can be pickled for a pipeline's worker processes.
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
    index_of_id: np.ndarray

    def __call__(self, words: Any, tokens: Any) -> Any:
        xp = array_module(tokens)
        own = xp.asarray(self.index_of_id)[tokens.clip(0, self.index_of_id.size - 1)]
        # A draw among the ids without the token's own skips it. Other tokens draw from all ids.
        drawn = ops.multiply_high(words, self.ids.size - 1)
        other = drawn + (drawn >= own).astype(np.uint32)
        any_id = ops.multiply_high(words, self.ids.size)
        index = xp.where(own < self.ids.size, other, any_id)
        return xp.asarray(self.ids)[index].astype(tokens.dtype)


@dataclass(frozen=True, eq=False)
class _Mixture:
    parts: tuple[tuple[int, int, Replacement], ...]

    def __call__(self, words: Any, tokens: Any) -> Any:
        xp = array_module(tokens)
        seen = tokens
        for start, stop, replacement in reversed(self.parts):
            own = replacement(_scaled(words - np.uint32(start), stop - start), tokens)
            seen = xp.where(is_below(words, stop), own, seen)
        return seen


def to_mask(mask_id: int) -> Replacement:
    """Returns the replacement of every token by the mask id.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import to_mask
      >>> to_mask(4)(np.zeros(2, np.uint32), np.array([7, 8])).tolist()
      [4, 4]
    """
    return _ToMask(int(mask_id))


def keep() -> Replacement:
    """Returns the replacement of a token by itself: the token stays, but it is to be predicted.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import keep
      >>> keep()(np.zeros(2, np.uint32), np.array([7, 8])).tolist()
      [7, 8]
    """
    return _Keep()


def to_random(ids: np.ndarray | Sequence[int]) -> Replacement:
    """Returns the replacement of every token by a random id of `ids`, which may be the old one.

    Raises:
      ConfigError: if `ids` is empty.

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
    """Returns the replacement of every token by another id, all other `ids` being equally likely.

    Raises:
      ConfigError: if `ids` has fewer than two ids, or an id occurs twice.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import to_other
      >>> to_other([7, 8, 9])(np.array([0, 2**32 - 1], np.uint32), np.array([7, 9])).tolist()
      [8, 8]
    """
    ids = np.asarray(ids, np.int32)
    if ids.size < 2 or np.unique(ids).size != ids.size:
        raise ConfigError(f"another id is drawn from at least two distinct ids: got {ids.tolist()[:8]}")
    index_of_id = np.full(ids.max() + 2, ids.size, np.uint32)
    index_of_id[ids] = np.arange(ids.size)
    return _ToOther(ids, index_of_id)


def mixture(parts: Sequence[tuple[float, Replacement]]) -> Replacement:
    """Returns a replacement that draws one of several for each position, by their weights.

    BERT's masking is `mixture([(0.8, to_mask(id)), (0.1, to_random(ids)), (0.1, keep())])`. A replacement is
    given one random `uint32` word for each position. `mixture` divides the words into one range for each
    part: a position's word selects the part by its range, and its place in the range, scaled to all words, is
    the word that the part is given. Parts may be mixtures. If a part of weight w draws from n ids, their
    probabilities differ by at most n / (w * 2^32): 7e-5 for 30,522 ids and a weight of 0.1.

    Args:
      parts: pairs (weight, replacement). No weight is negative, and the weights sum to 1.

    Raises:
      ValueError: if a weight is negative or the weights do not sum to 1.

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


def _scaled(within: Any, width: int) -> Any:
    """Words that are uniform in [0, width), scaled to all words: floor(within * 2^32 / width)."""
    if width >= WORDS:
        return within
    whole, rest = divmod(WORDS * WORDS // width, WORDS)
    return within * np.uint32(whole) + ops.multiply_high(within, rest)
