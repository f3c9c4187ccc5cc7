"""What a heat map shows, before a terminal or a page draws it.

`T` tokens down, `N` predictions across.
"""

import json
import math
from typing import NamedTuple

import numpy as np

from jaxlm import steps
from jaxlm.attribution.results._aggregation import is_granular, over_width
from jaxlm.attribution.results._fields import AttributionFields
from jaxlm.errors import UsageError

SHOWN_SPACE = "▁"
# Scores outside of these powers of ten are shown as multiples of one.
SMALLEST_POWER, LARGEST_POWER = -1, 2
# Settings such as vectors of a baseline are cut.
LONGEST_SETTING = 100


class HeatRows(NamedTuple):
    """The tokens on one side of a model, each with its scores.

    Attributes:
      name: "source" or "target"; "" if the model has one side only.
      labels: the tokens, T of them.
      scores: `Float[T N]`; NaN where the prediction does not see the token.
    """

    name: str
    labels: tuple[str, ...]
    scores: np.ndarray


class NumberRow(NamedTuple):
    """A row of numbers below the scores: a step function's.

    Attributes:
      label: the name of the function, with its unit.
      values: `Float[N]`.
    """

    label: str
    values: np.ndarray


class HeatMap(NamedTuple):
    """What a heat map shows.

    Attributes:
      title: one line.
      columns: the explained tokens, N of them.
      contrasts: what each of them is compared with; None without a contrast.
      sides: the scores: those of the source before those of the target.
      numbers: the rows below them.
      limit: the largest magnitude of all scores; 1 if there is none above 0.
      exponent: scores are shown divided by 10 to its power.
      is_signed: whether colours tell scores above 0 from those below.
      facts: what is to be known of the attribution, as pairs of a name and a text.
    """

    title: str
    columns: tuple[str, ...]
    contrasts: tuple[str, ...] | None
    sides: tuple[HeatRows, ...]
    numbers: tuple[NumberRow, ...]
    limit: float
    exponent: int
    is_signed: bool
    facts: tuple[tuple[str, str], ...]

    def shown(self, score: float) -> str:
        """Returns a score as a cell shows it: three digits, with its sign if signs count; "" for NaN.

        Args:
          score: a score of the map.
        """
        if math.isnan(score):
            return ""
        power = math.floor(math.log10(self.limit)) - self.exponent
        number = f"{score / 10.0**self.exponent:+.{max(0, min(2 - power, 3))}f}"
        if not number.strip("+-0."):  # a sign of what is not shown misleads
            number = number.lstrip("+-")
        return number if self.is_signed else number.lstrip("+")


def heat_map(result: AttributionFields) -> HeatMap:
    """Returns what a heat map of an attribution shows.

    Granular scores are shown as their norms. Tokens at the end that no prediction sees are left out: they are
    predicted only.

    Args:
      result: an attribution.

    Example:
      >>> import numpy as np
      >>> from jaxlm.attribution import Attribution
      >>> from jaxlm.attribution.results._heat_map import heat_map
      >>> ids, scores = np.array([5, 6]), np.array([[0.0005], [np.nan]])
      >>> drawn = heat_map(Attribution(("To", " be"), ids, ids[:1] - 4, ids[1:], (" be",), scores))
      >>> drawn.columns, drawn.sides[0].labels, drawn.exponent, drawn.shown(0.0005)
      (('▁be',), ('To',), -4, '+5.00')
    """
    plain = over_width(result) if is_granular(result) else result
    sides = tuple(_sides(plain))
    finite = [np.abs(side.scores[np.isfinite(side.scores)]) for side in sides]
    limit = max((float(own.max()) for own in finite if own.size), default=0.0) or 1.0
    power = math.floor(math.log10(limit))
    contrasts = plain.contrast_tokens
    return HeatMap(
        title=_title(plain),
        columns=tuple(visible_token(token) for token in plain.target_tokens),
        contrasts=contrasts and tuple(visible_token(token) for token in contrasts),
        sides=sides,
        numbers=tuple(_numbers(plain)),
        limit=limit,
        exponent=0 if SMALLEST_POWER <= power <= LARGEST_POWER else power,
        is_signed=plain.is_signed,
        facts=tuple(_facts(plain)),
    )


def visible_token(token: str) -> str:
    r"""Returns a token with everything to be seen: spaces as `▁`, control characters as escapes.

    Example:
      >>> from jaxlm.attribution.results._heat_map import visible_token
      >>> visible_token(" be"), visible_token("\n"), visible_token("\x1b[31m"), visible_token("")
      ('▁be', '\\n', '\\x1b[31m', "''")
    """
    shown = "".join(_visible(character) for character in token)
    return shown or "''"


def short_value(value: float) -> str:
    """Returns a step function's number in a few characters; "" for NaN.

    Example:
      >>> from jaxlm.attribution.results._heat_map import short_value
      >>> short_value(0.123456), short_value(12345.6), short_value(-1e-7), short_value(float("nan"))
      ('0.123', '12346', '-1e-07', '')
    """
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def _visible(character: str) -> str:
    if character == " ":
        return SHOWN_SPACE
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _title(result: AttributionFields) -> str:
    method = result.method or "attribution"
    return f"{method} of {result.step_function}" if result.step_function else method


def _sides(result: AttributionFields) -> list[HeatRows]:
    has_source = result.source_scores is not None and result.source_tokens is not None
    sides = []
    if has_source:
        sides.append(_rows("source", result.source_tokens or (), result.source_scores))
    if result.scores is not None:
        sides.append(_rows("target" if has_source else "", result.tokens, result.scores))
    return sides


def _rows(name: str, tokens: tuple[str, ...], scores: np.ndarray | None) -> HeatRows:
    scores = np.zeros((len(tokens), 0)) if scores is None else np.asarray(scores, np.float64)
    seen = np.flatnonzero(~np.isnan(scores).all(1))
    end = int(seen[-1]) + 1 if seen.size else 0
    return HeatRows(name, tuple(visible_token(token) for token in tokens[:end]), scores[:end])


def _numbers(result: AttributionFields) -> list[NumberRow]:
    rows = []
    if result.values is not None:
        rows.append(NumberRow(_with_unit(result.step_function or "value", result.unit), result.values))
    if result.baseline_values is not None:
        rows.append(NumberRow("at the baseline", result.baseline_values))
    rows += [NumberRow(_with_unit(name, unit_of(name)), own) for name, own in result.step_scores.items()]
    return rows


def unit_of(name: str) -> str:
    """Returns the unit of a step function by its name; "" if the name is unknown.

    Example:
      >>> from jaxlm.attribution.results._heat_map import unit_of
      >>> unit_of("entropy"), unit_of("my own")
      ('nats', '')
    """
    try:
        return steps.parse_step_function(name).unit
    except UsageError:
        return ""


def _with_unit(name: str, unit: str) -> str:
    return name if unit in ("", name) else f"{name} ({unit})"


def _facts(result: AttributionFields) -> list[tuple[str, str]]:
    facts = [("method", result.method), ("explains", _with_unit(result.step_function, result.unit))]
    if result.method:
        facts.append(("scores", _meaning(result)))
    shown = [f"{name} = {_setting(own)}" for name, own in result.settings.items() if _is_told(name, own)]
    facts.append(("settings", ", ".join(shown)))
    errors = result.completeness_error
    if errors is not None and not np.isnan(errors).all():
        told = f"scores add up to the change from the baseline within {float(np.nanmax(errors)):.2g}"
        facts.append(("completeness", told))
    facts += [("model", result.model), ("fingerprint", result.fingerprint)]
    return [(name, text) for name, text in facts if text]


def _meaning(result: AttributionFields) -> str:
    unit = result.settings.get("scores_unit")
    measured = f", in {unit}" if isinstance(unit, str) and unit else ""
    if not result.is_signed:
        return f"magnitudes, without a direction{measured}"
    return f"above 0 a token raises it, below 0 it lowers it{measured}"


def _is_told(name: str, value: object) -> bool:
    """Whether a setting is shown: those that are not set say nothing, and the unit stands elsewhere."""
    return value is not None and name != "scores_unit"


def _setting(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_SETTING else f"{text[:LONGEST_SETTING]}..."
