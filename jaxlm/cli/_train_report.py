"""The report of a finished run: its curve, its scores, a few probes, and commands to run next."""

import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path

from jaxlm import data, models, pretrained, reports, tokenizers, training
from jaxlm.cli._evaluation_text import AnyEvaluation, as_values, counts_in_words, show_scores
from jaxlm.cli._output import duration
from jaxlm.cli._probes import (
    Probe,
    bytecode_probes,
    fill_probes,
    held_out_probes,
    mask_token,
    probe_text,
    whole_frame,
)

LONGEST_EXAMPLE = 90


def report(
    finished: training.Finished,
    experiment: training.Experiment,
    *,
    first: int,
    as_json: bool,
    more: Callable[[Path], str] | None = None,
) -> None:
    """Draws curve.png into the run's folder and prints the report.

    Args:
      finished: the run's last event.
      experiment: of the run.
      first: the step at which this process began.
      as_json: print one JSON object instead of text.
      more: the `report` function of the experiment's file, if it has one: from the run's folder to a text.
    """
    folder, scores = Path(finished.folder), finished.evaluation
    draw_run_curve(folder, experiment, scores)
    if as_json:
        held_out = {} if scores is None else as_values(scores)
        state = {"folder": finished.folder, "step": finished.step, "seconds": finished.seconds}
        print(json.dumps(state | held_out))
        return
    resumed = f", on from step {first:,} to {finished.step:,}" if first else ""
    print(f"\ntrained {finished.step - first:,} steps in {duration(finished.seconds)}{resumed}\n")
    if scores is not None:
        print(
            f"{finished.split} split, held out: {counts_in_words(scores, experiment.resolved_objective.kind)}"
        )
        show_scores(scores, experiment)
    if more is not None:
        print(more(folder))
    loaded = pretrained.load(folder, kind=experiment.resolved_objective.kind)
    probes = _probes(loaded, experiment, folder)
    if probes:
        print("\nprobes\n")
        print("\n".join(fill_probes(loaded, probes)))
    print(f"curve: {folder / 'curve.png'}\n")
    commands = _commands(loaded, experiment, probes, folder)
    print("\n  ".join(["next:", *commands] if commands else []))


def draw_run_curve(folder: Path, experiment: training.Experiment, scores: AnyEvaluation | None) -> None:
    """Draws the run's curve, with the baseline if there is one.

    Args:
      folder: of the run.
      experiment: of the run.
      scores: of the test split; None: there are none.
    """
    baseline, loss = None, "loss (nats a token)"
    if isinstance(scores, training.Evaluation):
        baseline = scores.unigram_nll
    elif scores is not None:
        baseline = scores.baseline_loss
        loss = "loss (nats a record)" if scores.accuracy == scores.accuracy else "squared error (variances)"
    known = None if baseline is None or math.isnan(baseline) else baseline
    reports.draw_curve(folder / "metrics.jsonl", folder / "curve.png", baseline=known, loss=loss)


def _probes(loaded: pretrained.Loaded, experiment: training.Experiment, folder: Path) -> list[Probe]:
    if not loaded.kind.fill:
        return []
    if _is_bytecode(experiment):
        return list(bytecode_probes(loaded.text_tokenizer))
    own = tokenizers.TokenizerConfig(path=str(folder / "tokenizer.json"))
    split = data.prepare(experiment.data, own).caches["test"]
    return list(held_out_probes(loaded.text_tokenizer, split, whole_frame(loaded)))


def _is_bytecode(experiment: training.Experiment) -> bool:
    return not experiment.data.paths and experiment.data.corpus == "bytecode"


def _commands(
    loaded: pretrained.Loaded, experiment: training.Experiment, probes: list[Probe], folder: Path
) -> list[str]:
    tokenizer, name = loaded.text_tokenizer, shlex.quote(str(folder))
    # Other commands cannot open a model whose kind only the experiment's file defines.
    opens = loaded.kind.name in models.KINDS or loaded.kind.reference is not None
    commands = [f"evaluate {name}", f"info {name}"] if opens else []
    if loaded.kind.fill:
        texts = [probe_text(tokenizer, probe) for probe in probes]
        if _is_bytecode(experiment):
            texts.insert(0, "LOAD_FAST self [NEXT] LOAD_ATTR [MASK]")
        short = [text for text in texts if len(text) <= LONGEST_EXAMPLE]
        text = shlex.quote(short[0]) if short else f'"... {mask_token(tokenizer)} ..."'
        commands.insert(0, f"fill {name} {text}")
    if loaded.kind.causal and loaded.kind.next_token:
        corpus = " ".join(map(shlex.quote, experiment.data.paths[:1])) or "texts.txt"
        commands.insert(0, f"score {name} {corpus} --out scores")
        begun = "" if experiment.ends else ' "..."'
        commands.insert(0, f"generate {name}{begun} --temperature 0.8")
    if loaded.kind.sequence_outputs and opens:
        commands.insert(0, f'predict {name} "..."')
    if loaded.kind.encoder:
        sentinel = tokenizer.token(tokenizers.sentinel_ids(tokenizer)[0])
        commands.insert(0, f'generate {name} "... {sentinel} ..."')
    return [f"jaxlm {command}" for command in commands]
