"""Which pooling, noise and window rank variants at held-out positions best? Three seeds, one division.

    python experiments/protein_fitness/compare.py --data beta_lactamase_variants.fasta

Every contender sees the same variants in the same order for as many steps. The scores are Spearman's rho on
the test split and the squared error in variances of the training labels. The division is the same for all
seeds, so that their spread is that of training alone; baselines.py tells the interval over positions, which
is wider.
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path

# What the comparisons of proteins share lies beside the first.
sys.path.append(str(Path(__file__).resolve().parents[1] / "protein_masked"))

from comparison import arguments, compare
from config import get_experiment
from ranking import predictions

from jaxlm import corruption, data, pretrained, scoring, training

BLOSUM62 = corruption.NoiseConfig(
    rate=0.3,
    mask_share=0.0,
    random_share=0.0,
    substitute_share=1.0,
    keep_share=0.0,
    substitution="blosum62",
)


def pooled(experiment: training.Experiment, pooling: str) -> training.Experiment:
    """Returns the experiment with another pooling."""
    return dataclasses.replace(experiment, head=dataclasses.replace(experiment.head, pooling=pooling))


def whole(experiment: training.Experiment) -> training.Experiment:
    """Returns the experiment on whole proteins, one a row."""
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, window=0, center_pattern=None, row_length=288),
        model=dataclasses.replace(experiment.model, max_length=288),
        run=dataclasses.replace(experiment.run, batch_size=16),
    )


CONTENDERS = {
    "mean": partial(pooled, pooling="mean"),
    "attention": partial(pooled, pooling="attention"),
    "mean_without_noise": partial(dataclasses.replace, input_noise=corruption.NoiseConfig(rate=0.0)),
    "mean_blosum62": partial(dataclasses.replace, input_noise=BLOSUM62),
    "mean_whole_protein": whole,
}


def score(loaded: pretrained.Loaded, experiment: training.Experiment) -> dict[str, float]:
    """Returns rho and the squared error on the test split."""
    cache = data.prepare(experiment.data, experiment.tokenizer).caches["test"]
    predicted = predictions(loaded, experiment, cache)
    error = ((predicted - cache.labels) ** 2).mean() / loaded.head.scale**2
    return {"Spearman's rho": scoring.spearman(predicted, cache.labels), "squared error": float(error)}


def main(given: list[str] | None = None) -> None:
    """Runs the comparison and prints its table."""
    options = arguments(__doc__.splitlines()[0], "protein_fitness", given)
    print(compare(get_experiment(), CONTENDERS, score, options))


if __name__ == "__main__":
    main()
