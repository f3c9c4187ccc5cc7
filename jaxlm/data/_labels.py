"""Labels as numbers: a value stays as it is, a class becomes its index among the sorted names."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jaxlm.data._annotations import annotate, crop_record, record_location
from jaxlm.data._config import DataConfig, LabelKind
from jaxlm.data.sources import CorpusError, Record


def label_records(
    records: Iterable[Record], config: DataConfig, label_names: Sequence[str] | None = None
) -> Iterator[Record]:
    """Yields records as `build_cache` takes them: labels as numbers, texts cropped to the config's window.

    Args:
      records: records of any source, whose `meta` has the fields that the config names.
      config: the config that says where labels and window centers are found.
      label_names: the names of the classes (`PreparedCorpus.label_names`); a label becomes the index of its
        name. None: labels are numbers already.

    Yields:
      The records in the same order. `meta["label"]` is the number of the label as a string, such as "0".

    Raises:
      CorpusError: a label is missing, is not a finite number, or is not one of the names; the message names
        the record.

    Example:
      >>> from jaxlm.data import DataConfig, Record, label_records
      >>> config = DataConfig(label_pattern=r"_(\\w+)")
      >>> records = label_records([Record("a_cat", "miaow", {})], config, ["cat", "dog"])
      >>> [record.meta["label"] for record in records]
      ['0']
    """
    for record in records:
        record = annotate(record, config)
        labelled_record = record._replace(meta=record.meta | {"label": label_number(record, label_names)})
        yield crop_record(labelled_record, config)


def label_number(record: Record, label_names: Sequence[str] | None) -> str:
    """Returns the label of an annotated record as a number, as text; of a class, its index among the names.

    Raises:
      CorpusError: the label is no finite number, or none of the names.
    """
    label = record.meta["label"]
    if label_names is None:
        if not is_number(label):
            raise CorpusError(
                f"{record_location(record)}: the label {label!r} is no finite number; correct it, or take "
                f"label_kind 'class' if labels are names"
            )
        return repr(float(label))
    if label not in label_names:
        raise CorpusError(
            f"{record_location(record)}: the class {label!r} is unknown; expected one of "
            f"{', '.join(label_names)}"
        )
    return str(label_names.index(label))


def class_names(labels: Iterable[Record], kind: LabelKind) -> tuple[str, ...] | None:
    """Returns the names of the classes that records are labelled with; None if labels are numbers.

    If all names are numbers they are sorted by value, so that "9" comes before "10"; otherwise as text.

    Args:
      labels: annotated records.
      kind: "auto" decides by the first label, which is a number or a name.

    Returns:
      The names, or None.
    """
    names: set[str] = set()
    for record in labels:
        if kind == "number" or (kind == "auto" and is_number(record.meta["label"])):
            return None
        kind = "class"
        names.add(record.meta["label"])
    return tuple(sorted(names, key=class_order(names)))


def class_order(names: Iterable[str]) -> Callable[[str], Any]:
    """Returns the key by which class names are sorted: their value if all are numbers, else their text.

    Example:
      >>> from jaxlm.data._labels import class_order
      >>> names = ["10", "9", "9.0"]
      >>> sorted(names, key=class_order(names)), sorted(["b", "10", "9"], key=class_order(["b", "10", "9"]))
      (['9', '9.0', '10'], ['10', '9', 'b'])
    """
    if all(is_number(name) for name in names):
        return lambda name: (float(name), name)
    return lambda name: name


def is_number(label: str) -> bool:
    """Returns whether a label is a finite number.

    Example:
      >>> from jaxlm.data._labels import is_number
      >>> is_number("1e-3"), is_number("nan"), is_number("cat")
      (True, False, False)
    """
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def merge_labels(labels: Sequence[str], of_classes: bool) -> str:
    """Returns one label for records with the same text: the mean, or the most frequent class.

    Args:
      labels: numbers as text, in the order of the records.
      of_classes: whether they are classes; of equally frequent classes the one with the smallest number wins.

    Example:
      >>> from jaxlm.data._labels import merge_labels
      >>> merge_labels(["0.5", "1.0"], of_classes=False), merge_labels(["1", "2", "2"], of_classes=True)
      ('0.75', '2')
    """
    if of_classes:
        counts = Counter(labels)
        return min(counts, key=lambda label: (-counts[label], int(label)))
    return repr(math.fsum(map(float, labels)) / len(labels))
