"""All single mutants of a protein, and their scores as an array of residues by positions."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jaxlm import data, tokenizers
from jaxlm.errors import ScoreError
from jaxlm.scoring.variants._mutations import parse_variant


def single_mutants(wild_type: str, *, first: int = 1) -> Iterator[data.Record]:
    """Yields every single mutant of a protein, as documents for `VariantEffect`.

    At each position every amino acid but the wild type's own: 19 mutants, in the order of positions and then
    of letters. The id of a document is its text, such as `A23C`.

    Args:
      wild_type: the unmutated sequence, in upper or lower case.
      first: the number of its first residue in names.

    Example:
      >>> from jaxlm.scoring import single_mutants
      >>> names = [record.text for record in single_mutants("MA")]
      >>> len(names), names[:3], names[-1]
      (38, ['M1A', 'M1C', 'M1D'], 'A2Y')
    """
    for place, wild in enumerate(wild_type.upper()):
        for mutant in tokenizers.AMINO_ACIDS:
            if mutant != wild:
                name = f"{wild}{place + first}{mutant}"
                yield data.Record(name, name, {})


def single_mutant_scores(
    variants: Iterable[str], scores: Sequence[float | None], wild_type: str, *, first: int = 1
) -> np.ndarray:
    """Returns scores of single mutants as an array with a row for each amino acid, a column a position.

    Args:
      variants: the names of the mutants, such as `A23C`.
      scores: their scores, in any unit; None: a mutant has none.
      wild_type: the unmutated sequence.
      first: the number of its first residue in the names.

    Returns:
      `Float64[20 L]` for the amino acids in alphabetical order and the L residues of the wild type: 0 at the
      wild type's own residue, NaN where there is no score.

    Raises:
      ScoreError: if a name is no single mutant of the wild type.

    Example:
      >>> from jaxlm.scoring import single_mutant_scores
      >>> found = single_mutant_scores(["M1A", "A2C"], [-1.0, -2.0], "MA")
      >>> found.shape, float(found[0, 0]), float(found[1, 1]), float(found[0, 1])
      ((20, 2), -1.0, -2.0, 0.0)
    """
    letters = tokenizers.AMINO_ACIDS
    found = np.full((len(letters), len(wild_type)), np.nan)
    for place, wild in enumerate(wild_type.upper()):
        if wild in letters:
            found[letters.index(wild), place] = 0.0
    for name, score in zip(variants, scores, strict=True):
        changes = parse_variant(name, wild_type, first=first).substitutions
        if changes is None or len(changes) != 1 or changes[0].mutant not in letters:
            raise ScoreError(f"expected the name of a single mutant such as A23C: got {name!r}")
        if score is not None:
            found[letters.index(changes[0].mutant), changes[0].place] = score
    return found
