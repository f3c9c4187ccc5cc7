"""The peer of `bytes.py`: `genlm-bytes`, with its backend of transformers."""

import asyncio
import json
import logging
import os
import time
import warnings
from importlib.metadata import version
from pathlib import Path

from _bytes_texts import opening_id
from _sides import serve


def start(options: dict):
    """Returns a step, which writes after prompts or reads a text, and what there is to tell."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from genlm.backend import load_model_by_name
    from genlm.bytes import BeamParams, ByteBeamState

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    lm = load_model_by_name(options["model"], backend="hf", llm_opts={"hf_opts": {"torch_dtype": "float32"}})
    lm.tokenizer.bos_token_id = opening_id(options["model"])
    texts = json.loads(Path(options["texts"]).read_text())
    is_score = options["work"] == "score"
    prompts = [] if is_score else [prompt.encode() for prompt in texts["prompts"][: options["batch"]]]
    data = texts["text"].encode()[: options["bytes"]]
    loop, told = asyncio.new_event_loop(), {}

    async def first() -> list:
        state = await ByteBeamState.initial(lm, BeamParams(K=options["beam"]))
        return [state, *await asyncio.gather(*(state.prefill(prompt) for prompt in prompts))]

    state, *prefilled = loop.run_until_complete(first())

    async def write(state, number: int) -> bytes:
        written = bytearray()
        for _ in range(number):
            symbol = (await state.logp_next()).materialize().argmax()
            state = await (state.prune() << symbol)
            written.append(symbol)
        return bytes(written)

    async def generate() -> int:
        written = await asyncio.gather(*(write(own, options["new"]) for own in prefilled))
        told["text"] = written[0].decode(errors="replace")
        return sum(map(len, written))

    async def score() -> int:
        # Whole texts are read as prompts are; the weight of the beam is the probability of the bytes.
        told["log_prob"] = float((await state.prefill(data)).logZ)
        return len(data)

    def step() -> int:
        lm.clear_cache()  # or a second turn would find its answers there
        begun = time.process_time()
        number = loop.run_until_complete(score() if is_score else generate())
        told["processor_ms"] = 1000 * (time.process_time() - begun) / number
        return number

    versions = {name: version(name) for name in ("genlm-bytes", "genlm-backend", "torch", "transformers")}
    return step, {"warmup": 0, "versions": versions, "tell": lambda: told}


serve(start)
