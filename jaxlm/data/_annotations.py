"""The group, the label and the centre of a record, found in its id and description or in a field."""

import re

from jaxlm.data._config import DataConfig
from jaxlm.data.sources import CorpusError, Record


def annotate(record: Record, config: DataConfig) -> Record:
    """Returns the record with the group and the label that a config's patterns and fields find.

    Args:
      record: of any source; its `meta` has the fields that the config names.
      config: its patterns and fields.

    Returns:
      The record with `meta["group"]` and `meta["label"]` as text. It has no group if the pattern matches and
      its first regular-expression group takes no part in the match.

    Raises:
      CorpusError: a pattern does not match, or a label is empty; names the record.

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
        group = _search(record, "group", config.group_field, config.group_pattern)
        meta = {name: value for name, value in meta.items() if name != "group"}
        meta |= {} if group is None else {"group": group}
    if config.is_labelled:
        label = _search(record, "label", config.label_field, config.label_pattern)
        if not label or not label.strip():
            raise CorpusError(f"{record_location(record)}: expected a label, found an empty one")
        meta["label"] = label.strip()
    return record._replace(meta=meta)


def crop_record(record: Record, config: DataConfig) -> Record:
    r"""Returns the record with the characters around its centre; unchanged if the config has no window.

    Args:
      record: of any source.
      config: its `center_pattern` finds the centre.

    Returns:
      The record with up to `config.window` characters.

    Raises:
      CorpusError: the pattern does not match, or the number it finds is no position in the text; names the
        record.

    Example:
      >>> from jaxlm.data import DataConfig, Record
      >>> from jaxlm.data._annotations import crop_record
      >>> config = DataConfig(window=3, center_pattern=r"_[A-Z](\d+)")
      >>> [crop_record(Record(id, "MKKAY", {}), config).text for id in ("x_T3K", "x_M1A")]
      ['KKA', 'MK']
    """
    if not config.window:
        return record
    center = _search(record, "center", None, config.center_pattern)
    if center is None or not center.isdecimal() or not 1 <= int(center) <= len(record.text):
        raise CorpusError(
            f"{record_location(record)}: expected the place of a character from 1 to {len(record.text)} as "
            f"the window's centre, found {center!r}"
        )
    first = int(center) - 1 - config.window // 2
    return record._replace(text=record.text[max(0, first) : first + config.window])


def _search(record: Record, name: str, field: str | None, pattern: str | None) -> str | None:
    """What a pattern's first group matches: in a field, or in id and description if no field is given."""
    description = record.meta.get("description", "")
    text = f"{record.id} {description}".rstrip() if field is None else record.meta.get(field)
    if text is None:
        raise CorpusError(
            f"{record_location(record)}: expected a {name} in {field!r}, found null; correct it, or leave "
            f"the record out"
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
    """Returns the file, the line and the id of a record, as error messages name it.

    The file and line come from `meta["where"]`. Without that entry the id alone is returned, which then names
    the file.

    Example:
      >>> from jaxlm.data import Record, record_location
      >>> record_location(Record("odd", "MKV", {"where": "a.fasta:3"}))
      'a.fasta:3: record odd'
      >>> record_location(Record("tales.txt:7", "once", {}))
      'tales.txt:7'
    """
    where = record.meta.get("where")
    return record.id if where is None else f"{where}: record {record.id}"
