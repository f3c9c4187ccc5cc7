"""Which fields of an experiment may change when its run is resumed."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io
from jaxlm.training.run._experiment import Experiment
from jaxlm.training.run._metrics import append_line, read_metrics

# Intervals, and which checkpoints are kept: they change no parameter.
INTERVALS = (
    "log_every",
    "eval_every",
    "eval_batches",
    "save_every",
    "keep_last",
    "keep_best",
    "max_bad_steps",
)
# From the step of the resumption on, the learning rate is that of a run with the new settings.
SCHEDULE = ("learning_rate", "decay", "cooldown", "final_fraction", "weight_decay")
# Paths, whose content must be the same: a corpus is compared by its fingerprint, a model by its weights.
PLACES = ("data.paths", "run.init", "tokenizer.path")
CHANGEABLE = frozenset(
    [
        "run.steps",
        *(f"run.{name}" for name in INTERVALS),
        *(f"optimizer.{name}" for name in SCHEDULE),
        *PLACES,
    ]
)


class Change(NamedTuple):
    """A field whose value differs when a run is resumed.

    Attributes:
      field: its dotted name, such as "run.steps".
      before: its value when the run was started or last resumed.
      after: its value now.
    """

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.before!r} and {self.after!r}"


def find_changes(before: Experiment, after: Experiment) -> tuple[list[Change], list[Change]]:
    """Returns the fields in which two experiments differ: those that may change, and those that must not.

    Args:
      before: the experiment of the run folder.
      after: the experiment that the run is resumed with.

    Example:
      >>> from jaxlm.training import Experiment
      >>> from jaxlm.training.run._changes import find_changes
      >>> from jaxlm.training.run._run_config import RunConfig
      >>> first, longer = (Experiment(run=RunConfig(steps=9 + seed, seed=seed)) for seed in (0, 1))
      >>> allowed, refused = find_changes(first, longer)
      >>> [change.field for change in allowed], [str(change) for change in refused]
      (['run.steps'], ['run.seed: 0 and 1'])
    """
    old, new = io.flat_fields(before.to_dict()), io.flat_fields(after.to_dict())
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    changes = [Change(name, old.get(name), new.get(name)) for name in names]
    allowed = [change for change in changes if change.field in CHANGEABLE]
    return allowed, [change for change in changes if change.field not in CHANGEABLE]


def write_changes(folder: Path, step: int, changes: list[Change]) -> None:
    """Appends a line to metrics.jsonl for each change: the step from which it holds, the field, both values.

    A line that an earlier, interrupted resumption wrote is not written again.

    Args:
      folder: of the run.
      step: batches consumed so far.
      changes: the fields that changed.
    """
    known = read_metrics(folder)
    for change in changes:
        line = {"step": step, "changed": change.field, "before": change.before, "after": change.after}
        if line not in known:
            append_line(folder, line)
