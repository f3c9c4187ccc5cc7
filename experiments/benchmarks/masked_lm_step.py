"""A masked-LM training step of BERT-base shape: ours against transformers' in torch, taking turns.

    python experiments/benchmarks/masked_lm_step.py        # this CPU: batch 8 x 128, both dtypes
    python experiments/benchmarks/masked_lm_step.py --device cuda --batch 64 --length 512 --dtypes bfloat16

Both sides: 12 x 768, vocabulary 30,522, dropout 0.1 in BERT's places, AdamW, the head's weights tied. Ours
computes the head at the masked positions and draws the masks in the step; the peer is the faster of eager
SDPA and torch.compile. The last lines give the ratio; `--out` keeps everything as JSON.
"""

import argparse
import json
from pathlib import Path

from _machine import describe, peak_flops
from _shape import DEPTH, FORMULA
from _sides import KEEP_MEMORY, Side, alternate


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
    parser.add_argument(
        "--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"]
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument(
        "--attention-dropout", type=float, help="as --dropout unless given; 0 lets cuDNN fuse"
    )
    parser.add_argument(
        "--clip", type=float, default=0.0, help="largest gradient norm on both sides; 0 is off"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps a turn")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--keep-memory", action="store_true", help="also torch with our allocator settings")
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def measure(options: argparse.Namespace, dtype: str) -> dict:
    """Returns rates, FLOPs and ratio of one dtype."""
    shared = {
        name: getattr(options, name)
        for name in ("batch", "length", "depth", "dropout", "attention_dropout", "clip", "device")
    } | {"dtype": dtype, "data": "full"}
    platforms = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    rows = [
        ("jaxlm", "_jaxlm_side.py", {}, platforms),
        ("torch eager", "_torch_side.py", {"compile": False}, {}),
        ("torch compile", "_torch_side.py", {"compile": True}, {}),
        ("torch eager, memory kept", "_torch_side.py", {"compile": False}, KEEP_MEMORY),
        ("torch compile, memory kept", "_torch_side.py", {"compile": True}, KEEP_MEMORY),
    ]
    rows = [row for row in rows if options.keep_memory or "kept" not in row[0]]
    rows = [row for row in rows if not (options.no_compile and "compile" in row[0])]
    sides = [Side(name, script, shared | own, variables) for name, script, own, variables in rows]
    alternate(sides, options.rounds, options.steps)
    for side in sides:
        side.close()
    return {
        "dtype": dtype,
        "batch": options.batch,
        "length": options.length,
        "sides": [summary(side) for side in sides],
    }


def summary(side: Side) -> dict:
    if not side.turns:
        return {"name": side.name, "failure": side.failure}
    rate = side.rate()
    tokens = side.turns[0].tokens
    flops = side.facts["flops"] * rate / tokens
    peak = peak_flops(side.facts["device"])
    return {
        "name": side.name,
        "tokens_per_second": round(rate, 1),
        "seconds_per_step": round(tokens / rate, 4),
        "tflops": round(flops / 1e12, 3),
        "mfu": round(flops / peak, 4) if peak else None,
        "turns": [round(turn.seconds, 4) for turn in side.turns],
    }


def show(result: dict) -> None:
    print(f"\n{result['dtype']}, batch {result['batch']} x {result['length']}  ({FORMULA})")
    for side in result["sides"]:
        if side.get("failure"):
            print(f"  {side['name']:28s} did not run: {side['failure']}")
        else:
            mfu = "n/a" if side["mfu"] is None else f"{100 * side['mfu']:.1f} %"
            speed = f"{side['tokens_per_second']:10,.0f} tokens/s  {side['seconds_per_step']:.3f} s/step"
            print(f"  {side['name']:28s} {speed}  {side['tflops']:.2f} TFLOP/s executed  MFU {mfu}")
    ours, *peers = result["sides"]
    if ours.get("failure"):
        raise SystemExit(f"our side did not run: {ours['failure']}")
    peers = [side for side in peers if not side.get("failure")]
    plain = [side for side in peers if "kept" not in side["name"]]
    for label, group in (("the faster torch", plain), ("any torch", peers)):
        if group and (label != "any torch" or len(group) > len(plain)):
            best = max(group, key=lambda side: side["tokens_per_second"])
            ratio = ours["tokens_per_second"] / best["tokens_per_second"]
            result[f"ratio_to_{label.replace(' ', '_')}"] = round(ratio, 3)
            print(f"  ratio to {label} ({best['name']}): {ratio:.2f}x")


if __name__ == "__main__":
    main()
