"""Which records are for training, which for validation and which for the test: their content decides."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from jaxlm.data.sources import CorpusError, Record

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class Splits(NamedTuple):
    """How records are divided.

    Attributes:
      validation_share: share of the groups held out for validation.
      test_share: share of the groups held out for the test.
      assigned: for a corpus too small for its hashes to fill every split, the split of each group's hash;
        else empty.
    """

    validation_share: float
    test_share: float
    assigned: dict[float, SplitName]

    def of(self, record: Record) -> SplitName:
        """Returns the split of a record: the same for all records of its group, whatever stands before it.

        Args:
          record: any record of the corpus.

        Returns:
          "train", "validation" or "test".
        """
        place = group_hash(record)
        if self.assigned:
            return self.assigned[place]
        if place < self.test_share:
            return "test"
        return "validation" if place < self.test_share + self.validation_share else "train"


def group_hash(record: Record) -> float:
    """Returns a number in [0, 1) that depends on the record's group alone.

    Args:
      record: its `meta["group"]` is the group; without one its text is, so that equal texts stay together.

    Returns:
      53 bits of a keyed BLAKE2b digest as a fraction.

    Example:
      >>> from jaxlm.data import Record
      >>> from jaxlm.data._splits import group_hash
      >>> one = Record("a", "text", {"group": "json.decoder"})
      >>> group_hash(one) == group_hash(Record("b", "other", {"group": "json.decoder"}))
      True
    """
    group = record.meta.get("group", record.text)
    encoded = group.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(encoded, digest_size=8, key=b"jaxlm split").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def plan_splits(records: Iterable[Record], validation_share: float, test_share: float) -> Splits:
    """Returns how to divide a corpus so that none of the three splits is empty.

    Reads only until every split has a record, so a large corpus costs a moment. Where the whole corpus leaves
    one empty, its groups go by the rank of their hashes: at least one to each split, and no fewer than the
    shares say.

    Args:
      records: the corpus from its start, without records that would be skipped.
      validation_share: share of the groups held out for validation.
      test_share: share of the groups held out for the test.

    Returns:
      The division.

    Raises:
      CorpusError: there are no records, or fewer than three groups.
    """
    hashed = Splits(validation_share, test_share, {})
    places: set[float] = set()
    seen: set[SplitName] = set()
    for record in records:
        places.add(group_hash(record))
        seen.add(hashed.of(record))
        if len(seen) == len(SPLITS):
            return hashed
    if not places:
        raise CorpusError(
            "the corpus is empty: expected records with text, found none or only blank ones; give files that "
            "hold text"
        )
    if len(places) < len(SPLITS):
        raise CorpusError(
            f"the corpus has {len(places)} distinct record{'s' if len(places) > 1 else ''}, but train, "
            f"validation and test need one each; give more, or make more documents of it (one a line)"
        )
    return hashed._replace(assigned=_by_rank(sorted(places), validation_share, test_share))


def fill_splits(sizes: dict[float, int], validation_share: float, test_share: float) -> Splits:
    """Returns how to divide groups of known sizes so that the shares are met in records.

    In the order of their hashes, groups go to the test as long as it stays within its share, then to
    validation; one that would burst both is for training. A split that no group fits into takes the smallest.

    Args:
      sizes: hash of each group to its number of records.
      validation_share: share of the records held out for validation.
      test_share: share of the records held out for the test.

    Returns:
      The division, every group assigned.

    Raises:
      CorpusError: there are fewer than three groups.

    Example:
      >>> from jaxlm.data._splits import fill_splits
      >>> sizes = {0.1: 60, 0.2: 15, 0.3: 10, 0.4: 10, 0.5: 5}
      >>> fill_splits(sizes, 0.1, 0.2).assigned
      {0.1: 'train', 0.2: 'test', 0.3: 'validation', 0.4: 'train', 0.5: 'test'}
    """
    if len(sizes) < len(SPLITS):
        raise CorpusError(f"the corpus has {len(sizes)} groups, but train, validation and test need one each")
    total = sum(sizes.values())
    room: dict[SplitName, int] = {
        "test": max(1, round(test_share * total)),
        "validation": max(1, round(validation_share * total)),
    }
    assigned: dict[float, SplitName] = {}
    for place in sorted(sizes):
        fitting = [split for split in room if sizes[place] <= room[split]]
        assigned[place] = fitting[0] if fitting else "train"
        if fitting:
            room[fitting[0]] -= sizes[place]
    for split in SPLITS:
        if split not in assigned.values():
            assigned[_spare(assigned, sizes)] = split
    return Splits(validation_share, test_share, assigned)


def _spare(assigned: dict[float, SplitName], sizes: dict[float, int]) -> float:
    """The smallest group of those splits that have several."""
    several = {split for split, number in Counter(assigned.values()).items() if number > 1}
    return min((place for place in assigned if assigned[place] in several), key=lambda one: (sizes[one], one))


def _by_rank(places: list[float], validation_share: float, test_share: float) -> dict[float, SplitName]:
    num_test = max(1, round(test_share * len(places)))
    num_validation = max(1, round(validation_share * len(places)))
    num_held = min(num_test + num_validation, len(places) - 1)
    num_test = min(num_test, num_held - 1)
    held: list[SplitName] = ["test"] * num_test + ["validation"] * (num_held - num_test)
    return dict(zip(places, [*held, *["train"] * (len(places) - num_held)], strict=True))
