"""What was measured of a variant: in a column of its table, or in its header."""

import re

from jaxlm import data
from jaxlm.scoring.measures import ScoreError
from jaxlm.scoring.variants._missing import is_missing


def measured_value(record: data.Record, field: str | None, pattern: str | None) -> float | None:
    """Returns the number that was measured, None where it says that there is none.

    Args:
      record: a variant.
      field: of its `meta`.
      pattern: a regular expression that is searched for in its id and description, in the place of a field;
        its first group is the number, or all that it finds.

    Raises:
      ScoreError: if the pattern finds nothing, or what is there is no number.

    Example:
      >>> measured_value(data.Record("A23T|0.5", "MKT", {}), None, r"\\|(.*)")
      0.5
    """
    said = str(record.meta.get(field, "")) if pattern is None else _found(record, pattern)
    if is_missing(said):
        return None
    try:
        return float(said)
    except ValueError as error:
        raise ScoreError(f"expected a number that was measured, got {said[:40]!r}") from error


def check_pattern(pattern: str | None) -> None:
    """Refuses what is no regular expression, before any variant is scored.

    Raises:
      ScoreError: says why.

    Example:
      >>> check_pattern(r"\\|(.*)")
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ScoreError(f"measured_pattern {pattern!r} is no regular expression: {error}") from error


def _found(record: data.Record, pattern: str) -> str:
    header = f"{record.id} {record.meta.get('description', '')}".rstrip()
    found = re.search(pattern, header)
    if found is None:
        raise ScoreError(f"measured_pattern {pattern!r} finds nothing in {header[:80]!r}")
    return (found[1] or "") if found.re.groups else found[0]
