"""Nanoseconds a token of every process of corruption, beside the collator of `transformers`, by turns.

    python experiments/benchmarks/corruption_throughput.py --out throughput.json

Ours takes a batch of NumPy arrays to the device and corrupts it there; the collator takes Python lists, as
its users give it, and masks with Bernoulli counts. On an accelerator, ours runs there.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from _corruption_side import VARIANTS
from _machine import describe
from _sides import Side, alternate

# What is asked of ours on a CPU: so many times as fast as the collator.
AT_LEAST = {"bernoulli": 20, "exact": 5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--processes", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    options = {"batch": given.batch, "length": given.length}
    names = ["collator", *given.processes]
    sides = [Side(name, "_corruption_side.py", {**options, "side": name}) for name in names]
    alternate(sides, given.rounds, given.steps)
    for side in sides:
        side.close()
    measured = table(sides)
    print(text(measured))
    if given.out:
        facts = {"machine": describe(), **options, "rounds": given.rounds, "processes": measured}
        given.out.write_text(json.dumps(facts, indent=2) + "\n")


def table(sides: list[Side]) -> list[dict]:
    """Returns a record a side: nanoseconds a token (the median turn), and the median ratio within a round."""
    collator = sides[0]
    return [
        {
            "process": side.name,
            "device": side.facts.get("device"),
            "failure": side.failure,
            "ns_a_token": 1e9 / side.rate() if side.turns else None,
            "times_the_collator": statistics.median(
                theirs.seconds / ours.seconds for theirs, ours in zip(collator.turns, side.turns, strict=True)
            )
            if len(side.turns) == len(collator.turns) > 0
            else None,
            "asked": AT_LEAST.get(side.name),
        }
        for side in sides
    ]


def text(measured: list[dict]) -> str:
    """Returns the table for people."""
    lines = [f"{'process':22}{'ns a token':>12}{'x collator':>12}{'asked':>8}  device"]
    for row in measured:
        if row["failure"] or row["ns_a_token"] is None:
            lines.append(f"{row['process']:22}{row['failure']}")
            continue
        ratio = "" if row["times_the_collator"] is None else f"{row['times_the_collator']:.1f}"
        asked = "" if row["asked"] is None else str(row["asked"])
        lines.append(f"{row['process']:22}{row['ns_a_token']:12.1f}{ratio:>12}{asked:>8}  {row['device']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
