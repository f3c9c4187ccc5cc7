"""The peer of `step_scores.py`: inseq's step scores, without attribution and without gradients.

`attribute` takes one text at a time of what is generated already; below it, texts of one length make a batch.
"""

import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

from _sides import serve

NAMES = {
    "scores": ["entropy", "probability"],
    "divergence": ["kl_divergence"],
    "dropout": ["mc_dropout_prob_avg"],
}


def start(options: dict):
    """Returns a step, which asks about every text once, and what there is to tell."""
    import inseq
    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    attention = {"attn_implementation": options["attention"]}
    model = inseq.load_model(options["model"], "dummy", model_kwargs=attention)
    questions = json.loads(Path(options["texts"]).read_text())["questions"]
    batch, names, told = options["batch"], NAMES[options["task"]], []

    @torch.no_grad()
    def step() -> int:
        scores = []
        for first in range(0, len(questions), batch):
            some = questions[first : first + batch]
            more = {}
            if options["task"] == "divergence":
                more = {"contrast_targets": [one["contrast"] for one in some]}
            if options["task"] == "dropout":
                more = {"n_mcd_steps": options["draws"]}
            prompts, wholes = ([one[name] for one in some] for name in ("prompt", "whole"))
            (output,) = model.attribution_method.prepare_and_attribute(
                prompts,
                wholes,
                step_scores=names,
                step_scores_args=more,
                show_progress=False,
                pretty_progress=False,
            )
            # Its dropout stays on after the function that needs it.
            model.eval()
            scores += [one.step_scores for one in output.sequence_attributions]
        told[:] = [scores[0][name].tolist() for name in names]
        return sum(len(one[names[0]]) for one in scores)

    versions = {name: version(name) for name in ("inseq", "torch", "transformers")}
    return step, {"warmup": 0, "versions": versions, "tell": lambda: {"values": told}}


serve(start)
