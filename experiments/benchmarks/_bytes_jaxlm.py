"""Our side of `bytes.py`: `generate_bytes`, `score_bytes`, and the model's own share of a byte."""

import json
import resource
import statistics
import time
from pathlib import Path

from _bytes_texts import PROMPT_BYTES, opening_id
from _sides import serve


def start(options: dict):
    """Returns a step, which writes after prompts or reads a text, and what there is to tell."""
    from jaxlm.devices import keep_memory

    keep_memory()
    from jaxlm import pretrained
    from jaxlm.decoding.bytes import make_byte_model

    if options["work"] == "memory":
        return memory(options)
    loaded = pretrained.load(options["model"])
    byte_model = make_byte_model(loaded, opening=(opening_id(options["model"]),), eos_ids=())
    texts = json.loads(Path(options["texts"]).read_text())
    prompts = texts["prompts"][: options["batch"]]
    if options["work"] == "score":
        return score(byte_model, texts["text"][: options["bytes"]])
    step, facts = generate(byte_model, prompts, options)
    return beside(byte_model, step, options) if options["work"] == "beside" else (step, facts)


def generate(byte_model, prompts: list[str], options: dict):
    from jaxlm.decoding.bytes import BeamSettings, ByteGenerationConfig, generate_bytes

    beam = BeamSettings(num_candidates=options["beam"]) if options["beam"] else None
    config = ByteGenerationConfig(max_new_bytes=options["new"], beam=beam)
    told = {}

    def step() -> int:
        begun = time.process_time()
        written = generate_bytes(byte_model, prompts, config)
        number = sum(len(one.data) for one in written)
        told["text"], told["processor_ms"] = written[0].text, 1000 * (time.process_time() - begun) / number
        return number

    return step, {"warmup": 1, "tell": lambda: told}


def score(byte_model, text: str):
    from jaxlm.decoding.bytes import score_bytes

    told = {}

    def step() -> int:
        begun = time.process_time()
        (scores,) = score_bytes(byte_model, [text])
        told["log_prob"] = scores.log_prob
        told["processor_ms"] = 1000 * (time.process_time() - begun) / len(text)
        return len(scores.log_probs)

    return step, {"warmup": 1, "tell": lambda: told}


def beside(byte_model, write, options: dict):
    """Alternates generation with as many steps of the model alone, of the same shapes."""
    spent: dict[str, list[tuple[float, float]]] = {"generation": [], "model": []}
    model_steps = model_alone(byte_model, options)

    def timed(name: str, work) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        work()
        spent[name].append((time.perf_counter() - wall, time.process_time() - processor))

    def step() -> int:
        for _ in range(5):
            timed("generation", write)
            timed("model", model_steps)
        return 5 * options["new"] * options["batch"]

    def tell() -> dict:
        own = {
            name: [1000 * value / options["new"] / options["batch"] for value in zip_medians(turns)]
            for name, turns in spent.items()
        }
        both = {
            f"{name}, {kind}": own[name][place]
            for name in own
            for place, kind in enumerate(("wall", "processor"))
        }
        for kind in ("wall", "processor"):
            both[f"beside the model, {kind}"] = both[f"generation, {kind}"] - both[f"model, {kind}"]
        return {"milliseconds": both}

    return step, {"warmup": 1, "tell": tell}


def zip_medians(turns: list[tuple[float, float]]) -> list[float]:
    return [statistics.median(values) for values in zip(*turns[1:], strict=True)]


def model_alone(byte_model, options: dict):
    """As many steps of one token of each text as generation takes: the model and the logits of its head."""
    import functools

    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxlm import models, ops
    from jaxlm.decoding import empty_tree, extend_tree

    model, params = byte_model.model, byte_model.params
    rows = ops.bucket(options["batch"])

    @functools.partial(jax.jit, donate_argnums=1)
    def one(params, tree, parents, tokens, slots):
        tree = extend_tree(model, params, tree, parents, tokens, slots, generations=1)
        hidden = jnp.take_along_axis(tree.hidden, slots[:, :, None], axis=1)
        return tree, models.apply_head(model, params, hidden).argmax(-1).astype(jnp.int32)

    def steps() -> None:
        tree, tokens = empty_tree(model, rows, ops.fine_bucket(PROMPT_BYTES + options["new"] + 64)), None
        for number in range(options["new"]):
            slots = np.full((rows, 1), number, np.int32)
            parents = slots - 1
            tokens = np.full((rows, 1), 5, np.int32) if tokens is None else np.asarray(tokens)
            tree, tokens = one(params, tree, parents, tokens, slots)
        jax.block_until_ready(tree)

    steps()
    return steps


def memory(options: dict):
    """The peak of scoring a text beyond what there is before; a model with as many positions as needed."""
    import dataclasses

    import jax
    import jax.numpy as jnp

    from jaxlm import models, pretrained
    from jaxlm.decoding.bytes import make_byte_model, score_bytes

    small = pretrained.load(options["model"])
    config = dataclasses.replace(small.config, max_length=8192)
    model = models.build(config, "causal_lm")
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
    loaded = small._replace(config=config, model=model, params=params)
    byte_model = make_byte_model(loaded, opening=(opening_id(options["model"]),), eos_ids=())
    text = json.loads(Path(options["texts"]).read_text())["text"]
    score_bytes(byte_model, [text[:100]])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def step() -> int:
        score_bytes(byte_model, [text[: options["bytes"]]])
        return options["bytes"]

    def tell() -> dict:
        return {"mebibytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}

    return step, {"warmup": 0, "tell": tell}


serve(start)
