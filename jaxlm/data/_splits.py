"""Which records are for training, for validation and for the test, decided by a hash of their content."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from jaxlm.data.sources import CorpusError, Record

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
# The splits that are filled up to their shares, in this order; all other records are for training.
FILLED_SPLITS: tuple[SplitName, ...] = ("test", "validation")


class Splits(NamedTuple):
    """How records are divided into splits.

    Attributes:
      validation_share: the share of the groups held out for validation, from 0 to 1. A group is a set of
        records that stay together, such as the functions of a module; records without a group are grouped by
        equal text.
      test_share: the share of the groups held out for the test, from 0 to 1.
      assigned: the split of each group, by the hash of the group, for a corpus so small that hashes alone
        would leave a split empty. The dict is empty for a larger corpus, where the hash itself decides.
    """

    validation_share: float
    test_share: float
    assigned: dict[float, SplitName]

    def of(self, record: Record) -> SplitName:
        """Returns the split of a record, which depends on nothing but its group.

        Args:
          record: any record of the corpus.

        Returns:
          "train", "validation" or "test".
        """
        fraction = group_hash(record)
        if self.assigned:
            return self.assigned[fraction]
        if fraction < self.test_share:
            return "test"
        return "validation" if fraction < self.test_share + self.validation_share else "train"


def group_hash(record: Record) -> float:
    """Returns a number in [0, 1) that depends on the record's group alone.

    Args:
      record: its group is `meta["group"]`, or without one its text, so that equal texts stay together.

    Returns:
      53 bits of a keyed BLAKE2b digest as a fraction.

    Example:
      >>> from jaxlm.data import Record
      >>> from jaxlm.data._splits import group_hash
      >>> record = Record("a", "text", {"group": "json.decoder"})
      >>> group_hash(record) == group_hash(Record("b", "other", {"group": "json.decoder"}))
      True
    """
    group = record.meta.get("group", record.text)
    encoded = group.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(encoded, digest_size=8, key=b"jaxlm split").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def plan_splits(records: Iterable[Record], validation_share: float, test_share: float) -> Splits:
    """Returns how to divide a corpus so that none of the three splits is empty.

    The corpus is read only until every split has a record, which is soon for a large corpus. If the whole
    corpus leaves a split empty, groups are assigned by the rank of their hashes: at least one to each split,
    and no fewer than the shares require.

    Args:
      records: the records of the corpus from its start, without those that training skips.
      validation_share: the share of the groups held out for validation. A group is the set of records with
        the same `meta["group"]`, or, for records without that entry, with the same text.
      test_share: the share of the groups held out for the test.

    Returns:
      The splits; `Splits.of` gives the split of a record.

    Raises:
      CorpusError: there are no records, or fewer than three groups.
    """
    hashed = Splits(validation_share, test_share, {})
    hashes: set[float] = set()
    seen: set[SplitName] = set()
    for record in records:
        hashes.add(group_hash(record))
        seen.add(hashed.of(record))
        if len(seen) == len(SPLITS):
            return hashed
    if not hashes:
        raise CorpusError(
            "the corpus is empty: expected records with text, found none or only blank ones; give files that "
            "hold text"
        )
    if len(hashes) < len(SPLITS):
        raise CorpusError(
            f"the corpus has {len(hashes)} distinct record{'s' if len(hashes) > 1 else ''}, but train, "
            f"validation and test need one each; give more, or make more documents of it (one a line)"
        )
    return hashed._replace(assigned=_by_rank(sorted(hashes), validation_share, test_share))


def fill_splits(sizes: dict[float, int], validation_share: float, test_share: float) -> Splits:
    """Returns how to divide groups of known sizes so that the shares hold for the numbers of records.

    In the order of their hashes, groups are assigned to the test while they fit into its share, then to
    validation; a group that fits into neither is for training. A split into which no group fits takes the
    smallest one.

    Args:
      sizes: by hash of a group, its number of records.
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
    capacity: dict[SplitName, int] = {
        "test": max(1, round(test_share * total)),
        "validation": max(1, round(validation_share * total)),
    }
    assigned: dict[float, SplitName] = {}
    for group in sorted(sizes):
        fitting: list[SplitName] = [split for split in FILLED_SPLITS if sizes[group] <= capacity[split]]
        assigned[group] = fitting[0] if fitting else "train"
        if fitting:
            capacity[fitting[0]] -= sizes[group]
    for split in SPLITS:
        if split not in assigned.values():
            assigned[_spare(assigned, sizes)] = split
    return Splits(validation_share, test_share, assigned)


def _spare(assigned: dict[float, SplitName], sizes: dict[float, int]) -> float:
    """The smallest group among those of splits that have several groups."""
    several = {split for split, number in Counter(assigned.values()).items() if number > 1}
    groups = (group for group in assigned if assigned[group] in several)
    return min(groups, key=lambda group: (sizes[group], group))


def _by_rank(hashes: list[float], validation_share: float, test_share: float) -> dict[float, SplitName]:
    num_test = max(1, round(test_share * len(hashes)))
    num_validation = max(1, round(validation_share * len(hashes)))
    num_held = min(num_test + num_validation, len(hashes) - 1)
    num_test = min(num_test, num_held - 1)

    def split_of(rank: int) -> SplitName:
        if rank < num_test:
            return "test"
        return "validation" if rank < num_held else "train"

    return {group: split_of(rank) for rank, group in enumerate(hashes)}
