"""One step of an ensemble against one step of each of its members, taking turns.

    python experiments/benchmarks/ensemble_step.py        # 4 members of 4 x 128, batch 8 x 128, both dtypes
    python experiments/benchmarks/ensemble_step.py --members 8 --width 256 --dtypes bfloat16

Both train the same members on the same batches of a masked LM, masking and AdamW included, on one device. The
ratio is one step of all members by as many steps of one member; `--out` keeps everything as JSON.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import jax
import numpy as np
from _machine import describe

from jaxlm import corruption, data, models, tokenizers, training
from jaxlm.devices import keep_memory


def main() -> None:
    options = arguments()
    keep_memory()
    machine, results = describe(), []
    print(json.dumps(machine))
    for dtype in options.dtypes:
        results.append(measure(options, dtype))
        show(results[-1])
    if options.out:
        Path(options.out).write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument(
        "--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"]
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=3, help="steps of every member a turn")
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def measure(options: argparse.Namespace, dtype: str) -> dict:
    """Returns the seconds of a step of all members, both ways, by turns."""
    sides = {"separate": separate(options, dtype), "together": together(options, dtype)}
    compiling = {name: seconds(side, 1) for name, side in sides.items()}
    for side in sides.values():
        side()
    turns = {name: [] for name in sides}
    for turn in range(options.rounds):
        for name in sides if turn % 2 else reversed(sides):
            time.sleep(0.2)  # the threads of the side before stop spinning
            turns[name].append(seconds(sides[name], options.steps))
    ratios = [one / each for one, each in zip(turns["together"], turns["separate"], strict=True)]
    shape = ("members", "width", "depth", "vocabulary", "batch", "length")
    return {
        "dtype": dtype,
        **{name: getattr(options, name) for name in shape},
        "device": jax.local_devices()[0].device_kind,
        "first_step_seconds": {name: round(value, 2) for name, value in compiling.items()},
        "seconds": {name: [round(value, 4) for value in values] for name, values in turns.items()},
        "median_seconds": {name: round(statistics.median(values), 4) for name, values in turns.items()},
        "ratio": round(statistics.median(ratios), 3),
    }


def separate(options: argparse.Namespace, dtype: str):
    """Returns a function that trains every member for a step, one after the other."""
    model, optimizer, train_step, device = parts(options, dtype)
    step = device.parallel(train_step, (False, True), is_reduced=True, donate=(0,))
    keys = training.member_rngs(jax.random.key(0), options.members)
    states = [device.replicate(training.init_state(model, optimizer, key)) for key in keys]
    batches = [device.divide(batch) for batch in batches_of(options)]

    def work() -> None:
        for member, batch in enumerate(batches):
            states[member], _ = step(states[member], batch)
        jax.block_until_ready(states)

    return work


def together(options: argparse.Namespace, dtype: str):
    """Returns a function that trains all members in one step."""
    model, optimizer, train_step, device = parts(options, dtype)
    step = device.parallel(training.ensemble_step(train_step), (False, True), is_reduced=True, donate=(0,))
    state = training.init_ensemble(model, optimizer, jax.random.key(0), options.members)
    held = [device.replicate(state)]
    batch = device.divide(training.stack_batches(batches_of(options)), axis=1)

    def work() -> None:
        held[0], _ = step(held[0], batch)
        jax.block_until_ready(held[0])

    return work


def parts(options: argparse.Namespace, dtype: str):
    config = models.TransformerConfig(
        vocab_size=options.vocabulary,
        width=options.width,
        depth=options.depth,
        num_heads=max(1, options.width // 32),
        position="rotary",
        dtype=dtype,
    )
    model, settings = models.build(config), training.OptimizerConfig()
    noise = corruption.make_noise(
        corruption.NoiseConfig(rate=0.15), tokenizers.bytes_tokenizer(), vocab_size=options.vocabulary
    )
    capacity = options.batch * round(0.15 * options.length + 0.5)
    train_step = training.make_train_step(
        training.masked_lm_loss(training.Masking(noise, capacity)),
        model.apply,
        training.make_optimizer(settings, 1000),
        settings.schedule(1000),
        clip_norm=settings.clip_norm,
    )
    return model, training.make_optimizer(settings, 1000), train_step, jax.local_devices()[:1]


def batches_of(options: argparse.Namespace) -> list[data.Batch]:
    """Returns full rows of random bytes, others for every member."""
    row, column = (grid.astype(np.int32) for grid in np.indices((options.batch, options.length)))
    epochs, batches = np.zeros(options.batch, np.int32), []
    for member in range(options.members):
        tokens = np.random.default_rng(member).integers(0, 256, row.shape, dtype=np.int32)
        batches.append(data.Batch(tokens, np.ones_like(tokens), column, row, column, epochs))
    return batches


def seconds(work, steps: int) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        work()
    return (time.perf_counter() - begun) / steps


def show(result: dict) -> None:
    shape = f"{result['depth']} x {result['width']}, batch {result['batch']} x {result['length']}"
    print(f"{result['dtype']}, {result['members']} members of {shape}, {result['device']}")
    for name, value in result["median_seconds"].items():
        first = result["first_step_seconds"][name]
        print(f"  {name:10s} {1e3 * value:8.1f} ms for a step of all members; the first took {first:.1f} s")
    print(f"  together / separate: {result['ratio']:.3f} (at most 1.1 is wanted)")


if __name__ == "__main__":
    main()
