"""Attribution by a GPT-2 of 6 x 256 over 8,000 ids: ours against inseq, method by method.

    python experiments/benchmarks/attribution.py --model source-gpt2 --peer-python /path/to/venv/bin/python
    python experiments/benchmarks/attribution.py --small --rounds 1            # a smoke test, ours alone

The model is what `experiments/source_gpt2` trains and `jaxlm convert` writes; without one its parameters are
random. The peer's interpreter has inseq 0.7.1, torch and transformers 4. A task is a method for one prompt of
source with a continuation, each token of which is explained by its probability, in float32:

    attention, occlusion, saliency, input_x_gradient, integrated_gradients (50 points)

Rates are explained tokens a second; beside them stands the processor time of a turn, which other work on the
machine changes less. The first turn, which compiles, is told apart ("first"). How far the scores are apart is
told too: of gradients their length, of occlusion the magnitude, which is what inseq returns.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from _machine import describe
from _sides import Side, alternate
from _step_scores_texts import SMALL, Shape, prepare, random_model

METHODS = ("attention", "occlusion", "saliency", "input_x_gradient", "integrated_gradients")
SIZES = ("12+28", "64+32", "128+64")


def main() -> None:
    options = arguments()
    machine, results = describe(), []
    print(json.dumps(machine))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(options.model or f"{folder}/model")
        if options.model is None:
            random_model(model, SMALL if options.small else Shape())
        for size in ("12+4",) if options.small else options.sizes:
            texts = Path(folder) / f"{size}.json"
            prompt, continuation = map(int, size.split("+"))
            shape = (SMALL if options.small else Shape())._replace(prompt=prompt, continuation=continuation)
            prepare(model, texts, shape, options.texts, 0)
            for method in options.methods:
                told = {"model": str(model), "texts": str(texts), "method": method}
                results.append({"size": size, "method": method} | against_peer(options, told))
    if options.out:
        Path(options.out).write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a Hugging Face folder; default: random parameters")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="tokens of prompt+continuation")
    parser.add_argument("--texts", type=int, default=1, help="texts of a turn, asked one at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tiny model, to see that all runs")
    parser.add_argument("--peer-python", help="the peer's interpreter; without it ours runs alone")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="ours; the peer runs on the CPU"
    )
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def against_peer(options: argparse.Namespace, told: dict[str, Any]) -> dict[str, Any]:
    """Returns the rates of one method, and how many times as fast as the peer we are."""
    platforms = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    sides = [Side("jaxlm", "_attribution_jaxlm.py", told, platforms)]
    if options.peer_python:
        sides.append(Side("inseq", "_attribution_inseq.py", told, None, options.peer_python))
    alternate(sides, options.rounds, 1)
    for side in sides:
        side.ask()
        side.close()
        if side.failure:
            print(f"  {side.name} did not run: {side.failure}")
            if side.name == "jaxlm":
                raise SystemExit(1)
    found = {
        side.name: {
            "rate": side.rate(),
            "first_seconds": side.facts["first_seconds"],
            "cpu_seconds": side.facts["cpu_seconds"],
            "turns": [turn._asdict() for turn in side.turns],
        }
        for side in sides
        if side.turns
    }
    print(f"\n{told['method']} {Path(told['texts']).stem}")
    for name, one in found.items():
        print(
            f"  {name:6s} {one['rate']:10,.1f} tokens/s, first {one['first_seconds']:.1f} s, "
            f"{one['cpu_seconds']:.3f} s of processor time a turn"
        )
    if "inseq" in found:
        found["ratio"] = found["jaxlm"]["rate"] / found["inseq"]["rate"]
        found["cpu_ratio"] = found["inseq"]["cpu_seconds"] / found["jaxlm"]["cpu_seconds"]
        found["apart"] = difference(*sides)
        print(
            f"  ratio {found['ratio']:.1f}, by processor time {found['cpu_ratio']:.1f}; scores apart by at "
            f"most {found['apart']:.2g}"
        )
    return found


def difference(ours: Side, peer: Side) -> float:
    """Returns how far the scores of the first text are apart, where both have one."""
    rows = zip(ours.facts["scores"], peer.facts["scores"], strict=False)
    pairs = [pair for one, other in rows for pair in zip(one, other, strict=True)]
    return max(abs(one - other) for one, other in pairs if one is not None and other is not None)


if __name__ == "__main__":
    main()
