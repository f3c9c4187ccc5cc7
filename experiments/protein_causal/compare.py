"""Which noise teaches a causal LM of proteins the most? Held-out loss over three seeds.

    python experiments/protein_causal/compare.py --data protein_families.fasta

Every contender sees the same proteins in the same order for as many steps. Noise of the input is what the
model reads, noise of the targets what its loss compares with. Each is then scored on the same held-out
proteins: clean, and with 15 % of the residues that it reads exchanged by BLOSUM62 (nats a predicted residue
or end), and by how far its confidence is from its accuracy on the clean ones (expected calibration error).
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path

# What the two comparisons of proteins share lies beside the first.
sys.path.append(str(Path(__file__).resolve().parents[1] / "protein_masked"))

from comparison import arguments, compare
from config import get_experiment

from jaxlm import corruption, data, pretrained, training

MASK = {"mask_share": 1.0, "random_share": 0.0, "substitute_share": 0.0, "keep_share": 0.0}
UNIFORM = MASK | {"mask_share": 0.0, "substitute_share": 1.0}
BLOSUM62 = UNIFORM | {"substitution": "blosum62"}
CLEAN = corruption.NoiseConfig(rate=0.0)
PLAIN = {"input_noise": CLEAN, "target_noise": CLEAN, "loss": training.LossConfig()}
CONTENDERS = {
    "clean": {},
    "mask_15": {"input_noise": corruption.NoiseConfig(rate=0.15, **MASK)},
    "mask_cosine": {"input_noise": corruption.NoiseConfig(schedule="cosine", **MASK)},
    "uniform_05": {"input_noise": corruption.NoiseConfig(rate=0.05, **UNIFORM)},
    "blosum62_05": {"input_noise": corruption.NoiseConfig(rate=0.05, **BLOSUM62)},
    "blosum62_15": {"input_noise": corruption.NoiseConfig(rate=0.15, **BLOSUM62)},
    "target_blosum62_10": {"target_noise": corruption.NoiseConfig(rate=0.1, **BLOSUM62)},
    "smoothing_10": {"loss": training.LossConfig(label_smoothing=0.1)},
}


def changed(experiment: training.Experiment, fields: dict) -> training.Experiment:
    """Returns the experiment without noise but what `fields` say."""
    return dataclasses.replace(experiment, **PLAIN | fields)


def score(loaded: pretrained.Loaded, experiment: training.Experiment) -> dict[str, float]:
    """Returns the scores on the test split."""
    cache = data.prepare(experiment.data, experiment.tokenizer).caches["test"]
    ask = partial(
        training.evaluate,
        loaded.model,
        loaded.params,
        loaded.tokenizer,
        cache,
        objective="causal_lm",
        row_length=experiment.data.row_length,
    )
    clean = ask()
    noisy = ask(noise=corruption.NoiseConfig(rate=0.15, **BLOSUM62))
    return {"clean": clean.nll, "15 % exchanged": noisy.nll, "calibration error": clean.calibration_error}


def main(given: list[str] | None = None) -> None:
    """Runs the comparison and prints its table."""
    options = arguments(__doc__.splitlines()[0], "protein_causal", given)
    contenders = {name: partial(changed, fields=fields) for name, fields in CONTENDERS.items()}
    print(compare(get_experiment(), contenders, score, options))


if __name__ == "__main__":
    main()
