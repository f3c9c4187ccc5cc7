"""Writes what inseq 0.7.1 says moved the predictions of tiny random models: `numbers.json` beside this file.

    python3.11 -m venv inseq
    inseq/bin/pip install torch inseq==0.7.1 transformers==4.53.3 sentencepiece protobuf
    inseq/bin/python tests/attribution/golden/make.py

The models are those of `tests/steps/golden`, which its own `make.py` wrote. inseq has no masked models. Texts
are asked about one at a time: in a batch inseq pads on the left without telling the model. What else is wrong
with its numbers has a name in `DEFECTS`.

Of methods whose scores have a number for each dimension of an embedding, the file has the sum and the norm
over them. Scores are `[tokens][predictions]`; null where a prediction cannot see a token.
"""

import json
import logging
import math
import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import inseq
import torch
from inseq.attr.feat.ops.value_zeroing import ValueZeroing
from inseq.models.model_config import MODEL_CONFIGS

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "steps" / "golden"
STEPS = 20
DEFECTS = {
    "padding in batches": "rows are padded on the left without position ids: texts come one at a time",
    "Marian's decoder": "transformers scales the decoder's embeddings, and inseq does so before: once here",
    "Marian's scale": "gradients are those by the scaled embeddings, which are the embeddings times 4: "
    "saliency is 1/4 of ours",
    "name of the values": "value_zeroing looks for a variable `value` in GPT-2, which transformers calls "
    "`value_states`: it fails, and leaves its hooks behind; the name is set here",
    "euclidean distance": "value_zeroing's euclidean metric is the matrix of distances between all positions "
    "(`torch.cdist`), not a distance for each, and is taken from 1: not asked for",
    "rounding of cosines": "1 - cos of nearly equal float32 vectors is off by 1e-7, which the division by a "
    "small sum makes up to 3e-5: cosines in float64 here",
    "signs of occlusion": "occlusion returns absolute values: ours are signed",
    "layers of decoders": "layer_integrated_gradients and layer_deeplift of decoders are all zeros: not "
    "asked for",
    "deeplift": "deeplift is (x - baseline) times the gradient, since no rule fits these models, and does "
    "not add up: not asked for",
    "steps of the contrast": "integrated_gradients refuses comparing functions: only asked of plain ones",
}


class Case(NamedTuple):
    """A text, and what follows or translates it."""

    model: str
    name: str
    text: str
    target: str
    contrast: str | None = None


LONG = "the dog saw the cat in the park and the old man saw a bird under the tree"
CASES = (
    Case("gpt2", "short", "the dog", "the dog saw the cat", "the dog saw the dog"),
    Case("gpt2", "from the second token on", "the", "the cat saw a bird"),
    Case("gpt2", "long", "the dog saw the cat", LONG),
    Case("t5", "short", "the cat", "die katze", "die vogel"),
    Case("t5", "same length", "the dog sleeps under the tree", "der hund schläft im park"),
    Case("marian", "short", "the cat", "die katze"),
    Case("marian", "same length", "the dog sleeps under the tree", "der hund schläft im park"),
)
ASKED = (
    ("saliency", "probability"),
    ("saliency", "logit"),
    ("input_x_gradient", "probability"),
    ("input_x_gradient", "logit"),
    ("integrated_gradients", "probability"),
    ("integrated_gradients", "logit"),
    ("occlusion", "probability"),
    ("occlusion", "logit"),
    ("attention", None),
    ("value_zeroing", None),
)
COMPARED = (("saliency", "contrast_prob_diff"), ("input_x_gradient", "contrast_prob_diff"))


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    MODEL_CONFIGS["GPT2LMHeadModel"].value_vector = "value_states"
    ValueZeroing.SIMILARITY_METRICS["cosine"] = exact_cosine
    found = {
        "made_with": {name: version(name) for name in ("inseq", "torch", "transformers", "captum")},
        "defects": DEFECTS,
        "n_steps": STEPS,
        "cases": [numbers(case, opened(case.model)) for case in CASES],
    }
    (HERE / "numbers.json").write_text(lines(found))


def exact_cosine(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=-1)


def opened(name: str) -> Any:
    folder = str(MODELS / name)
    model = inseq.load_model(folder, "saliency", model_kwargs={"attn_implementation": "eager"})
    if name == "marian":
        model.model.get_decoder().embed_scale = 1.0
    return model


def numbers(case: Case, model: Any) -> dict[str, Any]:
    """Returns a case with all that inseq says of it."""
    # Of a long text one step function is enough.
    asked = [asked for asked in ASKED if not (case.name == "long" and asked[1] == "logit")]
    asked += COMPARED if case.contrast else ()
    answers = [answer(case, model, method, step) for method, step in asked]
    whole = model.encode(case.target, as_targets=model.is_encoder_decoder).input_ids[0].tolist()
    source = model.encode(case.text).input_ids[0].tolist()
    told = {key: value for key, value in case._asdict().items() if value is not None}
    return told | {"ids": whole, "source_ids": source, "answers": answers}


def answer(case: Case, model: Any, method: str, step: str | None) -> dict[str, Any]:
    """Returns what one method says of a case."""
    options: dict[str, Any] = {} if step is None else {"attributed_fn": step}
    if method == "integrated_gradients":
        options["n_steps"] = STEPS
    if step == "contrast_prob_diff":
        options["contrast_targets"] = case.contrast
    output = model.attribute(
        case.text,
        case.target,
        method=method,
        attribute_target=model.is_encoder_decoder,
        show_progress=False,
        pretty_progress=False,
        override_default_attribution=True,
        **options,
    ).sequence_attributions[0]
    found = {"method": method, "step": step, "start": output.attr_pos_start, "end": output.attr_pos_end}
    for side, scores in (("target", output.target_attributions), ("source", output.source_attributions)):
        if scores is not None:
            found[side] = summed(method, scores.float())
    return found


def summed(method: str, scores: torch.Tensor) -> dict[str, Any]:
    """The numbers of one side, of each dimension together, or of each layer and head."""
    if method in ("saliency", "input_x_gradient", "integrated_gradients"):
        return {"sum": listed(scores.sum(-1)), "norm": listed(scores.norm(dim=-1))}
    if method == "attention":
        return {"mean": listed(scores.mean((-1, -2))), "last layer, first head": listed(scores[..., -1, 0])}
    if method == "value_zeroing":
        return {"by layer": [listed(layer) for layer in scores.unbind(-1)]}
    return {"scores": listed(scores)}


def listed(scores: torch.Tensor) -> list[list[float | None]]:
    return [[rounded(value) for value in row] for row in scores.tolist()]


def rounded(value: float) -> float | None:
    """About as many digits as a float32 has, None for what is no finite number."""
    return None if not math.isfinite(value) else float(f"{value:.7g}")


def lines(found: Any) -> str:
    """JSON with every list of numbers on one line."""
    text = json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
    return re.sub(r"\[([^\[\]{}]*)\]", lambda inner: f"[{' '.join(inner[1].split())}]", text) + "\n"


if __name__ == "__main__":
    main()
