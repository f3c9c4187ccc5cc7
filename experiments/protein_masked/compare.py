"""Which noise teaches a masked LM of proteins the most? Held-out loss over three seeds.

    python experiments/protein_masked/compare.py --data protein_families.fasta

Every contender sees the same proteins in the same order for as many steps. Each is then asked three things of
the same held-out residues (15 % of each protein, the same for all): masked ones, ones treated as BERT does,
and ones that BLOSUM62 has exchanged without saying which. The loss is in nats a chosen residue.
"""

import dataclasses
from functools import partial

from comparison import arguments, compare
from config import get_experiment

from jaxlm import corruption, data, pretrained, training

MASK = {"mask_share": 1.0, "random_share": 0.0, "substitute_share": 0.0, "keep_share": 0.0}
SUBSTITUTE = MASK | {"mask_share": 0.0, "substitute_share": 1.0}
BERT = MASK | {"mask_share": 0.8, "random_share": 0.1, "keep_share": 0.1}
MIXED = MASK | {"mask_share": 0.8, "substitute_share": 0.1, "keep_share": 0.1, "substitution": "blosum62"}
NOISES = {
    "bert": corruption.NoiseConfig(rate=0.15, **BERT),
    "bert_blosum62": corruption.NoiseConfig(rate=0.15, **MIXED),
    "mask": corruption.NoiseConfig(rate=0.15, **MASK),
    "mask_cosine": corruption.NoiseConfig(schedule="cosine", **MASK),
    "uniform": corruption.NoiseConfig(rate=0.15, **SUBSTITUTE),
    "blosum62": corruption.NoiseConfig(rate=0.15, substitution="blosum62", **SUBSTITUTE),
}
ASKED = {"masked": "mask", "as BERT": "bert", "BLOSUM62": "blosum62"}


def changed(experiment: training.Experiment, noise: corruption.NoiseConfig) -> training.Experiment:
    """Returns the experiment with another noise."""
    return dataclasses.replace(experiment, input_noise=noise)


def score(loaded: pretrained.Loaded, experiment: training.Experiment) -> dict[str, float]:
    """Returns the loss on the test split under each question."""
    cache = data.prepare(experiment.data, experiment.tokenizer).caches["test"]
    ask = partial(training.evaluate, loaded.model, loaded.params, loaded.tokenizer, cache)
    length = experiment.data.row_length
    return {name: ask(noise=NOISES[noise], row_length=length).nll for name, noise in ASKED.items()}


def main(given: list[str] | None = None) -> None:
    """Runs the comparison and prints its table."""
    options = arguments(__doc__.splitlines()[0], "protein_masked", given)
    contenders = {name: partial(changed, noise=noise) for name, noise in NOISES.items()}
    print(compare(get_experiment(), contenders, score, options))


if __name__ == "__main__":
    main()
