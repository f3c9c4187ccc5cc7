"""Pieces gathered into readings, so that what several of them begin with, or are, is read once.

A reading is a trunk that everything in it may read, and branches that read the trunk and themselves: a tree
of which each piece is one path. Pieces without a common context are trunks alone.
"""

from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine._queries import Query, QueryContrast


class QuerySlot(NamedTuple):
    """Where the answers for a piece stand among those of its reading.

    Attributes:
      piece: its number.
      start, count: of its places: `start` to `start + count`.
      query: the number of its question; pieces that ask the same have one.
    """

    piece: int
    start: int
    count: int
    query: int


class PrefixTree:
    """What the model reads of one segment of a row, growing while pieces join it.

    Args:
      trunk: tokens of the first piece, all or those of its context.
      positions: of them.
      contrast: what its pieces are compared with, or None.
      least: positions that each question takes at least, whatever it reads.

    Attributes:
      length: tokens.
      width: columns that it takes of a row and of the row beside it that holds contrasts.
      size: positions that it takes of a row: its columns, or its questions where these are more.
      age: how many plans have passed it over.
      asks: of its pieces.
      contrast: what its pieces are compared with, or None.
    """

    def __init__(
        self,
        trunk: np.ndarray,
        positions: np.ndarray,
        contrast: QueryContrast | None = None,
        least: int = 0,
    ) -> None:
        self.length, self.age = len(trunk), 0
        self.contrast, self._least = contrast, least
        self.asks: list[QuerySlot] = []
        self._trunk = len(trunk)
        self._tokens, self._positions, self._branches = [trunk], [positions], [len(trunk)]
        self._offsets = {b"": self._trunk}
        self._questions: dict[tuple[bytes, bytes], QuerySlot] = {}
        self._places: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []
        self.num_asked = 0

    @property
    def width(self) -> int:
        return self.length if self.contrast is None else max(self.length, len(self.contrast.tokens))

    @property
    def size(self) -> int:
        return max(self.width, self.num_asked, self._least * self.num_queries)

    @property
    def num_queries(self) -> int:
        """How many different questions there are."""
        return len(self._questions)

    def join(self, number: int, piece: Query, positions: np.ndarray, room: int) -> bool:
        """Adds a piece that begins with the trunk, unless the reading's size would then exceed `room`."""
        suffix = piece.tokens[self._trunk :]
        key = suffix.tobytes() + positions[self._trunk :].tobytes()
        offset = self._offsets.get(key)
        length = self.length if offset is not None else self.length + len(suffix)
        shift = (self.length if offset is None else offset) - self._trunk
        places = np.where(piece.scored < self._trunk, piece.scored, piece.scored + np.int32(shift))
        question = (places.tobytes(), piece.targets.tobytes())
        known = self._questions.get(question)
        num_asked = self.num_asked + (0 if known else len(places))
        if max(length, num_asked, self._least * (self.num_queries + (known is None))) > room:
            return False
        if offset is None:
            self._offsets[key] = self.length
            self._tokens.append(suffix)
            self._positions.append(positions[self._trunk :])
            self._branches.append(len(suffix))
        if known is None:
            known = self._questions[question] = QuerySlot(
                number, self.num_asked, len(places), self.num_queries
            )
            self._places.append(places)
            self._targets.append(piece.targets)
        self.length, self.num_asked = length, num_asked
        self.asks.append(known._replace(piece=number))
        return True

    def tokens(self) -> np.ndarray:
        """`Int32[length]`."""
        return np.concatenate(self._tokens)

    def positions(self) -> np.ndarray:
        """`Int32[length]`, or `Int32[length 2]`."""
        return np.concatenate(self._positions)

    def branches(self) -> np.ndarray:
        """`Int32[length]`: 0 for the trunk, from 1 for each branch."""
        return np.repeat(np.arange(len(self._branches), dtype=np.int32), self._branches)

    def questions(self) -> tuple[np.ndarray, np.ndarray]:
        """Places and targets, each `Int32[num_asked]`."""
        if not self._places:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        return np.concatenate(self._places), np.concatenate(self._targets)

    def counts(self) -> np.ndarray:
        """`Int32[num_queries]`: how many places each question has."""
        return np.array([len(places) for places in self._places], np.int32)


class PrefixTreeBuffer:
    """The readings of a buffer, in the order in which they began.

    Args:
      room: the largest size of a reading.
      shared: whether contexts are shared; otherwise only pieces that read the same from end to end.
      least: positions that each question takes at least.
    """

    def __init__(self, room: int, shared: bool, least: int = 0) -> None:
        self._room, self._shared, self._least = room, shared, least
        self._open: dict[tuple[bytes, ...], PrefixTree] = {}
        self._key: dict[int, tuple[bytes, ...]] = {}
        self.all: list[PrefixTree] = []
        self.size = 0
        self.num_pieces = 0

    def add(self, number: int, piece: Query, positions: np.ndarray) -> None:
        """Adds a piece to the reading that it belongs to, or begins one; the piece is known to fit a row."""
        whole = len(piece.tokens)
        trunk = piece.context if self._shared and 0 < piece.context < whole else whole
        key = (piece.tokens[:trunk].tobytes(), positions[:trunk].tobytes())
        if piece.contrast is not None:
            key += tuple(array.tobytes() for array in (*piece.contrast, piece.scored))
        reading = self._open.get(key)
        before = 0 if reading is None else reading.size
        if reading is None or not reading.join(number, piece, positions, self._room):
            before = 0
            reading = PrefixTree(piece.tokens[:trunk], positions[:trunk], piece.contrast, self._least)
            reading.join(number, piece, positions, self._room)
            self._open[key] = reading
            self._key[id(reading)] = key
            self.all.append(reading)
        self.size += reading.size - before
        self.num_pieces += 1

    def take(self, taken: set[int]) -> None:
        """Leaves out the readings of these places in `all`; those that stay grow older."""
        for place in taken:
            reading = self.all[place]
            key = self._key.pop(id(reading))
            if self._open.get(key) is reading:
                del self._open[key]
            self.size -= reading.size
            self.num_pieces -= len(reading.asks)
        self.all = [reading for place, reading in enumerate(self.all) if place not in taken]
        for reading in self.all:
            reading.age += 1
