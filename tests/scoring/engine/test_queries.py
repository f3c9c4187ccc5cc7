"""Queries as columns: joined to blocks, and refused where they do not fit together."""

import numpy as np
import pytest

from jaxlm import scoring
from jaxlm.errors import ScoreError
from jaxlm.scoring.engine import _queries


def query(length, num_asked=1, **more):
    ids = np.arange(length, dtype=np.int32)
    return scoring.Query(ids, ids[:num_asked], ids[:num_asked] + 7, **more)


def queries_of(block):
    """The tokens, places and targets of each query of a block."""
    tokens = np.split(block.tokens, block.token_starts[1:-1])
    places, targets = (np.split(column, block.place_starts[1:-1]) for column in (block.places, block.targets))
    return [tuple(map(list, own)) for own in zip(tokens, places, targets, strict=True)]


def test_a_block_holds_what_its_queries_hold():
    queries = [query(3, 2), query(1, 0), query(5, 5, context=4)]
    block = _queries.query_block(queries)
    assert queries_of(block) == [(list(q.tokens), list(q.scored), list(q.targets)) for q in queries]
    assert block.contexts.tolist() == [0, 0, 4] and block.positions is None and block.contrasts is None
    assert scoring.engine.extent_of_block(block) == scoring.engine.extent(queries)


def test_queries_and_blocks_are_joined_in_their_order(monkeypatch):
    monkeypatch.setattr(_queries, "BLOCK_QUERIES", 4)
    parts = [query(2), _queries.query_block([query(3), query(4)]), query(5), query(6), query(7)]
    blocks = list(_queries.query_blocks(iter(parts)))
    assert [block.num_queries for block in blocks] == [4, 2]
    lengths = [len(tokens) for block in blocks for tokens, *_ in queries_of(block)]
    assert lengths == [2, 3, 4, 5, 6, 7]


def test_blocks_end_with_many_tokens_so_that_copies_of_long_texts_are_made_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(_queries, "BLOCK_TOKENS", 10)
    made = []

    def lazily():
        for length in (6, 6, 6, 6):
            made.append(length)
            yield query(length)

    blocks = _queries.query_blocks(lazily())
    assert next(blocks).num_queries == 2 and len(made) == 2


def test_positions_of_some_queries_are_offsets_where_others_have_their_own():
    own = np.array([4, 4, 5], np.int32)
    joined = _queries.join_blocks(
        [_queries.query_block([query(2)]), _queries.query_block([query(3, positions=own)])]
    )
    assert joined.positions.tolist() == [0, 1, 4, 4, 5]
    assert _queries.query_block([query(2), query(3, positions=own)]).positions.tolist() == [0, 1, 4, 4, 5]


def test_queries_with_positions_of_their_own_are_blocks_of_their_own():
    own = np.array([[0, 0], [0, 1]], np.int32)
    parts = [query(3), query(2, positions=own), query(2, positions=own), query(4)]
    blocks = list(_queries.query_blocks(parts))
    assert [block.num_queries for block in blocks] == [1, 2, 1]
    assert [block.positions is None for block in blocks] == [True, False, True]


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ScoreError, match="expected a target for each place"):
        _queries.query_block([query(3)._replace(targets=np.zeros(2, np.int32))])
    contrast = scoring.QueryContrast(*(np.zeros(1, np.int32),) * 3)
    with pytest.raises(ScoreError, match="some queries have a contrast"):
        _queries.query_block([query(3), query(3, contrast=contrast)])
    with pytest.raises(ScoreError, match="some queries have a contrast"):
        _queries.join_blocks([_queries.query_block([q]) for q in (query(3), query(3, contrast=contrast))])
