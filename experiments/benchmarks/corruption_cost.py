"""The share of a training step that drawing the masks takes: both compiled apart, taking turns.

    python experiments/benchmarks/corruption_cost.py

The step is BERT-base's on full rows, 8 x 128; the masks are `training.mask_batch`, which it also contains.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import jax
from _jaxlm_side import full, model_config, trained, training_step
from _machine import describe
from _shape import DEPTH

from jaxlm import training
from jaxlm.devices import keep_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    keep_memory()
    print(json.dumps(describe()))
    for dtype in given.dtypes:
        options = {**vars(given), "dtype": dtype, "dropout": 0.1, "attention_dropout": None, "clip": 0.0}
        masks, step = (statistics.median(column) for column in zip(*turns(options), strict=True))
        share = 100 * masks / step
        print(f"{dtype}: masks {1e3 * masks:.2f} ms of a step of {1e3 * step:.0f} ms: {share:.2f} %")


def turns(options: dict) -> list[tuple[float, float]]:
    """Returns the seconds of drawing masks and of a step, by turns."""
    batches, masking, _ = full(options)
    batch = jax.device_put(next(batches))
    step, state = training_step(options, model_config(options), masking, jax.local_devices()[:1])
    train = trained(step, state, batches)
    draw = jax.jit(lambda rng, batch: training.mask_batch(rng, batch, masking))

    def masks() -> None:
        jax.block_until_ready(draw(jax.random.key(0), batch))

    return [(seconds(masks, 20), seconds(train, 1)) for _ in range(options["rounds"] + 1)][1:]


def seconds(work, times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


if __name__ == "__main__":
    main()
