"""Measures which method finds which planted mechanism, and writes the table into the README of the room.

python -m tests.attribution.planted_table
"""

from pathlib import Path

import jax
import numpy as np

from jaxlm import attribution
from tests.attribution.planted import PLANTED

README = Path(attribution.__file__).with_name("README.md")
START, END = "<!-- measured by tests/attribution/planted_table.py -->", "<!-- end -->"
# A method finds a prediction's causes if each of them has this many times the score of every other token.
MARGIN = 2.0
PLAIN, COMPARED = "probability", "contrast_logits_diff"
_explain = {name: jax.jit(method.function) for name, method in attribution.METHODS.items()}


def scores_of(planted, name, step=PLAIN):
    """A method's scores of a planted model's two texts, in one padded batch."""
    predictions = planted.predictions
    if step == PLAIN:
        predictions = predictions._replace(contrast_targets=None)
    task = attribution.MethodTask(
        model=planted.model,
        params=planted.params,
        inputs=planted.inputs,
        predictions=predictions,
        step=step,
        rng=jax.random.split(jax.random.key(0), 2) if "rng" in attribution.METHODS[name].needs else None,
    )
    return jax.device_get(_explain[name](task))


def verdicts(planted, name, step=PLAIN):
    """Whether a method finds the causes of each prediction, `[predictions]`."""
    scores = scores_of(planted, name, step)
    sides = [(scores.target, planted.truth)]
    if planted.source_truth is not None:
        sides.append((scores.source, planted.source_truth))
    strength = np.abs(np.nan_to_num(np.concatenate([side for side, _ in sides], axis=1)))
    truth = np.concatenate([side for _, side in sides], axis=1)
    weakest = np.where(truth, strength, np.inf).min(1)
    strongest = np.where(truth, 0, strength).max(1)
    is_found = (weakest > MARGIN * strongest) & (weakest > 1e-6)
    return is_found[np.asarray(planted.predictions.positions) >= 0].tolist()


def shown(found):
    """A cell of the table."""
    return "yes" if all(found) else "no" if not any(found) else f"{sum(found)} of {len(found)}"


def table(step=PLAIN):
    """The table, a row for each method and a column for each mechanism."""
    columns = {name: make() for name, make in PLANTED.items()}
    lines = [f"| method | {' | '.join(columns)} |", f"|---{'|---' * len(columns)}|"]
    for name in attribution.METHODS:
        cells = [shown(verdicts(planted, name, step)) for planted in columns.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    before, rest = README.read_text().split(START)
    README.write_text(f"{before}{START}\n\n{table()}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
