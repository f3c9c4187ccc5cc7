"""Language models over bytes against genlm-bytes, and what a byte costs beside the model.

    python experiments/benchmarks/bytes.py --model bytes-gpt2 --peer-python /path/to/venv/bin/python
    python experiments/benchmarks/bytes.py --tasks large --gpt2 DIR --peer-python ...  # 124M
    python experiments/benchmarks/bytes.py --small --rounds 1                 # a smoke test, ours alone

The model is a GPT-2 of 6 x 256 over 8,000 subwords, 7M parameters, that was trained for some minutes on this
Python's source; random ones make beams without meaning. `--train` makes it, where the folder is missing. The
peer's interpreter has genlm-bytes 0.2.0, which brings torch and transformers; it runs as its documentation
shows, with the backend of transformers, its default on a CPU. Tasks:

    generate  new bytes a second, greedy, after prompts of 48 bytes of source: one text, and 16 together (the
              peer's coroutines are gathered then, which its backend batches)
    score     bytes a second of a text of 2,000 bytes; with `--peer-bytes` the peer reads fewer of them, which
              favours it, since its cost for a byte grows with those before
    beside    milliseconds of a byte that are not the model's: those of generation of one text less those of
              the model's step alone; both alternate in one process, as wall time and as processor time
    large     `generate` with K = 1, of 124M random parameters over GPT-2's vocabulary of 50,257
    wide      `beside`, of 6 x 256 random parameters over that vocabulary, whose own time is less noise
    memory    peak memory of scoring texts of 1,000 bytes to 8,000, each in a process of its own

Ours is the tree of canonical stems, the default, and the beam of K candidates; the peer is a beam of K.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _bytes_texts import gpt2_model, prepare, random_model
from _machine import describe
from _sides import HERE, Side, alternate

TASKS = ("generate", "score", "beside", "large", "wide", "memory")
# Shapes of random parameters over GPT-2's vocabulary.
WIDE = {
    "large": {"width": 768, "depth": 12, "num_heads": 12},
    "wide": {"width": 256, "depth": 6, "num_heads": 4},
}
TRAINING = {
    "--model.max-length": "1024",
    "--data.row-length": "1024",
    "--run.batch-size": "2",
    "--run.steps": "300",
    "--run.eval-every": "100",
    "--run.save-every": "100",
    "--dropout": "0",
}


def main() -> None:
    options = arguments()
    results, machine = [], describe()
    print(json.dumps(machine))
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or f"{folder}/model"
        if options.model is None:
            random_model(Path(model))
        elif not Path(model).exists() and options.train:
            train(model)
        texts = prepare(Path(folder) / "texts.json", options)
        told = {"model": model, "texts": texts, "new": options.new}
        for task in options.tasks:
            print(f"\n{task}", flush=True)
            asked = told
            if task in WIDE:
                gpt2_model(Path(f"{folder}/{task}"), Path(options.gpt2), **WIDE[task])
                asked = told | {"model": f"{folder}/{task}"}
            if task == "large":
                asked["new"] = options.large_new
            work = {"memory": memory, "beside": beside, "wide": beside}.get(task, against_peer)
            done = work(options, task, asked)
            results += [{"task": task} | one for one in done]
            if options.out:
                written = {"machine": machine, "results": results}
                Path(options.out).write_text(json.dumps(written, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a Hugging Face folder; default: tiny, of random parameters")
    parser.add_argument("--train", action="store_true", help="train the model, if the folder is missing")
    parser.add_argument("--gpt2", help="a folder with GPT-2's vocab.json and merges.txt, for `large`")
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=["generate", "score", "beside", "memory"]
    )
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 5, 10], help="K of the beams")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], help="texts together")
    parser.add_argument("--new", type=int, default=128, help="bytes that each text gets")
    parser.add_argument("--large-new", type=int, default=32, help="the same, for `large`")
    parser.add_argument("--bytes", type=int, default=2000, help="of the text that is scored")
    parser.add_argument("--peer-bytes", type=int, default=2000, help="of it, for the peer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="few bytes, to see that all runs")
    parser.add_argument("--peer-python", help="the peer's interpreter; without it ours runs alone")
    parser.add_argument("--out", help="a JSON file for everything")
    options = parser.parse_args()
    if options.small:
        options.new, options.bytes, options.beams, options.batches = 16, 200, [2], [2]
    if set(WIDE) & set(options.tasks) and not options.gpt2:
        parser.error("GPT-2's vocabulary is needed for this: give --gpt2")
    return options


def train(folder: str) -> None:
    """Trains the model and writes it as a Hugging Face folder."""
    experiment = str(HERE.parent / "source_gpt2")
    with tempfile.TemporaryDirectory() as run:
        command = [sys.executable, "-m", "jaxlm"]
        training = [part for pair in TRAINING.items() for part in pair]
        subprocess.run([*command, "train", experiment, "--out", f"{run}/run", *training], check=True)
        subprocess.run([*command, "convert", f"{run}/run", folder], check=True)


def against_peer(options: argparse.Namespace, task: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rates of all engines and the peer, for each number of texts."""
    results = []
    for batch in (1,) if task in ("score", "large") else options.batches:
        for beam in (1,) if task == "large" else options.beams:
            work = "score" if task == "score" else "generate"
            asked = told | {"work": work, "batch": batch, "beam": beam, "bytes": options.bytes}
            sides = [Side(f"jaxlm beam {beam}", "_bytes_jaxlm.py", asked)]
            if work == "generate":
                sides.append(Side("jaxlm tree", "_bytes_jaxlm.py", asked | {"beam": 0}))
            else:
                sides[0] = Side("jaxlm tree", "_bytes_jaxlm.py", asked | {"beam": 0})
            if options.peer_python:
                peer = asked | {"bytes": min(options.bytes, options.peer_bytes)}
                sides.append(Side(f"genlm {beam}", "_bytes_genlm.py", peer, None, options.peer_python))
            results.append({"batch": batch, "beam": beam} | compared(sides, options.rounds))
    return results


def compared(sides: list[Side], rounds: int) -> dict[str, Any]:
    """Returns the rates of sides that take turns, and how many times as fast as the peer ours are."""
    alternate(sides, rounds, 1)
    for side in sides:
        side.ask()
        side.close()
        if side.failure:
            print(f"  {side.name} did not run: {side.failure}")
    rates = {side.name: side.rate() for side in sides if side.turns}
    peers = [rate for name, rate in rates.items() if name.startswith("genlm")]
    ratios = {name: rate / peers[0] for name, rate in rates.items() if peers and name.startswith("jaxlm")}
    for side in sides:
        if side.name in rates:
            processor = f"{side.facts['processor_ms']:8.2f} ms of processor time a byte"
            ratio = f"  {ratios[side.name]:8.1f} times the peer's" if side.name in ratios else ""
            print(f"  {side.name:16s} {rates[side.name]:10,.1f} bytes/s{processor}{ratio}", flush=True)
    turns = {side.name: [turn._asdict() for turn in side.turns] for side in sides}
    facts = {side.name: side.facts for side in sides}
    return {"rates": rates, "ratios": ratios, "turns": turns, "facts": facts}


def beside(options: argparse.Namespace, task: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what a byte costs beside the model's step, of one text and of many."""
    results = []
    for batch in options.batches:
        side = Side("beside", "_bytes_jaxlm.py", told | {"work": "beside", "batch": batch, "beam": 0})
        for _ in range(options.rounds):
            side.work(1)
        side.ask()
        side.close()
        if side.failure:
            raise SystemExit(f"it did not run: {side.failure}")
        milliseconds = side.facts["milliseconds"]
        for name, value in milliseconds.items():
            print(f"  batch {batch}: {name:28s} {value:7.2f} ms a byte of each text", flush=True)
        results.append({"batch": batch, "milliseconds": milliseconds})
    return results


def memory(options: argparse.Namespace, task: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the peak memory of scoring a text of each size, beyond what a text of 100 bytes needs."""
    results = []
    for size in (250, 500) if options.small else (1000, 2000, 4000, 8000):
        side = Side(
            "memory", "_bytes_jaxlm.py", told | {"work": "memory", "batch": 1, "beam": 0, "bytes": size}
        )
        side.work(1)
        side.ask()
        side.close()
        if side.failure:
            raise SystemExit(f"it did not run: {side.failure}")
        results.append({"bytes": size, "mebibytes": side.facts["mebibytes"]})
        print(f"  {size:6d} bytes: {side.facts['mebibytes']:.1f} MiB more than the model", flush=True)
    return results


if __name__ == "__main__":
    main()
