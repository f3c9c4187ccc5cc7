"""Vectors for a person: the first of their numbers, and how similar they are to each other."""

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

SHOWN_NUMBERS, SHOWN_LETTERS = 6, 40


def vector_line(vector: np.ndarray) -> str:
    """Returns the first numbers of a vector, how many it has, and its Euclidean length.

    Args:
      vector: `Float[D]`.

    Example:
      >>> import numpy as np
      >>> from jaxlm.reports import vector_line
      >>> vector_line(np.array([3.0, -4.0]))
      '+3.0000 -4.0000 (2 numbers, length 5.0000)'
    """
    numbers = " ".join(f"{number:+.4f}" for number in vector[:SHOWN_NUMBERS].tolist())
    more = " ..." if len(vector) > SHOWN_NUMBERS else ""
    length = float(np.linalg.norm(np.asarray(vector, np.float64)))
    return f"{numbers}{more} ({len(vector):,} numbers, length {length:.4f})"


def similarity_table(texts: Sequence[str], vectors: np.ndarray) -> Table:
    """Returns a table of the cosine similarities of texts, each with those behind it.

    Args:
      texts: N texts.
      vectors: `Float[N D]` their vectors.

    Returns:
      A `rich` table with a row a text and a column a text.

    Example:
      >>> import numpy as np
      >>> from jaxlm.reports import similarity_table
      >>> table = similarity_table(["a", "b"], np.array([[1.0, 0.0], [1.0, 1.0]]))
      >>> [str(cell) for column in table.columns for cell in column.cells]
      ['1', '2', 'a', 'b', '1.000', '0.707', '0.707', '1.000']
    """
    lengths = np.linalg.norm(np.asarray(vectors, np.float64), axis=-1, keepdims=True)
    unit = vectors / np.maximum(lengths, 1e-12)
    cosines = unit @ unit.T
    table = Table(box=SIMPLE_HEAD, title="cosine similarity", title_justify="left")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("text")
    for number in range(1, len(texts) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    for number, (text, row) in enumerate(zip(texts, cosines, strict=True), 1):
        shown = " ".join(text.split())
        cut = shown if len(shown) <= SHOWN_LETTERS else shown[: SHOWN_LETTERS - 1] + "…"
        table.add_row(str(number), Text(cut), *(f"{cosine:.3f}" for cosine in row.tolist()))
    return table
