"""Predicted classes for a person: the likeliest ones of a text, and how often each is predicted."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jaxlm.reports._tables import BAR_WIDTH


def class_probability_table(names: Sequence[str], probabilities: np.ndarray, top_k: int = 5) -> Table:
    """Returns a table of the likeliest classes of a text.

    Args:
      names: of all classes.
      probabilities: `Float[C]` of the classes.
      top_k: how many classes the table has.

    Returns:
      A `rich` table, likeliest first.

    Example:
      >>> import numpy as np
      >>> from jaxlm.reports import class_probability_table
      >>> table = class_probability_table(["cat", "dog"], np.array([0.25, 0.75]))
      >>> [str(cell) for column in table.columns for cell in column.cells][:4]
      ['dog', 'cat', '0.7500', '0.2500']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for number in np.argsort(-np.asarray(probabilities), kind="stable")[:top_k].tolist():
        probability = float(probabilities[number])
        table.add_row(Text(str(names[number])), f"{probability:.4f}", "█" * round(BAR_WIDTH * probability))
    return table


def class_count_table(counts: Mapping[str, int]) -> Table:
    """Returns a table of how many documents have each class.

    Args:
      counts: by class, in the order in which they are shown.

    Returns:
      A `rich` table.

    Example:
      >>> from jaxlm.reports import class_count_table
      >>> table = class_count_table({"dog": 3, "cat": 1})
      >>> [str(cell) for column in table.columns for cell in column.cells]
      ['dog', 'cat', '3', '1', '75.0 %', '25.0 %']
    """
    total = max(sum(counts.values()), 1)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("predicted class", overflow="fold")
    table.add_column("documents", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for name, count in counts.items():
        table.add_row(Text(name), f"{count:,}", f"{100 * count / total:.1f} %")
    return table
