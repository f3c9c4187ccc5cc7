"""`jaxlm info MODEL`: the contents of a model's folder."""

import dataclasses
import json
import math
import os
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import io, models, pretrained, tokenizers, training
from jaxlm.cli._models import CONFIG_FILE, WEIGHTS, model_folder
from jaxlm.cli._options import parse
from jaxlm.cli._output import LINE_WIDTH, show
from jaxlm.cli._runs import run_folder_of

HEADLESS = "a body without a head (hidden states; a new head: jaxlm train --init)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """Show the contents of a model's folder: parameters, config, tokenizer, steps trained, last scores.

    Attributes:
      model: a run folder that jaxlm train wrote, finished or not, a Hugging Face folder or name, or the
        folder of an ensemble
      json: print one JSON object
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    json: FlagCreatePairsOff[bool] = False


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Info, arguments, program="jaxlm info")
    folder = Path(options.model)
    members = [] if (folder / CONFIG_FILE).exists() else pretrained.member_folders(folder)
    if not (folder / "experiment.json").exists() and not members:
        folder = model_folder(options.model)
    described = describe_ensemble(folder, members) if members else describe_folder(folder)
    if options.json:
        print(json.dumps(described))
    else:
        _show(described)
    return 0


def describe_folder(folder: Path) -> dict[str, Any]:
    """Returns the contents of a folder as JSON values; what it does not have is None or empty.

    Args:
      folder: of a run, finished or not, or of a model.
    """
    is_unfinished = (folder / "experiment.json").exists() and not (folder / WEIGHTS).exists()
    model = None if is_unfinished else pretrained.inspect(folder)
    return {
        "folder": str(folder),
        "family": model and model.family,
        "parameters": parameters_by_part(model.shapes) if model else {},
        "stored": list(model.stored) if model else [],
        "left_out": list(model.left_out) if model else [],
        "config": model and _config(model),
        "tokenizer": _tokenizer(folder),
        "training": _training(folder),
        "checkpoint": _checkpoint(folder),
        "metrics": {line["split"]: line for line in training.read_metrics(folder) if "split" in line},
        "files": {
            path.name: sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
            for path in sorted(folder.iterdir())
        },
    }


def describe_ensemble(folder: Path, members: Sequence[Path]) -> dict[str, Any]:
    """Returns the contents of an ensemble's folder: its members' folders, and the contents of the first.

    Args:
      folder: of the ensemble.
      members: the members' folders.
    """
    return describe_folder(members[0]) | {
        "folder": str(folder),
        "members": [str(member) for member in members],
    }


def parameters_by_part(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Returns the number of parameters of each part of a model, that of all blocks together.

    Args:
      shapes: of the parameters, by name.

    Example:
      >>> from jaxlm.cli._info import parameters_by_part
      >>> parameters_by_part({"body.block_00.mlp.up.kernel": (2, 3), "body.block_01.mlp.up.kernel": (2, 3)})
      {'body.blocks': 12}
    """
    parts: Counter[str] = Counter()
    for name, shape in shapes.items():
        parts[re.sub(r"_\d+$", "s", ".".join(name.split(".")[:2]))] += math.prod(shape)
    return dict(parts)


def _config(found: pretrained.ModelSummary) -> dict[str, Any]:
    return {"objective": found.kind.name, "model": models.to_dict(found.config)} | found.extra


def _tokenizer(folder: Path) -> dict[str, Any] | None:
    try:
        tokenizer = tokenizers.load_tokenizer(folder)
    except FileNotFoundError:
        return None
    return {
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "specials": {role: id for role, id in tokenizer.specials._asdict().items() if id is not None},
        "fingerprint": tokenizer.fingerprint,
    }


def _training(folder: Path) -> dict[str, Any] | None:
    if not (folder / "experiment.json").exists():
        return None
    experiment = training.load_experiment(folder)
    checkpoints = training.checkpoints(folder / "checkpoints")
    return {
        "steps": experiment.run.steps,
        "step": max((checkpoint.step for checkpoint in checkpoints), default=0),
        "finished": (folder / WEIGHTS).exists(),
        "checkpoints": [
            {"step": checkpoint.step, "validation_loss": _number(checkpoint.meta.get("validation_loss"))}
            for checkpoint in checkpoints
        ],
        "experiment": experiment.to_dict(),
    }


def _number(value: Any) -> float | None:
    """Returns a loss as it is shown; None if the file has no number there."""
    return float(value) if type(value) in (int, float) and abs(value) < 2**63 else None


def _checkpoint(folder: Path) -> dict[str, Any] | None:
    """Returns the run of a checkpoint, its step and its validation loss; None for any other folder."""
    run_folder = run_folder_of(folder)
    if run_folder is None or run_folder == Path(os.path.abspath(folder)):
        return None
    name = os.path.basename(os.path.abspath(folder))
    for checkpoint in training.checkpoints(run_folder / "checkpoints"):
        if checkpoint.folder.name == name:
            loss = _number(checkpoint.meta.get("validation_loss"))
            return {"run": str(folder.parent.parent), "step": int(name), "validation_loss": loss}
    return None


def _show(info: dict[str, Any]) -> None:
    kind = [f"{info['family']}, a Hugging Face folder"] if info["family"] else []
    kind += [HEADLESS] if info["config"] and info["config"]["objective"] == models.BODY_ALONE.name else []
    print(info["folder"] + (f": {', '.join(kind)}" if kind else ""))
    if info.get("members"):
        print(f"an ensemble of {len(info['members'])} members, which jaxlm score reads together; of each:")
    if info["training"]:
        _show_training(info["folder"], info["training"])
    if info["checkpoint"]:
        run_folder, step, loss = info["checkpoint"].values()
        held_out = "" if loss is None else f", held-out loss {loss:.3f} nats"
        print(f"a checkpoint of {run_folder}, at step {step:,}{held_out}")
    if info["tokenizer"]:
        print(f"tokenizer: {info['tokenizer']['kind']}, {_ids(info)}")
    if info["config"]:
        # The kind of a record is shown as the value of the field that holds the record.
        values = io.flat_fields(info["config"]["model"])
        shown = {name.removesuffix(".kind"): value for name, value in values.items() if value is not None}
        _print_filled(f"model: {' '.join(f'{name}={value}' for name, value in shown.items())}")
    for split, line in info["metrics"].items():
        print(f"{split}: {_scores(line)} at step {line['step']}")
    if info["stored"]:
        print(f"stored as {', '.join(info['stored'])}")
    if info["left_out"]:
        _print_filled(f"not read, as no part of the model: {', '.join(info['left_out'])}")
    total = sum(info["parameters"].values())
    rows = [*info["parameters"].items(), *([("total", total)] if total else [])]
    _show_rows(("part", "parameters"), [(name, f"{count:,}") for name, count in rows])
    _show_rows(("file", "bytes"), [(name, f"{size:,}") for name, size in info["files"].items()])


def _ids(info: dict[str, Any]) -> str:
    """Returns how many ids a tokenizer has, and how many rows the embedding has, if those are more."""
    ids = info["tokenizer"]["vocab_size"]
    rows = info["config"]["model"]["vocab_size"] if info["config"] else None
    return f"{ids:,} ids" + (f" (the embedding has {rows:,} rows)" if rows and rows > ids else "")


def _show_training(folder: str, state: dict[str, Any]) -> None:
    if state["finished"]:
        print(f"finished: {state['steps']:,} steps")
    else:
        print(f"at step {state['step']:,} of {state['steps']:,}; go on: jaxlm train --resume --out {folder}")
    losses = {line["step"]: line["validation_loss"] for line in state["checkpoints"]}
    steps = [f"{step:,}" + (f" (loss {loss:.3f})" if loss else "") for step, loss in losses.items()]
    _print_filled(f"checkpoints: {', '.join(steps) or 'none'}")


def _print_filled(text: str) -> None:
    """Prints a text in lines of `LINE_WIDTH` that are broken between words alone."""
    print(
        textwrap.fill(
            text, LINE_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    )


def _scores(line: dict[str, Any]) -> str:
    shown = {
        "loss": ("loss", "{:.3f}"),
        "perplexity": ("perplexity", "{:,.2f}"),
        "accuracy": ("accuracy", "{:.1%}"),
        "bits_per_byte": ("bits per byte", "{:.3f}"),
    }
    return ", ".join(
        f"{name} {form.format(line[key])}" for key, (name, form) in shown.items() if line.get(key) is not None
    )


def _show_rows(headings: tuple[str, str], rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD)
    table.add_column(headings[0])
    table.add_column(headings[1], justify="right")
    for row in rows:
        table.add_row(*row)
    show(table)
