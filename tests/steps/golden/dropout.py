"""inseq's noisy probabilities: what it draws is random, so their means are kept with their errors."""

import math
import statistics
from typing import Any
from unittest import mock

import torch
from asking import Asked, rounded
from inseq.attr import step_functions

SEEDS, DRAWS = 250, 10


class EveryOther(torch.nn.Dropout):
    """Dropout at the first of two calls: of T5's stacks, at the embeddings and not behind the last norm."""

    calls = 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(hidden) if self.calls % 2 else hidden


def leave_common_dropout(model: torch.nn.Module) -> None:
    """Takes from T5 the two dropouts that GPT-2 and Marian lack: in the feed-forward, behind the end."""
    for module in model.modules():
        kind = type(module).__name__
        if kind == "T5DenseActDense":
            module.dropout = torch.nn.Identity()
        if kind == "T5Stack":
            module.dropout = EveryOther(module.dropout.p)
    model.eval()


def numbers(asked: Asked) -> dict[str, Any]:
    """Returns the means of noisy probabilities and of z-scores at each place, with standard errors."""
    leave_common_dropout(asked.model.model)
    z_scores: list[list[float]] = []
    probabilities: list[list[float]] = []

    def drawing(args: step_functions.StepFunctionArgs) -> torch.Tensor:
        drawn, scores = drawn_at(args)
        probabilities.append(drawn)
        z_scores.append(scores)
        return torch.zeros(1)

    step_functions.STEP_SCORES_MAP["drawing"] = drawing
    asked.attribute("drawing", {})
    case = asked.case
    return {
        "model": case.model,
        "text": case.text,
        "target": case.target,
        "offsets": asked.offsets,
        "draws": DRAWS,
        "probability": [summary(drawn) for drawn in probabilities],
        "z_score": [summary(scores) for scores in z_scores],
    }


def drawn_at(args: step_functions.StepFunctionArgs) -> tuple[list[float], list[float]]:
    """All noisy probabilities of a step, and inseq's z-scores by them, a seed each."""
    drawn: list[float] = []
    scores: list[float] = []
    original, forward_output = step_functions.probability_fn, args.forward_output

    def remembering(*arguments, **options):
        found = original(*arguments, **options)
        drawn.append(float(found))
        return found

    with mock.patch.object(step_functions, "probability_fn", remembering), torch.no_grad():
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            args.forward_output = forward_output
            scores.append(float(step_functions.mc_dropout_prob_avg_fn(args, n_mcd_steps=DRAWS)))
            args.attribution_model.eval()
    # The first of each seed is the one without noise.
    noisy = [one for number, one in enumerate(drawn) if number % (DRAWS + 1)]
    return noisy, scores


def summary(values: list[float]) -> dict[str, float]:
    """The mean, its standard error, and the deviation of one value."""
    deviation = statistics.stdev(values)
    return {
        "mean": rounded(statistics.fmean(values)),
        "error": rounded(deviation / math.sqrt(len(values))),
        "deviation": rounded(deviation),
    }
