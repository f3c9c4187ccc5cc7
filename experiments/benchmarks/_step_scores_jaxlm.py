"""Our side of `step_scores.py`: `steps.step_scores`, or plain scoring of the mixed texts."""

import json
from pathlib import Path

from _sides import serve

MIXED = ("entropy", "corpus", "scoring")


def start(options: dict):
    """Returns a step, which asks about every text some times, and what there is to tell."""
    from jaxlm.devices import keep_memory

    keep_memory()
    import jax

    from jaxlm import pretrained

    loaded = pretrained.load(options["model"])
    texts = json.loads(Path(options["texts"]).read_text())
    task = options["task"]
    once = mixed(loaded, texts, task) if task in MIXED else asked(loaded, texts, options)
    told = []

    def step() -> int:
        tokens = 0
        for _ in range(options["times"]):
            values, number = once()
            tokens += number
        told[:] = values
        return tokens

    device = jax.local_devices()[0].device_kind
    return step, {"warmup": 1, "device": device, "tell": lambda: {"values": told}}


def asked(loaded, texts: dict, options: dict):
    """Asks of `batch` questions at a time, and returns the values of the first question."""
    import jax

    from jaxlm import steps

    questions, batch, task = texts["questions"], options["batch"], options["task"]
    functions = {
        "scores": ["entropy", "probability"],
        "divergence": ["kl_divergence"],
        "dropout": [steps.step_function("mc_dropout_prob_avg", statistic="z_score")],
    }[task]

    def once() -> tuple[list, int]:
        scores = []
        for first in range(0, len(questions), batch):
            some = questions[first : first + batch]
            more = {}
            if task == "divergence":
                # Behind the other prompts stands what stands behind these.
                more = {"contrast": steps.Contrast(texts=[one["other"] for one in some])}
            if task == "dropout":
                more = {"rng": jax.random.key(first), "n_mcd_steps": options["draws"]}
            prompts, wholes = ([one[name] for one in some] for name in ("prompt", "whole"))
            scores += steps.step_scores(loaded, prompts, functions, targets=wholes, **more)
        values = [value.tolist() for value in scores[0].values.values()]
        return values, sum(len(one.tokens) for one in scores)

    return once


def mixed(loaded, texts: dict, task: str):
    """Asks of texts of mixed length: their entropies, or their log-likelihood by a scorer that is kept."""
    from jaxlm import data, scoring, steps

    own = texts["mixed"]

    def entropy() -> tuple[list, int]:
        scores = steps.step_scores(loaded, own, ["entropy"])
        return [one.spans["entropy"] for one in scores], texts["mixed_tokens"]

    if task == "entropy":
        return entropy
    is_corpus = task == "corpus"
    measure = scoring.StepScores(functions=("entropy",)) if is_corpus else scoring.LogLikelihood()
    scorer = scoring.make_scorer(loaded, measure)

    def score() -> tuple[list, int]:
        records = (data.Record(str(number), text, {}) for number, text in enumerate(own))
        column = "entropy" if is_corpus else "log_likelihood"
        return [row[column] for row in scorer(records)], texts["mixed_tokens"]

    return score


serve(start)
