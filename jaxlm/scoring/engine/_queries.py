"""What a model is asked to read, and what it answers: the records between measures and the engine.

Letters: `n` tokens of a query, `m` places of it that are asked, `c` tokens of what it is compared with, `k`
likeliest ids, `s` sets of ids.
"""

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.errors import ScoreError
from jaxlm.typing import AnyArray

# A block of queries ends when it has this many queries, or this many tokens.
BLOCK_QUERIES, BLOCK_TOKENS = 256, 1 << 16
SOME_CONTRASTS = "some queries have a contrast and others have none: a measure gives all of them one, or none"


class QueryContrast(NamedTuple):
    """Another sequence that is read in the same batch as a query, and compared with it place by place.

    A place is a position at which the model is asked about a target id; the query has m of them.

    Attributes:
      tokens: `Int32[c]`. The ids of this sequence, as the model reads them.
      places: `Int32[m]`. For each place of the query, the index in `tokens` that the place is compared with.
      targets: `Int32[m]`. The id that the model is asked about at each of these indices.

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
    """One sequence that the model reads, and the places where it is asked about a target; NumPy arrays.

    Attributes:
      tokens: `Int32[n]`. The ids as the model reads them: for a masked LM with the mask tokens in them; for a
        causal LM with the opening token in front, and without a last token that predicts nothing that is
        asked.
      scored: `Int32[m]`. The places: indices into `tokens` whose predictions are asked. For a masked LM the
        index of the mask token; for a causal LM the index before the predicted token.
      targets: `Int32[m]`. The id whose probability is asked at each place.
      positions: `Int32[n]`, or `Int32[n 2]` for a model with instruction positions. None: 0, 1, 2, ... in the
        order of `tokens`; with instruction positions they are computed from the tokens.
      context: how many of the first tokens are a prefix that other queries may begin with, too. The engine
        may read one copy of the prefix for all these queries; only a causal model can share it. 0: no prefix
        is shared.
      contrast: the sequence that the query is compared with, which a forward with `contrasts=True` needs;
        None for any other forward.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import Query
      >>> query = Query(np.array([0, 7, 8], np.int32), np.array([1, 2], np.int32), np.array([8, 9], np.int32))
      >>> query.tokens[query.scored].tolist(), query.targets.tolist()  # 7 predicts 8, and 8 predicts 9
      ([7, 8], [8, 9])
    """

    tokens: np.ndarray
    scored: np.ndarray
    targets: np.ndarray
    positions: np.ndarray | None = None
    context: int = 0
    contrast: QueryContrast | None = None


class QueryScores(NamedTuple):
    """The numbers of a `LogProbForward` for one query: one entry for each of its m places.

    A place is a position at which the model is asked about a target id; the entries have the order of
    `Query.scored`. Log-probabilities and the entropy are in nats.

    Attributes:
      log_probs: `Float32[m]`. log p(target), 0 or less.
      ranks: `Int32[m]`. How many ids are strictly likelier than the target: 0 if no id is. None unless the
        forward was made with `details=True`.
      entropy: `Float32[m]`. The entropy of the whole distribution. None unless the forward was made with
        `details=True`.
      confidence: `Float32[m]`. The probability of the likeliest id, in [0, 1]. None unless the forward was
        made with `details=True`.
      top_tokens: `Int32[m k]`. The k = `top_k` likeliest ids, most likely first. None if `top_k` is 0.
      top_log_probs: `Float32[m k]`. The log-probabilities of these ids. None if `top_k` is 0.
      masses: `Float32[m s]`. For each of the s sets of ids that the forward was given, the log of the set's
        summed probability. None if the forward has no sets.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring import QueryScores
      >>> scores = QueryScores(np.log([0.5, 0.25]).astype(np.float32), ranks=np.array([0, 2], np.int32))
      >>> np.exp(scores.log_probs).tolist(), scores.ranks.tolist()
      ([0.5, 0.25], [0, 2])
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
    others = [None if values is None else values[start:end] for values in scores[1:]]
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
    """Many queries as columns: the form in which they are packed, and in which their answers come back.

    A block has q queries, which together have t tokens and m places; a place is a position at which the model
    is asked about a target id.

    Attributes:
      tokens: `Int32[t]`. The tokens of all queries, one query behind the other.
      token_starts: `Int64[q + 1]`. Where the tokens of each query begin; the last entry is `t`.
      places: `Int32[m]`. The places of all queries, each as an index into its query's own tokens
        (`Query.scored`).
      targets: `Int32[m]`. The id whose probability is asked at each place.
      place_starts: `Int64[q + 1]`. Where the places of each query begin; the last entry is `m`.
      contexts: `Int64[q]`. How many of each query's first tokens are a prefix that queries may share; 0:
        none.
      positions: `Int32[t]`, or `Int32[t 2]` for a model with instruction positions. None: each query's tokens
        have the positions 0, 1, 2, ...; with instruction positions they are computed from the tokens.
      contrasts: the sequence that each query is compared with; None: no query is compared.

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
