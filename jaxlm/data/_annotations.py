"""The group, the label and the centre of a record: found in its header, or in a field of its file."""

import re

from jaxlm.data._config import DataConfig
from jaxlm.data.sources import CorpusError, Record


def annotate(record: Record, config: DataConfig) -> Record:
    """Returns the record with the group and the label that a config's patterns and fields find.

    Args:
      record: of any source; fields that the config names are in its `meta`.
      config: where to look.

    Returns:
      The record whose `meta["group"]` and `meta["label"]` are what was found, as text. Where a pattern
      matches and its first group takes no part in the match, the record has no group.

    Raises:
      CorpusError: a pattern is not found, or a label is empty; names the record.

    Example:
      >>> from jaxlm.data import DataConfig, Record
      >>> from jaxlm.data._annotations import annotate
      >>> config = DataConfig(label_pattern=r"=(\\S+)", group_pattern=r"[A-Z](\\d+)[A-Z]")
      >>> annotate(Record("R164K", "MKV", {"description": "fitness=0.5"}), config).meta["label"]
      '0.5'
    """
    used = {config.group_field, config.label_field}
    meta = {name: value for name, value in record.meta.items() if name not in used}
    if config.is_grouped:
        group = _found(record, "group", config.group_field, config.group_pattern)
        meta = {name: value for name, value in meta.items() if name != "group"}
        meta |= {} if group is None else {"group": group}
    if config.is_labelled:
        label = _found(record, "label", config.label_field, config.label_pattern)
        if not label or not label.strip():
            raise CorpusError(f"{record_location(record)}: expected a label, found an empty one")
        meta["label"] = label.strip()
    return record._replace(meta=meta)


def crop_record(record: Record, config: DataConfig) -> Record:
    r"""Returns the record with the characters around its centre, or as it is where the config has no window.

    Args:
      record: of any source.
      config: its `center_pattern` finds the centre.

    Returns:
      The record with up to `config.window` characters.

    Raises:
      CorpusError: the pattern is not found, or does not name a place in the text; names the record.

    Example:
      >>> from jaxlm.data import DataConfig, Record
      >>> from jaxlm.data._annotations import crop_record
      >>> config = DataConfig(window=3, center_pattern=r"_[A-Z](\d+)")
      >>> crop_record(Record("x_T3K", "MKKAY", {}), config).text, cut(Record("x_M1A", "AKTAY", {}), config).text
      ('KKA', 'AK')
    """
    if not config.window:
        return record
    place = _found(record, "center", None, config.center_pattern)
    if place is None or not place.isdecimal() or not 1 <= int(place) <= len(record.text):
        raise CorpusError(
            f"{record_location(record)}: expected the place of a character from 1 to {len(record.text)} as the "
            f"window's centre, found {place!r}"
        )
    first = int(place) - 1 - config.window // 2
    return record._replace(text=record.text[max(0, first) : first + config.window])


def _found(record: Record, name: str, field: str | None, pattern: str | None) -> str | None:
    description = record.meta.get("description", "")
    text = f"{record.id} {description}".rstrip() if field is None else record.meta.get(field)
    if text is None:
        raise CorpusError(
            f"{record_location(record)}: expected a {name} in {field!r}, found null; correct it, or leave the "
            f"record out"
        )
    if pattern is None:
        return text
    match = re.search(pattern, text)
    if match is None:
        raise CorpusError(
            f"{record_location(record)}: {name}_pattern {pattern!r} finds nothing in {text[:80]!r}; correct "
            f"it, or the record"
        )
    return match[1]


def record_location(record: Record) -> str:
    """Returns what an error says of where a record is.

    Example:
      >>> from jaxlm.data import Record, record_location
      >>> record_location(Record("odd", "MKV", {"where": "a.fasta:3"})), record_location(Record("tales.txt:7", "", {}))
      ('a.fasta:3: record odd', 'tales.txt:7')
    """
    where = record.meta.get("where")
    return record.id if where is None else f"{where}: record {record.id}"
