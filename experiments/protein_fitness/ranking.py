"""How well ridge regressions and runs rank the variants at held-out positions."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from features import FEATURES, position

from jaxlm import data, models, pretrained, scoring, tokenizers, training

PENALTIES = 10.0 ** np.arange(-2, 6)


class Variants(NamedTuple):
    """The variants of one split.

    Attributes:
        sequences: residues of each.
        fitness: `Float64[N]`, as measured.
    """

    sequences: list[str]
    fitness: np.ndarray


class SplitPredictions(NamedTuple):
    """The variants of the test split, with the fitness that each method predicts.

    Attributes:
        test: its variants.
        positions: `Int[N]`, the position of the protein in which each variant differs.
        predicted: from a method's name to `Float64[N]`.
    """

    test: Variants
    positions: np.ndarray
    predicted: dict[str, np.ndarray]

    def interval(self, name: str, samples: int = 2000) -> scoring.Interval:
        """Returns rho with its bootstrap interval over positions."""
        scores = self.predicted[name]
        return scoring.bootstrap_interval(scores, self.test.fitness, groups=self.positions, samples=samples)


def rank(config: data.DataConfig, runs: Mapping[str, Path], *, baselines: bool = True) -> SplitPredictions:
    """Returns predictions of the test split: by ridge regressions, and by runs on the same data.

    Args:
        config: the data and their division, the runs' too.
        runs: name to run folder.
        baselines: whether to fit the regressions.
    """
    kind = tokenizers.TokenizerConfig(kind="residues")
    # The division is the same with and without a window, the order of the records too.
    whole = data.prepare(dataclasses.replace(config, window=0, center_pattern=None), kind)
    splits = {split: variants(whole.tokenizer, cache) for split, cache in whole.caches.items()}
    wild = consensus(splits["train"].sequences)
    predicted = {}
    for name, features in FEATURES.items() if baselines else ():
        read = [np.stack([features(wild, one) for one in split.sequences]) for split in splits.values()]
        predicted[name] = ridge(*read, splits["train"].fitness, splits["validation"].fitness)
    for name, folder in runs.items():
        loaded, experiment = pretrained.load(folder), training.load_experiment(folder)
        predicted[name] = predictions(loaded, experiment, data.prepare(config, kind).caches["test"])
    positions = np.array([position(wild, one) for one in splits["test"].sequences])
    return SplitPredictions(splits["test"], positions, predicted)


def table(ranked: SplitPredictions, samples: int = 2000) -> str:
    """Returns the table of rho, a line a method."""
    count, places = len(ranked.positions), len(set(ranked.positions.tolist()))
    lines = [
        f"{count:,} variants at {places:,} held-out positions:",
        "",
        "| | Spearman's rho | 95 % interval |",
        "|---|---|---|",
    ]
    for name in ranked.predicted:
        found = ranked.interval(name, samples)
        said = f"{found.estimate:.3f} | {found.low:.3f} to {found.high:.3f}"
        lines.append(f"| {name} | {'none: the same for all | ' if np.isnan(found.estimate) else said} |")
    return "\n".join(lines)


def ridge(
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    fitness: np.ndarray,
    validation_fitness: np.ndarray,
) -> np.ndarray:
    """Returns predictions for the test split, in closed form: `w = (X' X + a I)^-1 X' (y - mean y)`.

    Columns are centred and scaled by the training split; those that are constant there are left out, since
    they can say nothing. The penalty a, of `PENALTIES`, is the one with the least squared error in
    validation.

    Args:
        train, validation, test: `Float[N F]` features.
        fitness: `Float[N]` of the training split.
        validation_fitness: `Float[N]`.
    """
    varies = np.ptp(train, axis=0) > 0
    mean, scale = train[:, varies].mean(axis=0), train[:, varies].std(axis=0)
    known, asked, wanted = ((one[:, varies] - mean) / scale for one in (train, validation, test))
    centre = fitness.mean()
    weights = [_weights(known, fitness - centre, penalty) for penalty in PENALTIES]
    errors = [np.square(asked @ one + centre - validation_fitness).mean() for one in weights]
    # Otherwise errors of rounding would rank what is the same.
    return np.round(wanted @ weights[int(np.argmin(errors))] + centre, 9)


def _weights(features: np.ndarray, values: np.ndarray, penalty: float) -> np.ndarray:
    """The ridge's weights, from the smaller of the two systems of equations."""
    number, width = features.shape
    if width <= number:
        return np.linalg.solve(features.T @ features + penalty * np.eye(width), features.T @ values)
    return features.T @ np.linalg.solve(features @ features.T + penalty * np.eye(number), values)


def predictions(
    loaded: pretrained.Loaded, experiment: training.Experiment, cache: data.TokenCache
) -> np.ndarray:
    """Returns what a run's model makes of each record of a cache, `Float64[N]`."""
    plan = data.plan_packing(cache.lengths, experiment.data.row_length, long=experiment.data.long)

    @jax.jit
    def outputs(params, batch):
        call = partial(loaded.model.apply, {"params": params})
        read = models.Inputs(batch.tokens, segments=batch.segments, positions=batch.positions)
        shape = {"segments": batch.segments, "num_segments": plan.max_segments}
        found = call(call(read).hidden, **shape, method="standardized_outputs")
        return training.batch_examples(batch, plan.max_segments), found

    found = np.zeros(len(cache))
    for batch in data.eval_batches(cache, plan, experiment.run.batch_size):
        examples, (values, center, scale) = jax.device_get(outputs(loaded.params, batch))
        numbers = center + scale * values[examples.present][:, 0].astype(np.float64)
        found[examples.ids[examples.present]] = numbers
    return found


def variants(tokenizer: tokenizers.Tokenizer, cache: data.TokenCache) -> Variants:
    """Returns the sequences of a cache, without what opens and closes them, and their labels."""
    special = np.array(tokenizer.special_ids)
    records = (cache[index] for index in range(len(cache)))
    sequences = [tokenizer.decode(one[~np.isin(one, special)]) for one in records]
    return Variants(sequences, np.array(cache.labels, np.float64))


def consensus(sequences: list[str]) -> str:
    """Returns the most frequent residue of each position: of single mutants, the wild type.

    Example:
        >>> consensus(["MKV", "MRV", "MKL"])
        'MKV'
    """
    if len(set(map(len, sequences))) > 1:
        raise SystemExit("the variants should be substitutions in one protein: found different lengths")
    columns = np.array([list(one) for one in sequences]).T
    counted = (np.unique(column, return_counts=True) for column in columns)
    return "".join(str(names[counts.argmax()]) for names, counts in counted)
