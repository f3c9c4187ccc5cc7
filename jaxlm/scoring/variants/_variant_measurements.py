"""The measured value of a variant: in a column of its table, or in its header."""

import re

from jaxlm import data
from jaxlm.scoring.measures import ScoreError
from jaxlm.scoring.variants._missing import is_missing


def measured_value(record: data.Record, field: str | None, pattern: str | None) -> float | None:
    """Returns the measured value of a variant; None if its field says that the value is missing.

    Args:
      record: the variant.
      field: the field of its `meta` with the value.
      pattern: instead of a field, a regular expression that is searched for in the variant's id and
        description; its first group is the value, or the whole match if it has no group.

    Raises:
      ScoreError: if the pattern does not match, or the value is no number.

    Example:
      >>> from jaxlm import data
      >>> from jaxlm.scoring.variants._variant_measurements import measured_value
      >>> measured_value(data.Record("A23T|0.5", "MKT", {}), None, r"\\|(.*)")
      0.5
    """
    text = str(record.meta.get(field or "", "")) if pattern is None else _matched(record, pattern)
    if is_missing(text):
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ScoreError(f"expected a measured value, a number: got {text[:40]!r}") from error


def check_pattern(pattern: str | None) -> None:
    """Raises `ScoreError` for a text that is no regular expression, before any variant is scored.

    Args:
      pattern: the text; None: nothing to check.

    Raises:
      ScoreError: if it is no regular expression, with the reason.

    Example:
      >>> from jaxlm.scoring.variants._variant_measurements import check_pattern
      >>> check_pattern(r"\\|(.*)")
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ScoreError(f"measured_pattern {pattern!r} is no regular expression: {error}") from error


def _matched(record: data.Record, pattern: str) -> str:
    header = f"{record.id} {record.meta.get('description', '')}".rstrip()
    match = re.search(pattern, header)
    if match is None:
        raise ScoreError(f"measured_pattern {pattern!r} finds nothing in {header[:80]!r}")
    return (match[1] or "") if match.re.groups else match[0]
