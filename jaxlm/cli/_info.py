"""`jaxlm info MODEL`: what a model's folder holds."""

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
from jaxlm.cli._output import show
from jaxlm.cli._runs import run_folder_of

HEADLESS = "a body without a head (hidden states; a new head: jaxlm train --init)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Info:
    """Show what a model's folder holds: parameters, config, tokenizer, how far training came, last scores.

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
    found = describe_ensemble(folder, members) if members else describe_folder(folder)
    if options.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def describe_folder(folder: Path) -> dict[str, Any]:
    """Returns what a folder holds, as JSON values; what it does not hold is None or empty.

    Args:
      folder: of a run, finished or not, or of a model.
    """
    is_begun = (folder / "experiment.json").exists() and not (folder / WEIGHTS).exists()
    found = None if is_begun else pretrained.inspect(folder)
    return {
        "folder": str(folder),
        "family": found and found.family,
        "parameters": parameters_by_part(found.shapes) if found else {},
        "stored": list(found.stored) if found else [],
        "left_out": list(found.left_out) if found else [],
        "config": found and _config(found),
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
    """Returns what an ensemble's folder holds: its members' folders, and what the first of them holds.

    Args:
      folder: of the ensemble.
      members: one a member.
    """
    return describe_folder(members[0]) | {
        "folder": str(folder),
        "members": [str(member) for member in members],
    }


def parameters_by_part(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Returns the number of parameters of each part of a model; the blocks together.

    Example:
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
        tokenizer = tokenizers.load(folder)
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
    kept = training.checkpoints(folder / "checkpoints")
    return {
        "steps": experiment.run.steps,
        "step": max((one.step for one in kept), default=0),
        "finished": (folder / WEIGHTS).exists(),
        "checkpoints": [
            {"step": one.step, "validation_loss": _number(one.meta.get("validation_loss"))} for one in kept
        ],
        "experiment": experiment.to_dict(),
    }


def _number(value: Any) -> float | None:
    """A loss as it is shown; None where a file has something else in its place."""
    return float(value) if type(value) in (int, float) and abs(value) < 2**63 else None


def _checkpoint(folder: Path) -> dict[str, Any] | None:
    """Of which run a checkpoint is, at which step, and its loss on the validation split."""
    run_folder = run_folder_of(folder)
    if run_folder is None or run_folder == Path(os.path.abspath(folder)):
        return None
    name = os.path.basename(os.path.abspath(folder))
    found = [one for one in training.checkpoints(run_folder / "checkpoints") if one.folder.name == name]
    losses = [_number(one.meta.get("validation_loss")) for one in found]
    return (
        {"run": str(folder.parent.parent), "step": int(name), "validation_loss": losses[0]} if found else None
    )


def _show(found: dict[str, Any]) -> None:
    kind = [f"{found['family']}, a Hugging Face folder"] if found["family"] else []
    kind += [HEADLESS] if found["config"] and found["config"]["objective"] == models.BODY_ALONE.name else []
    print(found["folder"] + (f": {', '.join(kind)}" if kind else ""))
    if found.get("members"):
        print(f"an ensemble of {len(found['members'])} members, which jaxlm score reads together; of each:")
    if found["training"]:
        _show_training(found["folder"], found["training"])
    if found["checkpoint"]:
        run_folder, step, loss = found["checkpoint"].values()
        told = "" if loss is None else f", held-out loss {loss:.3f} nats"
        print(f"a checkpoint of {run_folder}, at step {step:,}{told}")
    if found["tokenizer"]:
        print(f"tokenizer: {found['tokenizer']['kind']}, {_ids(found)}")
    if found["config"]:
        # A record's kind is the value of the field that holds it.
        values = io.flat_fields(found["config"]["model"])
        told = {name.removesuffix(".kind"): value for name, value in values.items() if value is not None}
        fields = (f"{name}={value}" for name, value in told.items())
        print(textwrap.fill(f"model: {' '.join(fields)}", width=100, subsequent_indent="  "))
    for split, line in found["metrics"].items():
        print(f"{split}: {_scores(line)} at step {line['step']}")
    if found["stored"]:
        print(f"stored as {', '.join(found['stored'])}")
    if found["left_out"]:
        print(f"left out, as no part of the model: {', '.join(found['left_out'])}")
    total = sum(found["parameters"].values())
    rows = [*found["parameters"].items(), *([("total", total)] if total else [])]
    _show_rows(("part", "parameters"), [(name, f"{count:,}") for name, count in rows])
    _show_rows(("file", "bytes"), [(name, f"{size:,}") for name, size in found["files"].items()])


def _ids(found: dict[str, Any]) -> str:
    """How many ids a tokenizer has, and how many rows stand for none of them, as in padded embeddings."""
    ids = found["tokenizer"]["vocab_size"]
    rows = found["config"]["model"]["vocab_size"] if found["config"] else None
    return f"{ids:,} ids" + (f" (the embedding has {rows:,} rows)" if rows and rows > ids else "")


def _show_training(folder: str, state: dict[str, Any]) -> None:
    if state["finished"]:
        print(f"finished: {state['steps']:,} steps")
    else:
        print(f"at step {state['step']:,} of {state['steps']:,}; go on: jaxlm train --resume --out {folder}")
    kept = ", ".join(
        f"{one['step']:,}" + (f" (loss {one['validation_loss']:.3f})" if one["validation_loss"] else "")
        for one in state["checkpoints"]
    )
    print(f"checkpoints: {kept or 'none'}")


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
