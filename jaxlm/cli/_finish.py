"""What a finished run leaves and says: the curve, the scores, a few probes, and what to type next."""

import json
import shlex
from pathlib import Path

from jaxlm import data, pretrained, reports, tokenizers, training
from jaxlm.cli._evaluate import finite
from jaxlm.cli._output import duration, show
from jaxlm.cli._probes import Probe, as_text, bytecode_probes, fill_probes, held_out_probes

LONGEST_EXAMPLE = 90


def report(
    finished: training.Finished, experiment: training.Experiment, *, first: int, as_json: bool
) -> None:
    """Draws curve.png into the run's folder and prints what the run has come to.

    Args:
        finished: the run's last event.
        experiment: what it computed.
        first: the step at which this process went on with it.
        as_json: print one JSON object instead of text.
    """
    folder, scores = Path(finished.folder), finished.evaluation
    reports.draw_curve(
        folder / "metrics.jsonl",
        folder / "curve.png",
        baseline=None if scores is None else scores.unigram_nll,
    )
    if as_json:
        held_out = {} if scores is None else finite(scores._asdict())
        print(
            json.dumps(
                {"folder": finished.folder, "step": finished.step, "seconds": finished.seconds, **held_out}
            )
        )
        return
    went_on = f", on from step {first:,} to {finished.step:,}" if first else ""
    print(f"\ntrained {finished.step - first:,} steps in {duration(finished.seconds)}{went_on}\n")
    if scores is not None:
        counts = f"{scores.masked:,} masked of {scores.tokens:,} tokens, fixed masks"
        print(f"{finished.split} split, held out: {counts}")
        show(reports.evaluation_table(scores))
    loaded = pretrained.load(folder)
    probes = _probes(loaded.tokenizer, experiment, folder)
    if probes:
        print("\nprobes\n")
        print("\n".join(fill_probes(loaded, probes)))
    print(f"curve: {folder / 'curve.png'}\n")
    print("next:")
    for command in _commands(loaded.tokenizer, probes, folder):
        print(f"  {command}")


def _probes(tokenizer: tokenizers.Tokenizer, experiment: training.Experiment, folder: Path) -> list[Probe]:
    if not experiment.data.paths:
        return list(bytecode_probes(tokenizer))
    kept = tokenizers.TokenizerConfig(path=str(folder / "tokenizer.json"))
    return list(held_out_probes(tokenizer, data.prepare(experiment.data, kept).caches["test"]))


def _commands(tokenizer: tokenizers.Tokenizer, probes: list[Probe], folder: Path) -> list[str]:
    texts = [as_text(tokenizer, probe) for probe in probes]
    if tokenizer.kind == "instructions":
        texts.insert(0, "LOAD_FAST self [NEXT] LOAD_ATTR [MASK]")
    short = [text for text in texts if len(text) <= LONGEST_EXAMPLE]
    example = shlex.quote(short[0]) if short else f'"... {tokenizer.token(tokenizer.specials.mask)} ..."'
    name = shlex.quote(str(folder))
    return [f"jaxlm {rest}" for rest in (f"fill {name} {example}", f"evaluate {name}", f"info {name}")]
