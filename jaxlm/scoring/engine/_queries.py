"""What a model is asked to read, and what it answers: the two records between measures and the engine.

Letters: `n` tokens of a piece, `m` places of it that are scored, `c` tokens of what it is compared with, `k`
likeliest ids, `s` sets of ids.
"""

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm.errors import ScoreError

# A block of queries ends when it has this many queries, or this many tokens.
BLOCK_QUERIES, BLOCK_TOKENS = 256, 1 << 16
SOME_CONTRASTS = "some queries have a contrast and others have none: a measure gives all of them one, or none"


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
      >>> from jaxlm import scoring
      >>> query = scoring.Query(*(np.array(ids, np.int32) for ids in ([5, 6], [1], [7])))
      >>> scoring.query_block([query, query]).token_starts.tolist()
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
                f"a query of {len(query.tokens)} tokens is asked at {query.scored} for {query.targets}: expected a "
                "target for each place"
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
    """Yields queries, and blocks of them, as blocks of at least `BLOCK_QUERIES` queries or `BLOCK_TOKENS` tokens.

    Args:
      parts: are drawn as blocks are asked for; the queries of a lazy sequence are made then.
    """
    blocks: list[QueryBlock] = []
    queries: list[Query] = []
    num_queries = num_tokens = 0
    for part in parts:
        if isinstance(part, QueryBlock):
            blocks += [*([query_block(queries)] if queries else []), part]
            queries = []
            num_queries += part.num_queries
        else:
            queries.append(part)
            num_queries += 1
        num_tokens += len(part.tokens)
        if num_queries >= BLOCK_QUERIES or num_tokens >= BLOCK_TOKENS:
            yield join_blocks([*blocks, *([query_block(queries)] if queries else [])])
            blocks, queries, num_queries, num_tokens = [], [], 0, 0
    if num_queries:
        yield join_blocks([*blocks, *([query_block(queries)] if queries else [])])


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
      QueryExtent(longest=2, largest_id=9)
    """
    if isinstance(pieces, LazyQueries):
        return pieces.extent()
    runs = [run for piece in pieces for run in (piece, piece.contrast) if run is not None]
    ids = (each for run in runs for each in (run.tokens, run.targets))
    longest = max((len(run.tokens) for run in runs), default=0)
    return QueryExtent(longest, max((int(each.max(initial=0)) for each in ids), default=0))


def extent_of_block(block: QueryBlock) -> QueryExtent:
    """Returns how much the queries of a block without contrasts hold.

    Args:
      block: the queries.
    """
    longest = int(np.diff(block.token_starts).max(initial=0))
    return QueryExtent(longest, int(max(block.tokens.max(initial=0), block.targets.max(initial=0))))
