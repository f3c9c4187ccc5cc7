"""The regressions that a biologist would try first, and finished runs, on the same held-out positions.

    python experiments/protein_fitness/baselines.py --data beta_lactamase_variants.fasta
    python experiments/protein_fitness/baselines.py --data beta_lactamase_variants.fasta --runs runs/mine

The penalty of each ridge is chosen by the squared error on the validation split; nothing is fitted to the
test split. The interval is a bootstrap over positions, since the variants at one resemble each other.
"""

import argparse
import dataclasses
from pathlib import Path

from config import get_experiment
from ranking import rank, table


def main(given: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["*.fasta"], help="FASTA files, folders or globs")
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="folders of finished runs")
    options = parser.parse_args(given)
    config = dataclasses.replace(get_experiment().data, paths=tuple(options.data))
    print(table(rank(config, {folder.name: folder for folder in options.runs})))


if __name__ == "__main__":
    main()
