"""Where the files of a corpus begin in its parts, kept beside the parts: a job that goes on skips files."""

import json
from collections.abc import Callable
from typing import NamedTuple

from jaxlm import io
from jaxlm.io import Store
from jaxlm.scoring.jobs._manifest import Job

PLAN = "plan.json"
# A plan that grows is written this often.
SECONDS_BETWEEN_PLANS = 60.0


class CutPosition(NamedTuple):
    """How far the cutting has come between two files.

    Attributes:
      part: number of the part that the next document belongs to.
      documents: how many documents that part has so far.
      characters: how many characters those have.
    """

    part: int
    documents: int
    characters: int


class Plan:
    """What is known of how a corpus is cut into parts; it grows as the corpus is read.

    The whole plan is a function of the corpus and the options. Processes that have read different shares of
    the corpus know plans of different lengths, of which the shorter is the beginning of the longer.

    Attributes:
      cuts: the cut position before each file, from the first file on.
      sizes: how many documents each part has, from the first part on, as far as parts are known to end.
    """

    def __init__(self, cuts: list[CutPosition] | None = None, sizes: list[int] | None = None) -> None:
        self.cuts = cuts or [CutPosition(0, 0, 0)]
        self.sizes = sizes or []

    def is_unneeded(self, file: int, wanted: Callable[[int], bool]) -> bool:
        """Returns whether the plan knows that no document of a file belongs to a wanted part.

        Args:
          file: the file's number.
          wanted: whether the part of a number is wanted.
        """
        if file + 1 >= len(self.cuts):
            return False
        begin, end = self.cuts[file], self.cuts[file + 1]
        return not any(wanted(number) for number in range(begin.part, end.part + (end.documents > 0)))

    def add_part(self, number: int, size: int) -> None:
        """Adds the size of a part that has ended, if the plan does not know it.

        Args:
          number: the part's number.
          size: how many documents it has.
        """
        if number == len(self.sizes):
            self.sizes.append(size)

    def add_file(self, file: int, cut: CutPosition) -> None:
        """Adds the cut position behind a file, if the plan does not know it.

        Args:
          file: the file's number.
          cut: the position behind its last document.
        """
        if file + 1 == len(self.cuts):
            self.cuts.append(cut)


def read_plan(store: Store, job: Job) -> Plan:
    """Returns the plan that processes of the same job have written; an empty one if there is none.

    A plan that is damaged, of another job, or without its SHA-256 (as older versions wrote it) is ignored:
    the files of the corpus are read again.

    Args:
      store: of the job.
      job: the job.
    """
    if PLAN not in store.names():
        return Plan()
    written = store.read(PLAN)
    try:
        values = io.unseal(io.parse_json(written), needed=True)
        cuts = [CutPosition(*map(int, cut)) for cut in values["stands"]]
        sizes = list(map(int, values["sizes"]))
        is_ours = values["job"] == job.id and cuts[0] == CutPosition(0, 0, 0) and len(sizes) == cuts[-1].part
    except (io.DamagedError, ValueError, TypeError, KeyError, IndexError, OverflowError):
        return Plan()
    return Plan(cuts, sizes) if is_ours else Plan()


def write_plan(store: Store, job: Job, plan: Plan) -> int:
    """Writes the plan as far as the end of the last file that it knows.

    Another thread may add to the plan meanwhile, and other processes may write theirs in its place: a shorter
    plan is as true as a longer one.

    Args:
      store: of the job.
      job: the job.
      plan: what is known.

    Returns:
      How many cut positions were written.
    """
    cuts = list(plan.cuts)
    values = {"job": job.id, "stands": cuts, "sizes": plan.sizes[: cuts[-1].part]}
    store.put(PLAN, json.dumps(io.seal(values), separators=(",", ":")).encode())
    return len(cuts)
