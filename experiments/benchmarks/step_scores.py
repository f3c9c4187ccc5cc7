"""Step scores of a GPT-2 of 6 x 256 over 8,000 ids: ours against inseq, and against our own plain scoring.

    python experiments/benchmarks/step_scores.py --model source-gpt2 --peer-python /path/to/venv/bin/python
    python experiments/benchmarks/step_scores.py --small --rounds 1           # a smoke test, ours alone

The model is what `experiments/source_gpt2` trains and `jaxlm convert` writes; without one its parameters are
random. The peer's interpreter has inseq 0.7.1, torch and transformers 4. Tasks, each of some prompts of 128
tokens of source with 64 more, of which every one of the 64 gets its numbers:

    scores      entropy and probability
    divergence  the Kullback-Leibler divergence from the same 64 tokens behind another prompt
    dropout     the z-score of the probability among 10 draws with dropout
    mixed       the entropy at each token of 2,000 functions and classes of mixed length, beside their
                log-likelihood by `scoring`, whose scorers are kept, so that they compile nothing again: of
                all texts in one call ("entropy"), and as the measure of corpora ("corpus", which makes rows
                with lists of tokens)

Rates are tokens that got their numbers a second. The peer runs without gradients, with either attention of
torch, one question at a time and all in one batch: they are of one length, so that nothing is padded (what it
compares, it takes one at a time). The ratio is of our rate to its, both with one question at a time;
beside it stands that of the best of both. How far the values of the first question are apart is told too;
those of dropout are random.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from _machine import describe
from _sides import Side, alternate
from _step_scores_texts import SMALL, Shape, prepare, random_model

TASKS = ("scores", "divergence", "dropout", "mixed")
ATTENTIONS = ("eager", "sdpa")


def main() -> None:
    options = arguments()
    shape = SMALL if options.small else Shape()
    machine, results = describe(), []
    print(json.dumps(machine))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(options.model or f"{folder}/model")
        if options.model is None:
            random_model(model, shape)
        file = Path(folder) / "texts.json"
        told = prepare(model, file, shape, options.texts, 40 if options.small else options.mixed)
        print(json.dumps(told))
        for task in options.tasks:
            own = mixed if task == "mixed" else against_peer
            results.append({"task": task} | own(options, task, {"model": str(model), "texts": str(file)}))
    if options.out:
        written = {"machine": machine, "texts": told, "results": results}
        Path(options.out).write_text(json.dumps(written, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a Hugging Face folder; default: random parameters")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--texts", type=int, default=4, help="questions of a turn")
    parser.add_argument("--mixed", type=int, default=2000, help="texts of mixed length")
    parser.add_argument("--draws", type=int, default=10, help="forward passes with dropout")
    parser.add_argument(
        "--times", type=int, default=5, help="how often we answer in a turn, being short of work"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tiny model, to see that all runs")
    parser.add_argument("--peer-python", help="the peer's interpreter; without it ours runs alone")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="ours; the peer runs on the CPU"
    )
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def ours(options: argparse.Namespace, name: str, told: dict[str, Any]) -> Side:
    platforms = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return Side(name, "_step_scores_jaxlm.py", told, platforms)


def against_peer(options: argparse.Namespace, task: str, told: dict[str, Any]) -> dict[str, Any]:
    """Returns the rates of one task, and how many times as fast as the peer we are."""
    told = told | {"task": task, "draws": options.draws}
    batches = (1,) if options.texts == 1 else (1, options.texts)
    sides = [
        ours(options, f"jaxlm batch {batch}", told | {"batch": batch, "times": options.times})
        for batch in batches
    ]
    for attention in ATTENTIONS if options.peer_python else ():
        for batch in batches[:1] if task == "divergence" else batches:
            peer = told | {"batch": batch, "attention": attention}
            name = f"inseq batch {batch} {attention}"
            sides.append(Side(name, "_step_scores_inseq.py", peer, None, options.peer_python))
    rates = run(sides, options.rounds)
    ratios = (
        {"batch 1": ratio(rates, "batch 1"), "best": ratio(rates, "batch")} if options.peer_python else {}
    )
    apart = {side.name: difference(side, sides[0]) for side in sides[1:] if side.turns}
    print(f"\n{task}")
    for name, rate in rates.items():
        print(f"  {name:22s} {rate:10,.1f} tokens/s")
    for name, value in ratios.items():
        print(f"  ratio, {name}: {value:.1f}")
    print(f"  values apart by at most {json.dumps(apart)}")
    return {"rates": rates, "ratios": ratios, "apart": apart, "sides": [described(side) for side in sides]}


def ratio(rates: dict[str, float], batch: str) -> float:
    """Returns how many times as fast as the peer's fastest our fastest is, of the sides of a batch.

    >>> ratio({"jaxlm batch 1": 30.0, "inseq batch 1 eager": 2.0, "inseq batch 1 sdpa": 3.0}, "batch 1")
    10.0
    """
    own, peer = (
        max(rate for name, rate in rates.items() if name.startswith(f"{who} {batch}"))
        for who in ("jaxlm", "inseq")
    )
    return own / peer


def mixed(options: argparse.Namespace, task: str, told: dict[str, Any]) -> dict[str, Any]:
    """Returns the rates of entropies and of log-likelihoods, and their ratio."""
    names = ("entropy", "corpus", "scoring")
    sides = [ours(options, name, told | {"task": name, "times": 1}) for name in names]
    rates = run(sides, options.rounds)
    shares = {name: rates[name] / rates["scoring"] for name in names[:2]}
    print(f"\n{task}")
    for name, rate in rates.items():
        print(f"  {name:22s} {rate:10,.1f} tokens/s")
    for name, share in shares.items():
        print(f"  {name} at {share:.2f} times the rate of scoring")
    return {"rates": rates, "ratios": shares, "sides": [described(side) for side in sides]}


def run(sides: list[Side], rounds: int) -> dict[str, float]:
    """Lets the sides take turns and returns the rates of those that ran; ours have to."""
    alternate(sides, rounds, 1)
    for side in sides:
        side.ask()
        side.close()
        if side.failure:
            print(f"  {side.name} did not run: {side.failure}")
            if not side.name.startswith("inseq"):
                raise SystemExit(1)
    return {side.name: side.rate() for side in sides if side.turns}


def difference(side: Side, first: Side) -> float:
    """Returns how far the values of the first question are at most from the first side's."""
    pairs = zip(side.facts["values"], first.facts["values"], strict=True)
    return max(abs(one - other) for pair in pairs for one, other in zip(*pair, strict=True))


def described(side: Side) -> dict[str, Any]:
    facts = {name: fact for name, fact in side.facts.items() if name not in ("facts", "values")}
    turns = [turn._asdict() for turn in side.turns]
    return {"name": side.name, "failure": side.failure, "turns": turns, "facts": facts}


if __name__ == "__main__":
    main()
