"""A batch: the rows that devices read, and which answer belongs to which query.

Letters: `n` devices, `B L` rows of a device, `Q` queries of a device, `q` queries of the batch.
"""

from typing import NamedTuple

import numpy as np

from jaxlm.scoring.engine._queries import QueryBlock
from jaxlm.typing import AnyArray


class BatchShape(NamedTuple):
    """The shape of a batch.

    Attributes:
      devices: n, each of which reads `rows` rows.
      rows: B, of a device.
      row_length: L; also as many questions for each row.
      wide: whether positions are pairs.
      contrasts: whether each row has another beside it, for what its queries are compared with.
      least: if there is an answer a query, the positions that a query takes at least; 0: there is an answer a
        place.
    """

    devices: int
    rows: int
    row_length: int
    wide: bool = False
    contrasts: bool = False
    least: int = 0

    @property
    def num_rows(self) -> int:
        """Of all devices."""
        return self.devices * self.rows

    @property
    def num_positions(self) -> int:
        """Of all devices, without the rows of contrasts."""
        return self.num_rows * self.row_length

    @property
    def num_queries(self) -> int:
        """The most queries of a device, if there is an answer a query."""
        return self.rows * (self.row_length // self.least) if self.least else 0

    def cut(self, row_length: int) -> "BatchShape":
        """Returns the shape of as many positions in shorter rows, whose length divides these."""
        return self._replace(rows=self.rows * self.row_length // row_length, row_length=row_length)


class ContrastRows(NamedTuple):
    """The rows that `DeviceRows` are compared with, in the same layout: n devices, B rows, L positions.

    Attributes:
      tokens, segments, positions: ids, segment numbers and positions, with the shapes and meanings of the
        fields of `DeviceRows`.
      places: `Int32[n B*L]`. For each asked place of the rows, the index of the position that it is compared
        with, among the `B * L` positions of the device's contrasts.
      targets: `Int32[n B*L]`. The id that the contrast is asked about at each of these positions.
    """

    tokens: AnyArray
    segments: AnyArray
    positions: AnyArray
    places: AnyArray
    targets: AnyArray


class DeviceRows(NamedTuple):
    """The packed rows that devices read: B rows of L positions on each of n devices.

    On the host every array has the leading axis of devices; the function that runs on one device sees the
    arrays without this axis. A place is a position at which the model is asked about a target id; a query is
    one sequence, a segment of its row or, if it shares a context with others, a branch of a segment.

    Attributes:
      tokens: `Int32[n B L]`. The ids.
      segments: `Int32[n B L]`. Number of the segment, from 1; 0 is padding. Tokens attend only within their
        segment.
      branches: `Int32[n B L]`. 0 for tokens that every later token of the segment may read (a shared
        context); from 1 for tokens that only tokens of the same branch may read.
      positions: `Int32[n B L]`, or `Int32[n B L 2]` for a model with instruction positions. The position of
        each token as the model is told it.
      places: `Int32[n B*L]`. Indices into a device's `B * L` positions; only the first `count` entries are
        asked.
      targets: `Int32[n B*L]`. The id that the model is asked about at each place.
      count: `Int32[n]`. How many places each device is asked at.
      queries: `Int32[n B*L]`. The index of the query that each place belongs to; None if the forward answers
        each place rather than each query.
      query_counts: `Int32[n Q]`. The number of places of each query; 0 for an entry that is no query; None if
        the forward answers each place rather than each query.
      contrast: the rows that these rows are compared with; None if nothing is compared.
    """

    tokens: AnyArray
    segments: AnyArray
    branches: AnyArray
    positions: AnyArray
    places: AnyArray
    targets: AnyArray
    count: AnyArray
    queries: AnyArray | None = None
    query_counts: AnyArray | None = None
    contrast: ContrastRows | None = None


class QuerySlots(NamedTuple):
    """Where the answers to a batch's queries are, as columns with an entry a query.

    Attributes:
      numbers: `Int64[q]` of the queries, counted from the first of all.
      devices: `Int64[q]` the device that answers.
      starts, counts: `Int64[q]` of answers a place: which of the device's answers are the query's.
      questions: `Int64[q]` of answers a query: which of the device's answers is the query's.
    """

    numbers: np.ndarray
    devices: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    questions: np.ndarray


class PackedBatch(NamedTuple):
    """A batch, and which of its answers belong to which query.

    Attributes:
      rows: what the devices read.
      slots: where the answers to its queries are.
      num_tokens: real tokens in it.
      blocks: those whose first queries were packed since the batch before.
    """

    rows: DeviceRows
    slots: QuerySlots
    num_tokens: int
    blocks: tuple[QueryBlock, ...] = ()
