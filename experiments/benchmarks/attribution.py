"""Attribution by a GPT-2 of 6 x 256 over 8,000 ids: ours against inseq, method by method.

    python experiments/benchmarks/attribution.py --model source-gpt2 --peer-python /path/to/venv/bin/python
    python experiments/benchmarks/attribution.py --small --rounds 1            # a smoke test, ours alone

The model is what `experiments/source_gpt2` trains and `jaxlm convert` writes; without one its parameters are
random. The peer's interpreter has inseq 0.7.1, torch and transformers 4. A task is a method for one prompt of
source with a continuation, each token of which is explained by its probability, in float32:

    attention, occlusion, saliency, input_x_gradient, integrated_gradients (50 points)

Rates are explained tokens a second; beside them stands the processor time of a turn, which other work on the
machine changes less. The first turn, which compiles, is told apart ("first"; with `--warm-cache` also that of
a process that finds the compiled programs on disk). How far the scores are apart is told too: of gradients
their length, of occlusion the magnitude, which is what inseq returns.

The peer's slow methods may be measured by one turn, its first (`--peer-once`), which ends after `--limit`
seconds; the ratio is then the least that it can be. `--peer-first-size` names methods that the peer is asked
for at the first size alone.
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
        sizes = ("12+4",) if options.small else options.sizes
        for size in sizes:
            texts = Path(folder) / f"{size}.json"
            prompt, continuation = map(int, size.split("+"))
            shape = (SMALL if options.small else Shape())._replace(prompt=prompt, continuation=continuation)
            prepare(model, texts, shape, options.texts, 0)
            for method in options.methods:
                told = {"model": str(model), "texts": str(texts), "method": method}
                has_peer = size == sizes[0] or method not in options.peer_first_size
                results.append({"size": size, "method": method} | against_peer(options, told, has_peer))
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
    parser.add_argument("--peer-once", nargs="*", choices=METHODS, default=[], help="one turn of the peer")
    parser.add_argument("--limit", type=int, default=120, help="seconds of that turn")
    parser.add_argument("--peer-first-size", nargs="*", choices=METHODS, default=[], help="no peer beyond it")
    parser.add_argument("--warm-cache", action="store_true", help="also a first turn with programs on disk")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="ours; the peer runs on the CPU"
    )
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def against_peer(options: argparse.Namespace, told: dict[str, Any], has_peer: bool) -> dict[str, Any]:
    """Returns the rates of one method, and how many times as fast as the peer we are."""
    platforms = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    ours, peer = Side("jaxlm", "_attribution_jaxlm.py", told, platforms), None
    is_once = told["method"] in options.peer_once
    if options.peer_python and has_peer:
        limit = {"limit": options.limit} if is_once else {}
        peer = Side("inseq", "_attribution_inseq.py", told | limit, None, options.peer_python)
    alternate([ours] if peer is None or is_once else [ours, peer], options.rounds, 1)
    found = {"jaxlm": of_turns(ours)}
    if peer is not None:
        peer.start()
        found["inseq"] = of_first_turn(peer, told) if is_once else of_turns(peer)
    if options.warm_cache:
        found["jaxlm"]["warm_first_seconds"] = warm_first_seconds(told, platforms)
    found = {name: one for name, one in found.items() if one}
    print(f"\n{told['method']} {Path(told['texts']).stem}")
    for name, one in found.items():
        print(f"  {name:6s} {in_words(one)}")
    if "inseq" in found:
        compare(found, ours, peer)
    return found


def in_words(one: dict[str, Any]) -> str:
    """Returns what was found of one side as a line."""
    told = f"{one['rate']:,.1f} tokens/s, first {one['first_seconds']:.1f} s"
    told = f"at most {told}" if one.get("is_cut") else told
    if "warm_first_seconds" in one:
        told += f" ({one['warm_first_seconds']:.1f} s with a warm cache)"
    return (
        told if one["cpu_seconds"] is None else f"{told}, {one['cpu_seconds']:.3f} s of processor time a turn"
    )


def of_turns(side: Side) -> dict[str, Any]:
    """Returns the rate of a side's turns; nothing if the peer did not run."""
    side.ask()
    side.close()
    if side.failure:
        print(f"  {side.name} did not run: {side.failure}")
        if side.name == "jaxlm":
            raise SystemExit(1)
    if not side.turns:
        return {}
    turns = [turn._asdict() for turn in side.turns]
    kept = {name: side.facts[name] for name in ("first_seconds", "cpu_seconds")}
    return {"rate": side.rate(), "turns": turns} | kept


def of_first_turn(peer: Side, told: dict[str, Any]) -> dict[str, Any]:
    """Returns the rate of the peer's first turn, or, if that was cut, the rate that it did not reach."""
    peer.ask()
    peer.close()
    if peer.failure:
        print(f"  {peer.name} did not run: {peer.failure}")
        return {}
    facts, asked = peer.facts, json.loads(Path(told["texts"]).read_text())
    tokens = facts["first_tokens"] or asked["continuation"] * len(asked["questions"])
    kept = {name: facts[name] for name in ("first_seconds", "cpu_seconds")}
    return {"rate": tokens / facts["first_seconds"], "is_cut": not facts["first_tokens"]} | kept


def warm_first_seconds(told: dict[str, Any], platforms: dict[str, str]) -> float:
    """Returns what our first turn takes if another process has compiled the same before."""
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            side = Side("jaxlm", "_attribution_jaxlm.py", told | {"cache": cache}, platforms)
            side.start()
            side.close()
    return side.facts["first_seconds"]


def compare(found: dict[str, Any], ours: Side, peer: Side) -> None:
    """Adds the ratios to what was found, and prints them."""
    found["ratio"] = found["jaxlm"]["rate"] / found["inseq"]["rate"]
    told = f"  ratio {'at least ' if found['inseq'].get('is_cut') else ''}{found['ratio']:.1f}"
    if found["inseq"]["cpu_seconds"]:
        found["cpu_ratio"] = found["inseq"]["cpu_seconds"] / found["jaxlm"]["cpu_seconds"]
        found["apart"] = difference(ours, peer)
        told += f", by processor time {found['cpu_ratio']:.1f}; scores apart by at most {found['apart']:.2g}"
    print(told)


def difference(ours: Side, peer: Side) -> float:
    """Returns how far the scores of the first text are apart, where both have one."""
    rows = zip(ours.facts["scores"], peer.facts["scores"], strict=False)
    pairs = [pair for one, other in rows for pair in zip(one, other, strict=True)]
    return max(abs(one - other) for one, other in pairs if one is not None and other is not None)


if __name__ == "__main__":
    main()
