"""Queries gathered into prefix trees, so that what several of them begin with, or are, is read once.

A tree has a trunk, which everything in it may read, and branches, which read the trunk and themselves: each
query is one path through a tree. A query that shares nothing is a tree of a trunk alone. Trees hold no
tokens: they say where in the waiting blocks their tokens are.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine._queries import QueryBlock, QueryContrast, positions_of


class WaitingColumns(NamedTuple):
    """The columns of all blocks that have queries waiting, one block behind the other.

    Attributes:
      tokens: `Int32[t]`.
      positions: `Int32[t]` or `Int32[t 2]`; None: offsets in each query.
      places, targets: `Int32[m]`.
      first_token, first_place: numbers of the first token and place, counted from the very first block.
    """

    tokens: np.ndarray
    positions: np.ndarray | None
    places: np.ndarray
    targets: np.ndarray
    first_token: int
    first_place: int


class PrefixTree:
    """What the model reads as one segment of a row; it grows while queries join it.

    Attributes:
      key: the same for all queries that begin with the trunk.
      born: how many plans had been made when the tree began.
      trunk: how many tokens the trunk has.
      length: how many tokens the tree has.
      width: columns that it takes of a row, and of the row beside it that holds contrasts.
      size: positions that it takes of a row: its columns, or its questions' places where these are more.
      num_asked: places that are asked.
      contrast: what its queries are compared with, or None.
      spans: (number of the first token, tokens) of the trunk, then of each branch.
      questions: (number of the first place, places, shift) of each different question. The shift is added to
        the places behind the trunk, as their branch need not lie directly behind it.
      slots: (number of the query, number of its question); queries that ask the same share a question.

    Args:
      key: see above.
      born: see above.
      first: the query that begins it, as its block and its number there.
      number: of this query among all.
      tokens, places: the number of its first token and how many it has; the same of its places.
      trunk: see above.
      least: positions that each question takes at least, whatever it reads.
    """

    __slots__ = (
        "_branches",
        "_first",
        "_known",
        "_least",
        "born",
        "contrast",
        "key",
        "length",
        "num_asked",
        "questions",
        "size",
        "slots",
        "spans",
        "trunk",
        "width",
    )

    def __init__(
        self,
        key: tuple[bytes, ...],
        born: int,
        first: tuple[QueryBlock, int],
        number: int,
        tokens: tuple[int, int],
        places: tuple[int, int],
        trunk: int,
        least: int,
    ) -> None:
        self.key, self.born, self.trunk, self._least, self._first = key, born, trunk, least, first
        start, self.length = tokens
        self.num_asked = places[1]
        self.spans = [(start, trunk)]
        if trunk < self.length:
            self.spans.append((start + trunk, self.length - trunk))
        self.questions = [(*places, 0)]
        self.slots = [(number, 0)]
        self.contrast: QueryContrast | None = None
        # Made when the second query joins; most trees have one.
        self._branches: dict[bytes, int] = {}
        self._known: dict[tuple[bytes, bytes], int] = {}
        block, index = first
        if block.contrasts is not None:
            self.contrast = block.contrasts[index]
        self._measure()

    def _measure(self) -> None:
        """Sets `width` and `size`, which follow from the other attributes."""
        width = self.length
        if self.contrast is not None:
            width = max(width, len(self.contrast.tokens))
        self.width, self.size = width, max(width, self.num_asked, self._least * len(self.questions))

    def join(
        self, block: QueryBlock, index: int, number: int, token: int, place: int, row_length: int
    ) -> bool:
        """Adds a query that begins with the trunk, unless the tree would then not fit into a row.

        Args:
          block: with the query.
          index: of the query in its block.
          number: of the query among all.
          token, place: the numbers of its first token and first place.
          row_length: the largest size of a tree.

        Returns:
          Whether it was added.
        """
        if not self._known:
            self._remember_first()
        suffix = _suffix_key(block, index, self.trunk)
        begin = self._branches.get(suffix)
        num_suffix = int(block.token_starts[index + 1] - block.token_starts[index]) - self.trunk
        length = self.length + (num_suffix if begin is None else 0)
        shift = (self.length if begin is None else begin) - self.trunk
        asked = slice(block.place_starts[index], block.place_starts[index + 1])
        places = block.places[asked]
        moved = np.where(places < self.trunk, places, places + np.int32(shift))
        question = (moved.tobytes(), block.targets[asked].tobytes())
        known = self._known.get(question)
        num_asked = self.num_asked + (0 if known is not None else len(places))
        if max(length, num_asked, self._least * (len(self.questions) + (known is None))) > row_length:
            return False
        if begin is None:
            self._branches[suffix] = self.length
            self.spans.append((token + self.trunk, num_suffix))
        if known is None:
            known = self._known[question] = len(self.questions)
            self.questions.append((place, len(places), shift))
        self.length, self.num_asked = length, num_asked
        self.slots.append((number, known))
        self._measure()
        return True

    def _remember_first(self) -> None:
        """Notes the branch and the question of the query that began the tree."""
        block, index = self._first
        self._branches = {b"": self.trunk, _suffix_key(block, index, self.trunk): self.trunk}
        asked = slice(block.place_starts[index], block.place_starts[index + 1])
        self._known = {(block.places[asked].tobytes(), block.targets[asked].tobytes()): 0}


class PrefixTreeBuffer:
    """The trees that wait for a row, in the order in which they began.

    Attributes:
      trees: that wait.
      size: the sum of their sizes.
      num_queries: that wait in them.

    Args:
      row_length: the largest size of a tree.
      shared: whether contexts are shared; otherwise only queries that read the same from end to end are.
      least: positions that each question takes at least.
    """

    def __init__(self, row_length: int, shared: bool, least: int = 0) -> None:
        self._row_length, self._shared, self._least = row_length, shared, least
        self._open: dict[tuple[bytes, ...], PrefixTree] = {}
        self._blocks: deque[tuple[QueryBlock, int, int]] = deque()
        self._tokens = self._places = self._queries = self._plans = 0
        self.trees: list[PrefixTree] = []
        self.size = self.num_queries = 0

    def add(self, block: QueryBlock) -> Iterator[None]:
        """Adds the queries of a block, which are known to fit a row, and yields after each of them."""
        first_token, first_place, first_query = self._tokens, self._places, self._queries
        self._blocks.append((block, first_token, first_place))
        self._tokens += len(block.tokens)
        self._places += len(block.places)
        self._queries += block.num_queries
        raw = block.tokens.tobytes()
        starts, places = block.token_starts.tolist(), block.place_starts.tolist()
        contexts = block.contexts.tolist()
        for index, (start, end) in enumerate(itertools.pairwise(starts)):
            context = contexts[index]
            trunk = context if self._shared and 0 < context < end - start else end - start
            key: tuple[bytes, ...] = (raw[4 * start : 4 * (start + trunk)],)
            if block.positions is not None:
                key += (block.positions[start : start + trunk].tobytes(),)
            if block.contrasts is not None:
                key += tuple(array.tobytes() for array in block.contrasts[index])
                key += (block.places[places[index] : places[index + 1]].tobytes(),)
            token, place, number = first_token + start, first_place + places[index], first_query + index
            tree = self._open.get(key)
            before = 0 if tree is None else tree.size
            if tree is None or not tree.join(block, index, number, token, place, self._row_length):
                before, asked = 0, places[index + 1] - places[index]
                tree = PrefixTree(
                    key,
                    self._plans,
                    (block, index),
                    number,
                    (token, end - start),
                    (place, asked),
                    trunk,
                    self._least,
                )
                self._open[key] = tree
                self.trees.append(tree)
            self.size += tree.size - before
            self.num_queries += 1
            yield

    def waited(self) -> np.ndarray:
        """Returns how many plans have passed each tree over, `Int64[trees]`."""
        return self._plans - np.array([tree.born for tree in self.trees])

    def columns(self) -> WaitingColumns:
        """Returns the columns of the blocks that have queries waiting."""
        blocks = [block for block, _, _ in self._blocks]
        positions = [block.positions for block in blocks if block.positions is not None]
        if positions and len(positions) < len(blocks):
            positions = [positions_of(block) for block in blocks]
        _, first_token, first_place = self._blocks[0]
        return WaitingColumns(
            np.concatenate([block.tokens for block in blocks]),
            np.concatenate(positions) if positions else None,
            np.concatenate([block.places for block in blocks]),
            np.concatenate([block.targets for block in blocks]),
            first_token,
            first_place,
        )

    def remove(self, taken: set[int]) -> None:
        """Leaves out the trees of these indices in `trees`, and the blocks that no other tree needs."""
        for index in taken:
            tree = self.trees[index]
            if self._open.get(tree.key) is tree:
                del self._open[tree.key]
            self.size -= tree.size
            self.num_queries -= len(tree.slots)
        self.trees = [tree for index, tree in enumerate(self.trees) if index not in taken]
        self._plans += 1
        # The first tree that waits began before all others, and needs nothing of what came before it.
        first = self.trees[0].spans[0][0] if self.trees else self._tokens
        while len(self._blocks) > 1 and self._blocks[1][1] <= first:
            self._blocks.popleft()


def _suffix_key(block: QueryBlock, index: int, trunk: int) -> bytes:
    """A key that is the same for equal branches."""
    suffix = slice(block.token_starts[index] + trunk, block.token_starts[index + 1])
    key = block.tokens[suffix].tobytes()
    return key if block.positions is None else key + block.positions[suffix].tobytes()
