"""Colours of scores: a diverging scale for signed scores, a sequential one for magnitudes.

Both scales are told apart by people who see no difference between red and green: blue against red, and from
light to dark purple.
"""

from typing import NamedTuple

# On either side of 0; the terminal and the page draw the same colours.
NUM_LEVELS = 20
# ColorBrewer's RdBu, from blue (below 0) over white (0) to red, and its Purples, from 0 on.
DIVERGING = (
    *("#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0"),
    "#f7f7f7",
    *("#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"),
)
SEQUENTIAL = (
    *("#fcfbfd", "#efedf5", "#dadaeb", "#bcbddc", "#9e9ac8"),
    *("#807dba", "#6a51a3", "#54278f", "#3f007d"),
)


class Colour(NamedTuple):
    """The colour of a cell and of the text on it, as "#rrggbb".

    Attributes:
      background: of the cell.
      text: black or white, whichever is read more easily on it.
    """

    background: str
    text: str


def colour_level(score: float, limit: float) -> int:
    """Returns how far a score is on its way to the limit, from -20 over 0 to 20.

    Args:
      score: a score; scores beyond the limit have its level.
      limit: the magnitude at the end of the scale, above 0.

    Example:
      >>> from jaxlm.attribution.results._colours import colour_level
      >>> colour_level(0.5, 1.0), colour_level(-3.0, 1.0), colour_level(0.01, 1.0)
      (10, -20, 0)
    """
    return round(NUM_LEVELS * max(-1.0, min(1.0, score / limit)))


def level_colour(level: int, *, is_signed: bool) -> Colour:
    """Returns the colour of a level of `colour_level`.

    Args:
      level: from -20 to 20; from 0 on if the scores are not signed.
      is_signed: whether the scale is diverging.

    Example:
      >>> from jaxlm.attribution.results._colours import level_colour
      >>> level_colour(0, is_signed=True), level_colour(-20, is_signed=True)
      (Colour(background='#f7f7f7', text='#000000'), Colour(background='#053061', text='#ffffff'))

    References:
      Brewer and Harrower, "ColorBrewer 2.0", https://colorbrewer2.org (RdBu and Purples, colour-blind safe).
    """
    if is_signed:
        background = _between(DIVERGING, (level + NUM_LEVELS) / (2 * NUM_LEVELS))
    else:
        background = _between(SEQUENTIAL, abs(level) / NUM_LEVELS)
    on_white, on_black = 1.05 / (_luminance(background) + 0.05), (_luminance(background) + 0.05) / 0.05
    return Colour(background, "#ffffff" if on_white > on_black else "#000000")


def _between(scale: tuple[str, ...], share: float) -> str:
    """The colour at a share of the way along a scale, between its two nearest colours."""
    place = share * (len(scale) - 1)
    index = min(int(place), len(scale) - 2)
    mixed = zip(_channels(scale[index]), _channels(scale[index + 1]), strict=True)
    return "#" + "".join(f"{round(low + (high - low) * (place - index)):02x}" for low, high in mixed)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    """Relative luminance as the W3C's guidelines for contrast define it, from 0 to 1."""
    parts = [value / 255 for value in _channels(colour)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
