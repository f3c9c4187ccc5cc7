"""What a model is asked to read, and what it answers: the two records between measures and the engine.

Letters: `n` tokens of a piece, `m` places of it that are scored, `c` tokens of what it is compared with, `k`
likeliest ids, `s` sets of ids.
"""

import abc
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class QueryContrast(NamedTuple):
    """Another sequence that is read in the same batch as a piece, and compared with it place by place.

    Attributes:
      tokens: `Int32[c]` as the model reads them.
      places: `Int32[m]` for each asked place of the piece, the place in `tokens` that it is compared with.
      targets: `Int32[m]` the id that each of them is asked for.

    Example:
      >>> QueryContrast(*(np.array(one, np.int32) for one in ([5, 6], [1], [7]))).tokens.tolist()
      [5, 6]
    """

    tokens: np.ndarray
    places: np.ndarray
    targets: np.ndarray


class Query(NamedTuple):
    """A query of the model: one sequence that it reads, and the places that are asked of it; host arrays.

    Attributes:
      tokens: `Int32[n]` as the model reads them: of a masked LM with the masks in place, of a causal one with
        what opens the text in front, and without a last token that nothing follows.
      scored: `Int32[m]` places in `tokens` that are asked: of a causal LM the place before the token that it
        predicts.
      targets: `Int32[m]` the id that each of them is asked for.
      positions: `Int32[n]`, of a model with "instruction" positions `Int32[n 2]`; None: offsets in `tokens`,
        or what the tokens say.
      context: the first tokens, of which the engine may read one copy for all pieces that begin with the same
        ones; 0: none. Only a causal model's context does not depend on what follows it.
      contrast: what it is compared with, of a forward that compares (see `Forward`); else None.

    Example:
      >>> piece = Query(np.array([0, 7, 8], np.int32), np.array([1, 2], np.int32), np.array([8, 9], np.int32))
      >>> piece.positions is None, piece.context
      (True, 0)
    """

    tokens: np.ndarray
    scored: np.ndarray
    targets: np.ndarray
    positions: np.ndarray | None = None
    context: int = 0
    contrast: QueryContrast | None = None


class QueryScores(NamedTuple):
    """What a model says of a piece, in the order of `Query.scored`; nats.

    Attributes:
      log_probs: `Float32[m]` log p(target).
      ranks: `Int32[m]` how many ids are likelier than the target, 0 = it is the likeliest; None unless the
        engine was asked for details.
      entropy: `Float32[m]` of the whole distribution; None as `ranks`.
      confidence: `Float32[m]` the probability of the likeliest id; None as `ranks`.
      top_tokens: `Int32[m k]` the likeliest ids, most likely first; None where k is 0.
      top_log_probs: `Float32[m k]` theirs.
      masses: `Float32[m s]` the log of the probability of each set of ids; None where there are none.

    Example:
      >>> QueryScores(np.zeros(1, np.float32)).ranks is None
      True
    """

    log_probs: np.ndarray
    ranks: np.ndarray | None = None
    entropy: np.ndarray | None = None
    confidence: np.ndarray | None = None
    top_tokens: np.ndarray | None = None
    top_log_probs: np.ndarray | None = None
    masses: np.ndarray | None = None


class QueryExtent(NamedTuple):
    """How much pieces hold.

    Attributes:
      longest: tokens of the longest of them.
      largest_id: of their tokens and targets.
    """

    longest: int = 0
    largest_id: int = 0


class LazyQueries(Sequence[Query]):
    """Pieces that are made when they are looked at, and say how much they hold without being made."""

    @abc.abstractmethod
    def extent(self) -> QueryExtent:
        """Returns how much they hold; no less than it is."""


def extent(pieces: Sequence[Query]) -> QueryExtent:
    """Returns how much pieces hold.

    Args:
      pieces: of a document; may be empty.

    Example:
      >>> extent([Query(np.array([3, 9]), np.array([0]), np.array([9]))])
      Extent(longest=2, largest_id=9)
    """
    if isinstance(pieces, LazyQueries):
        return pieces.extent()
    runs = [run for piece in pieces for run in (piece, piece.contrast) if run is not None]
    ids = (each for run in runs for each in (run.tokens, run.targets))
    longest = max((len(run.tokens) for run in runs), default=0)
    return QueryExtent(longest, max((int(each.max(initial=0)) for each in ids), default=0))
