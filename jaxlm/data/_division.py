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

# Part of a cache's fingerprint: increase it when the same records get other splits or labels.
DIVISION_VERSION = 2


class CorpusDivision(NamedTuple):
    """How the records of a corpus are divided into splits and labelled.

    Attributes:
      splits: the split of each group.
      groups: by digest of a text, its group, where that differs from the group of its record.
      labels: by digest of a text, the label of all records with that text, if such records are merged.
      label_names: the names of the classes, in the order of their numbers; None if labels are numbers or
        there are none.
      counts: "ranked" is 1 if a small corpus was divided by rank; "clusters" and "largest" are the number of
        clusters of similar records and the size of the largest.
    """

    splits: Splits
    groups: dict[bytes, str]
    labels: dict[bytes, str]
    label_names: tuple[str, ...] | None
    counts: dict[str, int]


class _RecordsOfText(NamedTuple):
    """A text, and the annotated records that have it (with empty texts)."""

    text: str
    records: list[Record]


def plan_division(corpus: Corpus, config: DataConfig) -> CorpusDivision:
    """Returns how to divide and label a corpus.

    A corpus without groups, labels and similarity is read until no split is empty; any other corpus is read
    as a whole.

    Args:
      corpus: the corpus to divide.
      config: says how to divide it, and the shares of the splits.

    Returns:
      The division.

    Raises:
      CorpusError: the corpus is empty or too small, or a label or a group cannot be read.
    """
    shares = config.validation_share, config.test_share
    if not (config.is_labelled or config.is_grouped or config.split == "similarity"):
        splits = plan_splits((record for record in corpus.records() if record.text.strip()), *shares)
        return CorpusDivision(splits, {}, {}, None, {"ranked": int(bool(splits.assigned))})
    texts = _records_by_text(corpus, config)
    labels, names = _labels(texts, config)
    if config.split == "similarity":
        groups = _similar_groups(texts, config, letters=corpus.kind == "residues")
        sizes = Counter(groups[digest] for digest, text in texts.items() for _ in _kept(text, config))
        hashes = {group: group_hash(Record("", "", {"group": group})) for group in sizes}
        splits = fill_splits({hashes[group]: size for group, size in sizes.items()}, *shares)
        return CorpusDivision(splits, groups, labels, names, _sizes(sizes))
    groups = _shared_groups(texts)
    grouped = (
        with_group(record._replace(text=text.text), digest, groups)
        for digest, text in texts.items()
        for record in _kept(text, config)
    )
    splits = plan_splits(grouped, *shares)
    return CorpusDivision(splits, groups, labels, names, {"ranked": int(bool(splits.assigned))})


def split_records(
    corpus: Corpus, config: DataConfig, division: CorpusDivision, left_out: Counter[str]
) -> Iterator[tuple[SplitName, Record]]:
    """Yields every record that is kept, with its split; a label is a number, as text.

    Args:
      corpus: read from its start.
      config: the config with which the division was planned.
      division: from `plan_division`.
      left_out: counts the records that are not kept: "blank", "duplicates".

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
    """Returns the record with the group of its text, if the division gives that text another group.

    Args:
      record: of the corpus.
      digest: of its text, `text_digest`.
      groups: the group of each text that has another one, by the text's digest.
    """
    if digest not in groups:
        return record
    return record._replace(meta=record.meta | {"group": groups[digest]})


def text_digest(text: str) -> bytes:
    """Returns a digest of a text, 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _records_by_text(corpus: Corpus, config: DataConfig) -> dict[bytes, _RecordsOfText]:
    texts: dict[bytes, _RecordsOfText] = {}
    for record in corpus.records():
        if record.text.strip():
            text = texts.setdefault(text_digest(record.text), _RecordsOfText(record.text, []))
            text.records.append(annotate(record, config)._replace(text=""))
    if not texts:
        # Raises the error of an empty corpus.
        plan_splits([], config.validation_share, config.test_share)
    return texts


def _kept(text: _RecordsOfText, config: DataConfig) -> list[Record]:
    return text.records[:1] if config.deduplicate else text.records


def _labels(
    texts: dict[bytes, _RecordsOfText], config: DataConfig
) -> tuple[dict[bytes, str], tuple[str, ...] | None]:
    if not config.is_labelled:
        return {}, None
    names = class_names((record for text in texts.values() for record in text.records), config.label_kind)
    labels = {
        digest: [label_number(record, names) for record in text.records] for digest, text in texts.items()
    }
    if not config.deduplicate:
        return {}, names
    return {digest: merge_labels(of_text, names is not None) for digest, of_text in labels.items()}, names


def _shared_groups(texts: dict[bytes, _RecordsOfText]) -> dict[bytes, str]:
    """The texts that occur in several groups: each is a group of its own, so that it is in one split only."""
    return {
        digest: text.text
        for digest, text in texts.items()
        if len({record.meta.get("group") for record in text.records}) > 1
    }


def _similar_groups(
    texts: dict[bytes, _RecordsOfText], config: DataConfig, *, letters: bool
) -> dict[bytes, str]:
    digests = sorted(texts)
    clusters = similar_clusters(
        [texts[digest].text for digest in digests], config.similarity, letters=letters
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
