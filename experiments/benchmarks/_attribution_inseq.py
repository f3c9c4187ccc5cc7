"""The peer of `attribution.py`: inseq's `attribute`, of one text at a time."""

import json
import logging
import math
import signal
import time
import warnings
from importlib.metadata import version
from pathlib import Path

from _sides import serve


def start(options: dict):
    """Returns a step, which explains every text once, and what there is to tell."""
    import inseq
    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    method = options["method"]
    # Attention weights are those of the plain implementation.
    attention = {"attn_implementation": "eager" if method == "attention" else "sdpa"}
    model = inseq.load_model(options["model"], method, model_kwargs=attention)
    questions = json.loads(Path(options["texts"]).read_text())["questions"]
    more = {} if method == "attention" else {"attributed_fn": "probability"}
    if method == "integrated_gradients":
        more |= {"n_steps": 50}
    scores, seconds = [], []

    def step() -> int:
        begun, tokens = time.process_time(), 0
        for number, one in enumerate(questions):
            output = model.attribute(
                one["prompt"], one["whole"], show_progress=False, pretty_progress=False, **more
            ).sequence_attributions[0]
            tokens += output.target_attributions.shape[1]
            if number == 0:
                scores[:] = shown(reduced(method, output.target_attributions))
        seconds.append(time.process_time() - begun)
        return tokens

    def reduced(method: str, target: "torch.Tensor") -> "torch.Tensor":
        if method == "attention":
            return target.mean((-1, -2))
        return target if method == "occlusion" else target.norm(dim=-1)

    begun = time.perf_counter()
    tokens = within(options.get("limit"), step)
    facts = {"first_seconds": time.perf_counter() - begun, "first_tokens": tokens}
    versions = {name: version(name) for name in ("inseq", "torch", "transformers")}

    def tell() -> dict:
        return {"scores": scores, "cpu_seconds": min(seconds[1:] or seconds, default=None)}

    return step, facts | {"warmup": 0, "versions": versions, "tell": tell}


def within(limit: int | None, step) -> int:
    """The tokens of a step; 0 if it was ended because it took more seconds than the limit."""

    def end(number, frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, end)
    signal.alarm(limit or 0)
    try:
        return step()
    except TimeoutError:
        return 0
    finally:
        signal.alarm(0)


def shown(scores) -> list[list[float | None]]:
    """Scores as JSON has them."""
    return [[value if math.isfinite(value) else None for value in row] for row in scores.tolist()]


serve(start)
