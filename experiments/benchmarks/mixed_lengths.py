"""Training on real lengths: our packed rows against transformers' collator and its padding, taking turns.

    python experiments/benchmarks/mixed_lengths.py

The embedded corpus's functions, cut at 512 tokens. The peer takes 16 functions a batch, padded to its longest
by `DataCollatorForLanguageModeling`, drawn at random or, in a row beside it, by length
(`LengthGroupedSampler`). Ours packs the functions into rows of `--row` tokens and takes about as many real
tokens a step. Everything is counted in real tokens a second; models and optimiser are those of
masked_lm_step.py.
"""

import argparse
import json
from pathlib import Path

from _machine import describe
from _shape import DEPTH, LONGEST
from _sides import Side, alternate

DTYPES = ("float32", "bfloat16")
PEERS = {
    "padded": ("torch, dynamic padding", {}),
    "grouped": ("torch, grouped by length", {"grouped": True}),
    "compiled": ("torch compile, dynamic padding", {"compile": True}),
}


def main() -> None:
    options = arguments()
    machine, results = describe(), []
    print(json.dumps(machine))
    for dtype in options.dtypes:
        results.append(measure(options, dtype))
        show(results[-1])
    if options.out:
        Path(options.out).write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--batch", type=int, default=16, help="functions a batch of the peer")
    parser.add_argument("--row", type=int, default=LONGEST, help="tokens a row of ours")
    parser.add_argument("--rows", type=int, default=4, help="rows a batch of ours")
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3, help="steps a turn")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=PEERS,
        default=list(PEERS)[:2],
    )
    parser.add_argument(
        "--one-alive",
        action="store_true",
        help="end each process with its turn: float32 torch alone needs some 20 GB for the longest batches",
    )
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def measure(options: argparse.Namespace, dtype: str) -> dict:
    """Returns the rates of one dtype in real tokens a second."""
    shared = {"dtype": dtype, "data": "mixed", "device": options.device, "depth": options.depth}
    shared |= {"dropout": 0.1, "attention_dropout": None, "clip": 0.0}
    peer = shared | {"batch": options.batch, "length": LONGEST, "grouped": False, "compile": False}
    ours = shared | {"batch": options.rows, "length": options.row}
    platforms = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    sides = [Side("jaxlm, packed rows", "_jaxlm_side.py", ours, platforms)]
    for name, own in (PEERS[chosen] for chosen in options.peers):
        sides.append(Side(name, "_torch_side.py", peer | own))
    alternate(sides, options.rounds, options.steps, one_alive=options.one_alive)
    for side in sides:
        side.close()
    if sides[0].failure:
        raise SystemExit(f"our side did not run: {sides[0].failure}")
    return {
        "dtype": dtype,
        "facts": sides[0].facts,
        "rates": {side.name: round(side.rate(), 1) for side in sides if side.turns},
        "failed": {side.name: side.failure for side in sides if side.failure},
        "turns": {side.name: [turn._asdict() for turn in side.turns] for side in sides},
    }


def show(result: dict) -> None:
    print(f"\n{result['dtype']}, ours in rows {result['facts']['rows']}, real tokens/s")
    for name, failure in result["failed"].items():
        print(f"  {name:32s} did not run: {failure}")
    ours = next(iter(result["rates"].values()))
    for name, rate in result["rates"].items():
        print(f"  {name:32s} {rate:10,.0f}   ours is {ours / rate:.2f}x of it")


if __name__ == "__main__":
    main()
