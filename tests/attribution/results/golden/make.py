"""Writes files of attributions as inseq 0.7.1 saves them, and the numbers that inseq reads from them.

    python3.11 -m venv inseq
    inseq/bin/pip install torch inseq==0.7.1 transformers==4.53.3 sentencepiece protobuf
    inseq/bin/python tests/attribution/results/golden/make.py

The models are the tiny ones of `tests/steps/golden`. `expected.json` has for each file what
`FeatureAttributionOutput.load` gives: strings, ids, positions, and all scores (NaN as null).
"""

import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import inseq
from inseq.data import FeatureAttributionOutput

HERE = Path(__file__).parent
MODELS = HERE.parents[2] / "steps" / "golden"
TEXTS = {
    "gpt2": (["the dog", "a cat"], ["the dog saw the cat", "a cat saw a dog"]),
    "marian": (["the dog", "a cat"], ["der hund", "die katze"]),
}
# The name of a file: model, method, arguments of `attribute`, arguments of `save`.
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "saliency.json": ("gpt2", "saliency", {"step_scores": ["probability", "entropy"]}, {}),
    "float16.json.gz": (
        "marian",
        "integrated_gradients",
        {"attribute_target": True, "n_steps": 4},
        {"scores_precision": "float16", "compress": True},
    ),
    "float8.json": (
        "gpt2",
        "input_x_gradient",
        {},
        {"scores_precision": "float8", "split_sequences": True},
    ),
    "attention.json": ("gpt2", "attention", {}, {}),
    "contrast.json": (
        "gpt2",
        "saliency",
        {"attributed_fn": "contrast_prob_diff", "contrast_targets": "the dog saw the dog"},
        {},
    ),
}


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    expected = {}
    for name, (model, method, arguments, saving) in CASES.items():
        opened = inseq.load_model(str(MODELS / model), method)
        # A contrast goes with one text at a time.
        texts = [own[:1] if "contrast_targets" in arguments else own for own in TEXTS[model]]
        made = opened.attribute(*texts, show_progress=False, pretty_progress=False, **arguments)
        made.info["attribution_date"] = None
        for key in ("model_name", "tokenizer_name"):
            made.info[key] = model
        made.save(HERE / name, overwrite=True, **saving)
        for file in sorted(HERE.glob(f"{name.partition('.')[0]}*.json*")):
            loaded = FeatureAttributionOutput.load(file, decompress=file.suffix == ".gz")
            expected[file.name] = [contents(own) for own in loaded.sequence_attributions]
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")


def contents(own: Any) -> dict[str, Any]:
    return {
        "source": [[token.token, token.id] for token in own.source],
        "target": [[token.token, token.id] for token in own.target],
        "source_attributions": numbers(own.source_attributions),
        "target_attributions": numbers(own.target_attributions),
        "step_scores": {name: numbers(scores) for name, scores in own.step_scores.items()},
        "positions": [own.attr_pos_start, own.attr_pos_end],
    }


def numbers(tensor: Any) -> Any:
    return None if tensor is None else without_nan(tensor.tolist())


def without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if math.isnan(value) else value


if __name__ == "__main__":
    main()
