"""Which records of a corpus are kept, in which split, and with which label."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxlm.data._annotations import annotate, crop_record
from jaxlm.data._config import DataConfig
from jaxlm.data._corpus import Corpus
from jaxlm.data._labels import class_names, label_number, merge_labels
from jaxlm.data._similarity import similar_clusters
from jaxlm.data._splits import SplitName, Splits, fill_splits, group_hash, plan_splits
from jaxlm.data.sources import CorpusError, Record

# Part of a cache's fingerprint: raise it when the same records would be divided or labelled otherwise.
DIVISION_VERSION = 2


class CorpusDivision(NamedTuple):
    """How the records of a corpus are divided and labelled.

    Attributes:
      splits: the split of each group.
      groups: digest of a text to its group, where that is not what its record says.
      labels: digest of a text to the label of all records with it, where such records are merged.
      label_names: of classes, their names in the order of their numbers; None for numbers, or no labels.
      counts: "ranked": 1 where a small corpus was divided by rank; "clusters" and "largest": how many
        clusters of similar records there are, and the records of the largest.
    """

    splits: Splits
    groups: dict[bytes, str]
    labels: dict[bytes, str]
    label_names: tuple[str, ...] | None
    counts: dict[str, int]


class _RecordsOfText(NamedTuple):
    """What is known of one text: the annotated records with it, their texts left out, and the text."""

    text: str
    records: list[Record]


def plan_division(corpus: Corpus, config: DataConfig) -> CorpusDivision:
    """Returns how to divide and label a corpus.

    A corpus without groups, labels or similarity is read until no split is empty; any other as a whole.

    Args:
      corpus: what to divide.
      config: by what, and into which shares.

    Returns:
      The division.

    Raises:
      CorpusError: the corpus is empty or too small, or a label or a group cannot be read.
    """
    shares = config.validation_share, config.test_share
    if not (config.is_labelled or config.is_grouped or config.split == "similarity"):
        splits = plan_splits((record for record in corpus.records() if record.text.strip()), *shares)
        return CorpusDivision(splits, {}, {}, None, {"ranked": int(bool(splits.assigned))})
    surveyed = _survey(corpus, config)
    labels, names = _labels(surveyed, config)
    if config.split == "similarity":
        groups = _similar_groups(surveyed, config, letters=corpus.kind == "residues")
        sizes = Counter(groups[digest] for digest, found in surveyed.items() for _ in _kept(found, config))
        splits = fill_splits(
            {group_hash(Record("", "", {"group": one})): sizes[one] for one in sizes}, *shares
        )
        return CorpusDivision(splits, groups, labels, names, _sizes(sizes))
    groups = _shared_groups(surveyed)
    placed = (
        with_group(record._replace(text=found.text), digest, groups)
        for digest, found in surveyed.items()
        for record in _kept(found, config)
    )
    splits = plan_splits(placed, *shares)
    return CorpusDivision(splits, groups, labels, names, {"ranked": int(bool(splits.assigned))})


def split_records(
    corpus: Corpus, config: DataConfig, division: CorpusDivision, left_out: Counter[str]
) -> Iterator[tuple[SplitName, Record]]:
    """Yields every record that is kept, with its split; its label, where it has one, is a number in text.

    Args:
      corpus: read from its start.
      config: what the division was planned with.
      division: from `plan_division`.
      left_out: where to count the others: "blank", "duplicates".

    Yields:
      (split, record).
    """
    seen: set[bytes] = set()
    for record in corpus.records():
        digest = text_digest(record.text)
        if not record.text.strip():
            left_out["blank"] += 1
        elif config.deduplicate and digest in seen:
            left_out["duplicates"] += 1
        else:
            if config.deduplicate:
                seen.add(digest)
            record = annotate(record, config)
            if config.is_labelled:
                label = division.labels.get(digest) or label_number(record, division.label_names)
                record = record._replace(meta=record.meta | {"label": label})
            yield division.splits.of(with_group(record, digest, division.groups)), crop_record(record, config)


def with_group(record: Record, digest: bytes, groups: dict[bytes, str]) -> Record:
    """Returns the record with the group that its text belongs to, where that is not its own."""
    if digest not in groups:
        return record
    return record._replace(meta=record.meta | {"group": groups[digest]})


def text_digest(text: str) -> bytes:
    """Returns 16 bytes that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _survey(corpus: Corpus, config: DataConfig) -> dict[bytes, _RecordsOfText]:
    surveyed: dict[bytes, _RecordsOfText] = {}
    for record in corpus.records():
        if record.text.strip():
            found = surveyed.setdefault(text_digest(record.text), _RecordsOfText(record.text, []))
            found.records.append(annotate(record, config)._replace(text=""))
    if not surveyed:
        # It says that the corpus is empty.
        plan_splits([], config.validation_share, config.test_share)
    return surveyed


def _kept(found: _RecordsOfText, config: DataConfig) -> list[Record]:
    return found.records[:1] if config.deduplicate else found.records


def _labels(
    surveyed: dict[bytes, _RecordsOfText], config: DataConfig
) -> tuple[dict[bytes, str], tuple[str, ...] | None]:
    if not config.is_labelled:
        return {}, None
    names = class_names((one for found in surveyed.values() for one in found.records), config.label_kind)
    labels = {
        digest: [label_number(record, names) for record in found.records]
        for digest, found in surveyed.items()
    }
    if not config.deduplicate:
        return {}, names
    return {digest: merge_labels(of_text, names is not None) for digest, of_text in labels.items()}, names


def _shared_groups(surveyed: dict[bytes, _RecordsOfText]) -> dict[bytes, str]:
    """A text that occurs in several groups is a group of its own: it can be in one split only."""
    return {
        digest: found.text
        for digest, found in surveyed.items()
        if len({record.meta.get("group") for record in found.records}) > 1
    }


def _similar_groups(
    surveyed: dict[bytes, _RecordsOfText], config: DataConfig, *, letters: bool
) -> dict[bytes, str]:
    digests = sorted(surveyed)
    clusters = similar_clusters(
        [surveyed[digest].text for digest in digests], config.similarity, letters=letters
    )
    if len(np.unique(clusters)) < 3:
        raise CorpusError(
            f"split 'similarity' finds {len(np.unique(clusters))} clusters at similarity "
            f"{config.similarity:g}, but train, validation and test need one each; raise similarity, or "
            f"divide by 'record'"
        )
    return {digest: digests[cluster].hex() for digest, cluster in zip(digests, clusters, strict=True)}


def _sizes(sizes: Counter[str]) -> dict[str, int]:
    return {"clusters": len(sizes), "largest": max(sizes.values())}
