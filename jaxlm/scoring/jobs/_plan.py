"""Where a corpus's files stand in its parts, kept beside them: whoever goes on reads no file for nothing."""

import json
from collections.abc import Callable
from typing import NamedTuple

from jaxlm import io
from jaxlm.io import Store
from jaxlm.scoring.jobs._manifest import Job

PLAN = "plan.json"
# How often it is written while it grows.
SECONDS_BETWEEN_PLANS = 60.0


class CutPosition(NamedTuple):
    """How far the cutting has come between two files.

    Attributes:
      part: number of the part that the next document belongs to.
      documents: of that part, so far.
      characters: of those.
    """

    part: int
    documents: int
    characters: int


class Plan:
    """What is known of how a corpus is cut; it grows as the corpus is read.

    As parts, it is a function of the corpus and the options: what several processes know of it differs in
    length alone.

    Attributes:
      stands: before each file, from the first on.
      sizes: documents of each part that is known to end, from the first on.
    """

    def __init__(self, stands: list[CutPosition] | None = None, sizes: list[int] | None = None) -> None:
        self.stands = stands or [CutPosition(0, 0, 0)]
        self.sizes = sizes or []

    def is_passed(self, file: int, wanted: Callable[[int], bool]) -> bool:
        """Returns whether no document of a file belongs to a part that is wanted, as far as is known.

        Args:
          file: its place among the files.
          wanted: of a part's number.
        """
        if file + 1 >= len(self.stands):
            return False
        begin, end = self.stands[file], self.stands[file + 1]
        return not any(wanted(number) for number in range(begin.part, end.part + (end.documents > 0)))

    def add_part(self, number: int, size: int) -> None:
        """Adds a part that has ended, unless it is known."""
        if number == len(self.sizes):
            self.sizes.append(size)

    def add_file(self, file: int, stand: CutPosition) -> None:
        """Adds how far the cutting has come behind a file, unless it is known."""
        if file + 1 == len(self.stands):
            self.stands.append(stand)


def read_plan(store: Store, job: Job) -> Plan:
    """Returns what processes of the same job know by now; nothing, if there is no plan or it is damaged.

    One without its SHA-256, of an older version, counts for nothing: the files of the corpus are read anew.
    """
    if PLAN not in store.names():
        return Plan()
    written = store.read(PLAN)
    try:
        kept = io.unseal(io.parse_json(written), needed=True)
        stands, sizes = [CutPosition(*map(int, one)) for one in kept["stands"]], list(map(int, kept["sizes"]))
        is_ours = (
            kept["job"] == job.id and stands[0] == CutPosition(0, 0, 0) and len(sizes) == stands[-1].part
        )
    except (io.DamagedError, ValueError, TypeError, KeyError, IndexError, OverflowError):
        return Plan()
    return Plan(stands, sizes) if is_ours else Plan()


def write_plan(store: Store, job: Job, plan: Plan) -> int:
    """Writes what is known so far, up to the end of a file, and returns of how many.

    Another process may be adding to it, and others may write theirs: a shorter plan is as true as a longer.
    """
    stands = list(plan.stands)
    kept = {"job": job.id, "stands": stands, "sizes": plan.sizes[: stands[-1].part]}
    store.put(PLAN, json.dumps(io.seal(kept), separators=(",", ":")).encode())
    return len(stands)
