"""The peers of `scoring.py`: minicons and lm-evaluation-harness's `hf`, on the pieces of a turn."""

import contextlib
import logging
import os

from _scoring_models import turns
from _sides import serve


def start(options: dict):
    """Returns a step, which scores a turn's pieces, and what there is to tell."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    dtype = getattr(torch, options["dtype"])
    score = {"minicons": minicons, "lm-eval": harness}[options["peer"]](options, dtype, torch)
    later, totals = turns(options["folder"], options["tokens"]), []

    def step() -> int:
        pieces = next(later)
        totals.append(list(map(float, score([piece["text"] for piece in pieces]))))
        return sum(piece["tokens"] for piece in pieces)

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return step, {"warmup": 0, "versions": versions, "tell": lambda: {"totals": totals}}


def minicons(options: dict, dtype, torch):
    from minicons import scorer
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    folder, batch = options["folder"], options["batch"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if options["objective"] == "causal_lm":
        model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype).eval()
        own, more = scorer.IncrementalLMScorer(model, "cpu", tokenizer=tokenizer), {}
    else:
        model = AutoModelForMaskedLM.from_pretrained(folder, torch_dtype=dtype).eval()
        own, more = scorer.MaskedLMScorer(model, "cpu", tokenizer=tokenizer), {"PLL_metric": "original"}

    # The tokenizer opens and closes a text; what closes it is read, but not counted by the others.
    last = -1 if options["objective"] == "causal_lm" else None

    def score(texts: list[str]) -> list[float]:
        found = []
        for first in range(0, len(texts), batch):
            some = texts[first : first + batch]
            found += own.sequence_score(some, reduction=lambda scores: scores[:last].sum(0).item(), **more)
        return found

    return score


def harness(options: dict, dtype, torch):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(
        pretrained=options["folder"],
        device="cpu",
        dtype=dtype,
        batch_size=options["batch"],
        add_bos_token=False,
    )

    def score(texts: list[str]) -> list[float]:
        asked = [
            Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=number)
            for number, text in enumerate(texts)
        ]
        # It draws a bar for every document whatever it is told.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            return model.loglikelihood_rolling(asked, disable_tqdm=True)

    return score


serve(start)
