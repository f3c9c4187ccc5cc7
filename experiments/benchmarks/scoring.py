"""Scoring pieces of Python's source under random models: ours against minicons and lm-evaluation-harness.

    python experiments/benchmarks/scoring.py --peer-python /path/to/venv/bin/python
    python experiments/benchmarks/scoring.py --models tiny-gpt2 --rounds 1 --turn 2000       # a smoke test
    python experiments/benchmarks/scoring.py --memory      # peak memory by size of corpus and of vocabulary

The peers' interpreter has torch, minicons and lm-eval, and transformers 4, which minicons' pseudo-log-
likelihood wants. All sides open the same folder and take turns on the same 2,000 functions and classes of
this Python's library, some 16,384 tokens a turn (of a masked model 256, each of them a forward). Rates are
real tokens of the pieces a second; for causal models every token of a piece is scored once, [CLS] before it.
The share of the ceiling is `_scoring_models.FORMULA` by the fastest product of two 2048-square matrices of
the same dtype in the same process. Each document's total is compared with that of our float32: the sum of
what they differ by, in nats a token.
"""

import argparse
import json
import tempfile
from pathlib import Path

from _machine import describe
from _scoring_models import FORMULA, SHAPES, flops, prepare
from _sides import Side, alternate

DTYPES = ("float32", "bfloat16")
PEERS = ("minicons:1", "minicons:8", "lm-eval:1", "lm-eval:8")


def main() -> None:
    options = arguments()
    machine, results = describe(), []
    print(json.dumps(machine))
    if options.memory:
        results.append(memory(options))
    else:
        for name in options.models:
            results.append(measure(options, name))
            show(results[-1])
    if options.out:
        Path(options.out).write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=["gpt2-7m", "gpt2-124m", "bert-base"])
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--pieces", type=int, default=2000)
    parser.add_argument("--longest", type=int, help="tokens of a piece; default 500, of a masked model 64")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), help="each with its batch size")
    parser.add_argument("--turn", type=int, help="tokens of a turn")
    parser.add_argument("--row", type=int, help="tokens of our rows; default: as many 64s as hold any piece")
    parser.add_argument("--rows", type=int, help="our rows a batch")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--peer-python", help="the peers' interpreter; without it ours runs alone")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="ours; peers run on the CPU")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--out", help="a JSON file for everything")
    return parser.parse_args()


def ours(folder: str, dtype: str, turn: int, row: int | None, options: argparse.Namespace) -> Side:
    side = {"folder": folder, "dtype": dtype, "tokens": turn, "row": row, "rows": options.rows}
    platforms = {"JAX_PLATFORMS": options.device, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return Side(f"jaxlm {dtype}", "_scoring_jaxlm.py", side, platforms)


def measure(options: argparse.Namespace, name: str) -> dict:
    """Returns the rates of all sides on one model."""
    shape = SHAPES[name]
    is_causal = shape.objective == "causal_lm"
    turn = options.turn or (16_384 if is_causal else 256)
    longest = options.longest or min(500 if is_causal else 64, shape.context - 2)
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(Path(folder), name, options.pieces, longest)
        row = options.row or (-(-(longest + 2) // 64) * 64 if is_causal else None)
        sides = [ours(folder, dtype, turn, row, options) for dtype in options.dtypes]
        for peer, _, batch in (one.partition(":") for one in options.peers if options.peer_python):
            # The harness has no masked models, and minicons reads all masked copies of its batch at once.
            for dtype in options.dtypes if is_causal or (peer, batch) == ("minicons", "1") else ():
                side = {"folder": folder, "dtype": dtype, "tokens": turn, "peer": peer, "batch": int(batch)}
                side |= {"objective": shape.objective}
                label = f"{peer} batch {batch} {dtype}"
                sides.append(Side(label, "_scoring_peers.py", side, None, options.peer_python))
        alternate(sides, options.rounds, 1)
        for side in sides:
            side.ask()
            side.close()
    if sides[0].failure:
        raise SystemExit(f"our side did not run: {sides[0].failure}")
    return {"model": name, "corpus": corpus, "sides": [described(side, sides[0], shape) for side in sides]}


def described(side: Side, first: Side, shape) -> dict:
    """Returns a side's rate, its share of its ceiling, and how far its scores are from the first side's."""
    found = {"name": side.name, "failure": side.failure, "turns": [turn._asdict() for turn in side.turns]}
    if not side.turns:
        return found
    facts = dict(side.facts)
    turns = zip(facts.pop("totals")[1:], first.facts["totals"][1:], strict=False)
    # The unmeasured turn is scored too, but its tokens are not among the turns that were kept.
    tokens = sum(turn.tokens for turn in side.turns)
    pairs = (pair for turn in turns for pair in zip(*turn, strict=True))
    apart = sum(abs(mine - theirs) for mine, theirs in pairs) / tokens
    found |= {"rate": side.rate(), "nats_a_token_from_ours": apart, "facts": facts}
    if "ceiling" in facts:
        cost = flops(shape, facts["read"], facts["asked"]) / facts["asked"]
        found["share_of_ceiling"] = side.rate() * cost / facts["ceiling"]
    return found


def show(result: dict) -> None:
    print(
        f"\n{result['model']}, {result['corpus']['tokens']:,} tokens in {result['corpus']['pieces']:,} pieces"
    )
    best = next(side["rate"] for side in result["sides"] if "rate" in side)
    for side in result["sides"]:
        if side["failure"]:
            print(f"  {side['name']:28s} did not run: {side['failure']}")
            continue
        share = side.get("share_of_ceiling")
        more = (
            f"{100 * share:.0f} % of the ceiling, padding {100 * side['facts']['padding_share']:.1f} %"
            if share
            else ""
        )
        print(
            f"  {side['name']:28s} {side['rate']:10,.1f} tokens/s, {best / side['rate']:6.2f}x to ours, "
            f"{side['nats_a_token_from_ours']:.1e} nats a token apart {more}"
        )
    print(f"  {FORMULA}")


def memory(options: argparse.Namespace) -> dict:
    """Returns our peak memory for a corpus, one ten times as large, and a vocabulary five times as large."""
    found = {}
    small = options.pieces // 10
    for name, number in (("gpt2-7m", small), ("gpt2-7m", options.pieces), ("gpt2-7m-250k", small)):
        with tempfile.TemporaryDirectory() as folder:
            corpus = prepare(Path(folder), name, number, options.longest or 500)
            side = ours(folder, "float32", corpus["tokens"], options.row or 512, options)
            side.work(1)
            facts = side.ask()
            side.close()
        own = facts["peak_bytes"] - facts["param_bytes"]
        found[f"{name}, {number} pieces"] = {"peak": facts["peak_bytes"], "without_parameters": own}
        print(
            f"{name}, {number} pieces: peak {facts['peak_bytes'] / 2**20:,.0f} MiB, "
            f"{own / 2**20:,.0f} MiB without parameters"
        )
    return found


if __name__ == "__main__":
    main()
