"""What a model is asked to read, and what it answers: the records between measures and the engine.

Letters: `n` tokens of a query, `m` places of it that are asked, `c` tokens of what it is compared with, `k`
likeliest ids, `s` sets of ids.
"""

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxlm.errors import ScoreError

# A block of queries ends when it has this many queries, or this many tokens.
BLOCK_QUERIES, BLOCK_TOKENS = 256, 1 << 16
SOME_CONTRASTS = "some queries have a contrast and others have none: a measure gives all of them one, or none"

# An array of the device inside a forward, of the host outside of it.
AnyArray = np.ndarray | jax.Array


class QueryContrast(NamedTuple):
    """Another sequence that is read in the same batch as a query, and compared with it place by place.

    Attributes:
      tokens: `Int32[c]` as the model reads them.
      places: `Int32[m]` for each asked place of the query, the index in `tokens` that it is compared with.
      targets: `Int32[m]` the id that the contrast is asked for there.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import QueryContrast
      >>> QueryContrast(*(np.array(ids, np.int32) for ids in ([5, 6], [1], [7]))).tokens.tolist()
      [5, 6]
    """

    tokens: np.ndarray
    places: np.ndarray
    targets: np.ndarray


class Query(NamedTuple):
    """One sequence that the model reads, and the places that it is asked about; host arrays.

    Attributes:
      tokens: `Int32[n]` as the model reads them: for a masked LM with the masks in place, for a causal one
        with what opens the text in front, and without a last token if nothing follows it.
      scored: `Int32[m]` indices into `tokens` of the places that are asked: for a causal LM the place before
        the token that it predicts.
      targets: `Int32[m]` the id that each place is asked for.
      positions: `Int32[n]`, for a model with "instruction" positions `Int32[n 2]`; None: offsets in `tokens`,
        or what follows from the tokens.
      context: how many of the first tokens are a prefix that other queries may begin with, too: the engine
        may read one copy of it for all of them; 0: none. Only a causal model can share it.
      contrast: what the query is compared with, if the forward compares (see `Forward`); else None.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import Query
      >>> query = Query(np.array([0, 7, 8], np.int32), np.array([1, 2], np.int32), np.array([8, 9], np.int32))
      >>> query.positions is None, query.context
      (True, 0)
    """

    tokens: np.ndarray
    scored: np.ndarray
    targets: np.ndarray
    positions: np.ndarray | None = None
    context: int = 0
    contrast: QueryContrast | None = None


class QueryScores(NamedTuple):
    """What a model says about a query, in the order of `Query.scored`; in nats.

    Attributes:
      log_probs: `Float32[m]` log p(target).
      ranks: `Int32[m]` how many ids are likelier than the target, 0 = the target is the likeliest; None
        unless the forward computes details.
      entropy: `Float32[m]` of the whole distribution; None as `ranks`.
      confidence: `Float32[m]` the probability of the likeliest id; None as `ranks`.
      top_tokens: `Int32[m k]` the likeliest ids, most likely first; None if k is 0.
      top_log_probs: `Float32[m k]` their log-probabilities; None if k is 0.
      masses: `Float32[m s]` the log of the probability of each set of ids; None if there are no sets.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import QueryScores
      >>> QueryScores(np.zeros(1, np.float32)).ranks is None
      True
    """

    log_probs: AnyArray
    ranks: AnyArray | None = None
    entropy: AnyArray | None = None
    confidence: AnyArray | None = None
    top_tokens: AnyArray | None = None
    top_log_probs: AnyArray | None = None
    masses: AnyArray | None = None


def scores_between(scores: QueryScores, start: int, end: int) -> QueryScores:
    """Returns the scores of the places from `start` up to `end`, not including it.

    Args:
      scores: of a query, or of several joined as one.
      start: the first place.
      end: the place behind the last one.
    """
    others = (None if values is None else values[start:end] for values in scores[1:])
    return QueryScores(scores.log_probs[start:end], *others)


def joined_scores(scores: Sequence[QueryScores]) -> QueryScores:
    """Returns the scores of several queries as one.

    Args:
      scores: at least one; either all of them have a field, or none.
    """
    if len(scores) == 1:
        return scores[0]

    def joined(values: Sequence[np.ndarray | None]) -> np.ndarray | None:
        arrays = [array for array in values if array is not None]
        return np.concatenate(arrays) if arrays else None

    log_probs = np.concatenate([own.log_probs for own in scores])
    return QueryScores(log_probs, *map(joined, list(zip(*scores, strict=True))[1:]))


class QueryBlock(NamedTuple):
    """Queries as columns: the form in which they are packed, and in which their answers come back.

    Letters: `q` queries, `t` tokens of all of them, `m` asked places of all of them.

    Attributes:
      tokens: `Int32[t]` the tokens of one query behind those of the other.
      token_starts: `Int64[q + 1]` where the tokens of each query begin; the last entry is `t`.
      places: `Int32[m]` as `Query.scored`: offsets in the query's own tokens.
      targets: `Int32[m]` as `Query.targets`.
      place_starts: `Int64[q + 1]` where the places of each query begin; the last entry is `m`.
      contexts: `Int64[q]` as `Query.context`.
      positions: `Int32[t]` or `Int32[t 2]`; None: offsets in the query's own tokens, or what the tokens say.
      contrasts: of each query; None: no query has one.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import Query
      >>> from jaxlm.scoring.engine._queries import query_block
      >>> query = Query(*(np.array(ids, np.int32) for ids in ([5, 6], [1], [7])))
      >>> query_block([query, query]).token_starts.tolist()
      [0, 2, 4]
    """

    tokens: np.ndarray
    token_starts: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    place_starts: np.ndarray
    contexts: np.ndarray
    positions: np.ndarray | None = None
    contrasts: Sequence[QueryContrast] | None = None

    @property
    def num_queries(self) -> int:
        """How many queries there are."""
        return len(self.token_starts) - 1


def query_block(queries: Sequence[Query]) -> QueryBlock:
    """Returns queries as columns.

    Args:
      queries: may be empty; if one of them has positions, or a contrast, all of them have.

    Raises:
      ScoreError: if a query has another number of places than of targets, or only some have a contrast.
    """
    for query in queries:
        if len(query.scored) != len(query.targets):
            raise ScoreError(
                f"a query of {len(query.tokens)} tokens is asked at {query.scored} for {query.targets}: "
                "expected a target for each place"
            )
    positions = [
        np.arange(len(query.tokens), dtype=np.int32) if query.positions is None else query.positions
        for query in queries
        if any(query.positions is not None for query in queries)
    ]
    contrasts = [query.contrast for query in queries if query.contrast is not None]
    if contrasts and len(contrasts) < len(queries):
        raise ScoreError(SOME_CONTRASTS)
    return QueryBlock(
        _joined([query.tokens for query in queries]),
        starts_of([len(query.tokens) for query in queries]),
        _joined([query.scored for query in queries]),
        _joined([query.targets for query in queries]),
        starts_of([len(query.scored) for query in queries]),
        np.array([query.context for query in queries], np.int64),
        _joined(positions) if positions else None,
        contrasts or None,
    )


def join_blocks(blocks: Sequence[QueryBlock]) -> QueryBlock:
    """Returns the queries of several blocks as one block.

    Args:
      blocks: at least one; if one of them has contrasts, all of them have.

    Raises:
      ScoreError: if only some have contrasts.
    """
    if len(blocks) == 1:
        return blocks[0]
    has_positions = any(block.positions is not None for block in blocks)
    contrasts = [contrast for block in blocks for contrast in block.contrasts or ()]
    num_queries = sum(block.num_queries for block in blocks)
    if contrasts and len(contrasts) < num_queries:
        raise ScoreError(SOME_CONTRASTS)
    return QueryBlock(
        _joined([block.tokens for block in blocks]),
        starts_of(np.concatenate([np.diff(block.token_starts) for block in blocks])),
        _joined([block.places for block in blocks]),
        _joined([block.targets for block in blocks]),
        starts_of(np.concatenate([np.diff(block.place_starts) for block in blocks])),
        np.concatenate([block.contexts for block in blocks]),
        np.concatenate([positions_of(block) for block in blocks]) if has_positions else None,
        contrasts or None,
    )


def positions_of(block: QueryBlock) -> np.ndarray:
    """Returns the position of each token of a block: offsets in its query where nothing else is said."""
    if block.positions is not None:
        return block.positions
    lengths = np.diff(block.token_starts)
    return run_indices(np.zeros(len(lengths), np.int64), lengths).astype(np.int32)


def query_blocks(parts: Iterable[Query | QueryBlock]) -> Iterator[QueryBlock]:
    """Yields queries, and blocks of them, joined to blocks of `BLOCK_QUERIES` or `BLOCK_TOKENS`.

    Args:
      parts: the queries and blocks; they are drawn only when the next block is.
    """
    pending = _Pending()
    for part in parts:
        if not pending.takes(part):
            yield pending.block()
            pending = _Pending()
        pending.add(part)
        if pending.num_queries >= BLOCK_QUERIES or pending.num_tokens >= BLOCK_TOKENS:
            yield pending.block()
            pending = _Pending()
    if pending.num_queries:
        yield pending.block()


class _Pending:
    """Queries that become a block together: all of them have positions of their own, or none has."""

    def __init__(self) -> None:
        self.num_queries = self.num_tokens = 0
        self._blocks: list[QueryBlock] = []
        self._queries: list[Query] = []
        self._has_positions = False

    def takes(self, part: Query | QueryBlock) -> bool:
        """Returns whether a part may be in the same block as those before it."""
        return not self.num_queries or self._has_positions == (part.positions is not None)

    def add(self, part: Query | QueryBlock) -> None:
        """Adds a query, or the queries of a block."""
        if isinstance(part, QueryBlock):
            self._close_queries()
            self._blocks.append(part)
            self.num_queries += part.num_queries
        else:
            self._queries.append(part)
            self.num_queries += 1
        self.num_tokens += len(part.tokens)
        self._has_positions = part.positions is not None

    def block(self) -> QueryBlock:
        """Returns the queries as one block."""
        self._close_queries()
        return join_blocks(self._blocks)

    def _close_queries(self) -> None:
        if self._queries:
            self._blocks.append(query_block(self._queries))
            self._queries = []


def starts_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns where runs of these lengths begin when they lie one behind the other, and last where they end.

    Example:
      >>> from jaxlm.scoring.engine._queries import starts_of
      >>> starts_of([2, 3]).tolist()
      [0, 2, 5]
    """
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def run_indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the indices of several runs, one behind the other.

    Args:
      starts: `Int[n]` the first index of each run.
      lengths: `Int[n]` how many indices each run has.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.engine._queries import run_indices
      >>> run_indices(np.array([7, 2]), np.array([2, 3])).tolist()
      [7, 8, 2, 3, 4]
    """
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays).astype(np.int32, copy=False) if arrays else np.zeros(0, np.int32)


class QueryExtent(NamedTuple):
    """How long queries are, and which ids they hold.

    Attributes:
      longest: tokens of the longest query.
      largest_id: the largest id among their tokens and targets.
    """

    longest: int = 0
    largest_id: int = 0


class LazyQueries(Sequence[Query]):
    """Queries that are made when they are looked at; `extent` tells their sizes without making them."""

    @abc.abstractmethod
    def extent(self) -> QueryExtent:
        """Returns the longest length and the largest id; neither is less than it is."""


def extent(queries: Sequence[Query]) -> QueryExtent:
    """Returns the longest length and the largest id of queries; lazy ones are not made for it.

    Args:
      queries: of a document; may be empty.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import Query
      >>> from jaxlm.scoring.engine import extent
      >>> extent([Query(np.array([3, 9]), np.array([0]), np.array([9]))])
      QueryExtent(longest=2, largest_id=9)
    """
    if isinstance(queries, LazyQueries):
        return queries.extent()
    runs = [run for query in queries for run in (query, query.contrast) if run is not None]
    ids = (each for run in runs for each in (run.tokens, run.targets))
    longest = max((len(run.tokens) for run in runs), default=0)
    return QueryExtent(longest, max((int(each.max(initial=0)) for each in ids), default=0))


def extent_of_block(block: QueryBlock) -> QueryExtent:
    """Returns the longest length and the largest id of a block's queries, which have no contrasts.

    Args:
      block: the queries.
    """
    longest = int(np.diff(block.token_starts).max(initial=0))
    return QueryExtent(longest, int(max(block.tokens.max(initial=0), block.targets.max(initial=0))))
