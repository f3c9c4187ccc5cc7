"""Trains contenders with several seeds, scores them on held-out data, and tells mean and spread.

Made to be left alone: a finished run is read, one that was cut off goes on, and the table is written anew
after every run.
"""

import argparse
import dataclasses
import json
import signal
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from jaxlm import pretrained, training
from jaxlm.devices import enable_compilation_cache

Change = Callable[[training.Experiment], training.Experiment]
Score = Callable[[pretrained.Loaded, training.Experiment], dict[str, float]]
SCORES = "scores.json"


def arguments(description: str, name: str, given: list[str] | None = None) -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", nargs="+", default=["*.fasta"], help="FASTA files, folders or globs")
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--steps", type=int, help="of each run; the config's unless given")
    parser.add_argument("--only", nargs="+", help="these contenders only")
    return parser.parse_args(given)


def compare(
    base: training.Experiment, contenders: Mapping[str, Change], score: Score, options: argparse.Namespace
) -> str:
    """Trains and scores every contender with every seed; returns the table, which is in `table.md` too.

    Args:
        base: what the contenders have in common; its paths, steps and seed are set here.
        contenders: name to what it changes.
        score: (model, experiment) to named scores, lower or higher better as the name says.
        options: from `arguments`.
    """
    enable_compilation_cache()
    chosen = {name: contenders[name] for name in options.only or contenders}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    # Seed by seed, so that a table of all contenders is there early.
    for seed in range(options.seeds):
        for name, change in chosen.items():
            experiment = seeded(change(base), options, seed)
            found[name].append(scored(experiment, options.out / f"{name}-seed{seed}", score))
            write(found, options.out)
    return table(found)


def seeded(experiment: training.Experiment, options: argparse.Namespace, seed: int) -> training.Experiment:
    """Returns the experiment on the data asked for, with a seed, and steps if they were given."""
    run = dataclasses.replace(experiment.run, seed=seed, steps=options.steps or experiment.run.steps)
    paths = tuple(str(Path(path).absolute()) for path in options.data)
    return dataclasses.replace(experiment, run=run, data=dataclasses.replace(experiment.data, paths=paths))


def scored(experiment: training.Experiment, folder: Path, score: Score) -> dict[str, float]:
    """Returns the scores of a run, trained or gone on with unless they are there already."""
    if (folder / SCORES).exists():
        if training.load_experiment(folder) != experiment:
            sys.exit(f"{folder} holds another experiment's run: give another --out")
        return json.loads((folder / SCORES).read_text())
    seconds = trained(experiment, folder)
    loaded = pretrained.load(folder)
    scores = score(loaded, experiment) | {"seconds": seconds}
    (folder / SCORES).write_text(json.dumps(scores, indent=1) + "\n")
    return scores


def trained(experiment: training.Experiment, folder: Path) -> float:
    """Trains to the end, telling evaluations on stderr; returns the seconds that it took."""
    for event in training.train(experiment, folder, resume=True):
        match event:
            case training.Evaluated():
                said = f"step {event.step} {event.split} {event.evaluation.loss:.4f}"
                print(f"{folder.name}: {said}", file=sys.stderr, flush=True)
            case training.Warned():
                print(f"{folder.name}: {event.message}", file=sys.stderr, flush=True)
            case training.Stopped():
                name = signal.Signals(event.signal).name
                print(f"stopped by {name}: the same command goes on", file=sys.stderr)
                sys.exit(128 + event.signal)
            case training.Finished():
                return event.seconds
    raise RuntimeError(f"{folder}: the run ended without an end")


def table(found: Mapping[str, list[dict[str, float]]]) -> str:
    """Returns mean ± standard deviation over the seeds of each score, and the same of the difference to the
    first contender, seed by seed.
    """
    (first, runs), *_ = found.items()
    names = [name for name in runs[0] if name != "seconds"]
    head = [f"| | {' | '.join(names)} | seconds |", "|---" * (len(names) + 2) + "|"]
    lines = [
        f"| {contender} | {' | '.join(_spread([one[name] for one in scores]) for name in names)} | "
        f"{statistics.mean(one['seconds'] for one in scores):.0f} |"
        for contender, scores in found.items()
        if scores
    ]
    differences = [
        f"| {contender} | "
        + " | ".join(
            _spread([one[name] - other[name] for one, other in zip(scores, runs, strict=False)], sign="+")
            for name in names
        )
        + " |"
        for contender, scores in found.items()
        if scores and contender != first
    ]
    if not differences:
        return "\n".join([*head, *lines])
    again = [f"| minus {first}, same seed | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*head, *lines, "", *again, *differences])


def write(found: Mapping[str, list[dict[str, float]]], folder: Path) -> None:
    """Leaves the table as far as it is known, and every number in it."""
    (folder / "table.md").write_text(table(found) + "\n")
    (folder / "results.json").write_text(json.dumps(found, indent=1) + "\n")


def _spread(values: list[float], sign: str = "") -> str:
    mean = f"{statistics.mean(values):{sign}.4f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.4f}"
