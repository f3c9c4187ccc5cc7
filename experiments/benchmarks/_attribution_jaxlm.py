"""Our side of `attribution.py`: `attribution.attribute`, of one text at a time."""

import json
import math
import time
from pathlib import Path

from _sides import serve

WITH_BASELINE = ("occlusion", "integrated_gradients")


def start(options: dict):
    """Returns a step, which explains every text once, and what there is to tell."""
    from jaxlm.devices import enable_compilation_cache, keep_memory

    keep_memory()
    if options.get("cache"):
        enable_compilation_cache(options["cache"])
    import jax
    import numpy as np

    from jaxlm import attribution, pretrained

    loaded = pretrained.load(options["model"])
    questions = json.loads(Path(options["texts"]).read_text())["questions"]
    method = options["method"]
    # inseq's baseline is the unknown token everywhere, or the padding where there is none.
    unknown = "pad" if loaded.text_tokenizer.specials.unk is None else "unk"
    is_granular = method in ("input_x_gradient", "integrated_gradients")
    scores, seconds = [], []

    def step() -> int:
        begun, tokens = time.process_time(), 0
        for number, one in enumerate(questions):
            (found,) = attribution.attribute(
                loaded,
                one["prompt"],
                targets=one["whole"],
                method=method,
                baseline=unknown if method in WITH_BASELINE else None,
                granular=is_granular,
            )
            tokens += len(found.targets)
            if number == 0:
                own = np.linalg.norm(found.scores, axis=-1) if is_granular else np.abs(found.scores)
                scores[:] = shown(own)
        seconds.append(time.process_time() - begun)
        return tokens

    begun = time.perf_counter()
    step()
    facts = {"first_seconds": time.perf_counter() - begun, "device": jax.local_devices()[0].device_kind}

    def tell() -> dict:
        return {"scores": scores, "cpu_seconds": min(seconds[1:] or seconds)}

    return step, facts | {"warmup": 0, "tell": tell}


def shown(scores) -> list[list[float | None]]:
    """Scores as JSON has them."""
    return [[value if math.isfinite(value) else None for value in row] for row in scores.tolist()]


serve(start)
