"""A heat map of all single mutants of a protein: a column a position, a row an amino acid."""

import io
from typing import Any

import numpy as np

from jaxlm import tokenizers
from jaxlm.errors import UsageError

# Amino acids with like side chains stand together: small, aliphatic, aromatic, polar, acidic, basic.
ORDER = "GPACILMVFWYSTNQDEHKR"
POSITIONS_OF_A_PANEL = 80
# The height of a picture: viewers refuse much larger ones.
MOST_PIXELS = 30_000
# Blue is likelier than the wild type, red less likely; both are told apart by colour-blind people.
COLOURS, NO_SCORE = "RdBu", "#bbbbbb"


def mutant_heat_map_png(
    scores: np.ndarray, wild_type: str, *, first: int = 1, label: str = "log-likelihood ratio (nats)"
) -> bytes:
    """Returns a picture of the scores of all single mutants: white as the wild type, red worse, blue better.

    Long proteins are divided into panels of 80 positions. A dot stands at the wild type's own residue; a grey
    cell has no score. The scale is symmetric, and ends at the 98th percentile of the absolute scores.

    Args:
      scores: `Float[20 L]`, as `scoring.single_mutant_scores` returns them: a row an amino acid in
        alphabetical order, a column a position.
      wild_type: the unmutated sequence, of L residues.
      first: the number of its first residue.
      label: what the scores are, with their unit.

    Returns:
      The bytes of a PNG file.

    Raises:
      UsageError: if the scores are not those of the wild type's positions, or all of them are missing.

    Example:
      >>> import numpy as np
      >>> from jaxlm import reports
      >>> picture = reports.mutant_heat_map_png(np.linspace(-4, 1, 40).reshape(20, 2), "MA")
      >>> picture[1:4]
      b'PNG'
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure  # imported when drawn: it takes longer than all else here

    expected = (len(tokenizers.AMINO_ACIDS), len(wild_type))
    if scores.shape != expected:
        raise UsageError(
            f"expected scores of 20 amino acids at each position, {expected}: got {scores.shape}"
        )
    finite = np.abs(scores[np.isfinite(scores) & (scores != 0)])
    if not finite.size:
        raise UsageError("expected scores of single mutants: got none but the wild type's own")
    most = float(np.percentile(finite, 98))
    rows = scores[[tokenizers.AMINO_ACIDS.index(letter) for letter in ORDER]]
    starts = range(0, len(wild_type), POSITIONS_OF_A_PANEL)
    across = min(len(wild_type), POSITIONS_OF_A_PANEL)
    size = (max(2.2 + 0.16 * across, 5.0), 0.6 + 3.5 * len(starts))
    figure = Figure(figsize=size, dpi=min(130, MOST_PIXELS / size[1]), layout="constrained")
    colours = colormaps[COLOURS].with_extremes(bad=NO_SCORE)
    image = None
    for axes, start in zip(figure.subplots(len(starts), 1, squeeze=False).flat, starts, strict=True):
        shown = rows[:, start : start + POSITIONS_OF_A_PANEL]
        image = axes.imshow(np.ma.masked_invalid(shown), cmap=colours, vmin=-most, vmax=most, aspect="equal")
        _label(axes, wild_type, start, shown.shape[1], across, first)
    if image is None:
        raise AssertionError("a wild type has at least one residue")
    figure.colorbar(image, ax=figure.axes, label=label, extend="both", shrink=0.8, aspect=30)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _label(axes: Any, wild_type: str, start: int, count: int, across: int, first: int) -> None:
    """Writes residues and numbers along a panel, and dots at the wild type's own residues."""
    axes.set_xlim(-0.5, across - 0.5)
    own = [ORDER.find(letter) for letter in wild_type[start : start + count].upper()]
    places = [place for place, row in enumerate(own) if row >= 0]
    axes.plot(places, [own[place] for place in places], "o", color="#222222", markersize=1.8)
    axes.set_yticks(range(len(ORDER)), list(ORDER), fontsize=6, family="monospace")
    letters = list(wild_type[start : start + count])
    axes.set_xticks(range(count), letters, fontsize=6, family="monospace")
    axes.tick_params(length=0, pad=1)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    numbers = axes.secondary_xaxis("top")
    places = [place for place in range(count) if place == 0 or (start + place + first) % 10 == 0]
    numbers.set_xticks(places, [str(start + place + first) for place in places], fontsize=6)
    numbers.tick_params(length=2, pad=1)
