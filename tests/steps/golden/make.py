"""Writes what inseq 0.7.1 says of tiny random models: the models, and every step function's numbers.

    python3.11 -m venv inseq
    inseq/bin/pip install torch inseq==0.7.1 transformers==4.53.3 sentencepiece protobuf
    inseq/bin/python tests/steps/golden/make.py

Beside this file lie then folders that Hugging Face's classes and jaxlm both open, and `numbers.json`. Texts
are asked about one at a time: in a batch inseq pads on the left without telling the model. What else is wrong
with its numbers has a name in `asking.DEFECTS`, and each number that it touches carries the name. Offsets are
places in the ids of a text: of a prompt and its continuation together, of a translation without the token
that the decoder begins with. Alignments are pairs of offsets, the original's first.
"""

import json
import logging
import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dropout
import inseq
import tiny
from asking import DEFECTS, Asked, score
from cases import CASES, CONTRASTIVE, PLAIN

HERE = Path(__file__).parent
# What differs when a contrastive function is attributed: all but those that need the contrast's own reading.
ATTRIBUTED = ("contrast_logits", "contrast_prob", "contrast_logits_diff", "contrast_prob_diff")


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    models = {name: inseq.load_model(str(folder), "dummy") for name, folder in tiny.write(HERE).items()}
    models["marian"].model.get_decoder().embed_scale = 1.0
    cases = [Asked(case, models[case.model]) for case in CASES]
    found = {
        "made_with": {name: version(name) for name in ("inseq", "torch", "transformers")},
        "defects": DEFECTS,
        "cases": [numbers(case) for case in cases],
        # Last, since it takes from T5 what others would miss.
        "dropout": [dropout.numbers(case) for case in cases if case.case.is_noisy],
    }
    (HERE / "numbers.json").write_text(lines(found))


def numbers(asked: Asked) -> dict[str, Any]:
    """Returns a case with all that inseq says of it."""
    case = asked.case
    is_compared = case.contrast is not None or case.contrast_source is not None
    scores = [score(asked, function) for function in (CONTRASTIVE if is_compared else PLAIN)]
    if case.contrast is not None:
        own = [function for function in CONTRASTIVE if function.name in ATTRIBUTED]
        scores += [score(asked, function, is_attributed=True) for function in own if not function.options]
    told = {key: value for key, value in case._asdict().items() if value is not None and key != "is_noisy"}
    return told | {"ids": asked.ids, "offsets": asked.offsets, "scores": scores}


def lines(found: Any) -> str:
    """JSON with every list of numbers on one line."""
    text = json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
    return re.sub(r"\[([^\[\]{}]*)\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text) + "\n"


if __name__ == "__main__":
    main()
