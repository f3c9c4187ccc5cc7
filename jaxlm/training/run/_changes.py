"""What of an experiment may change where its run goes on."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io
from jaxlm.training.run._experiment import Experiment
from jaxlm.training.run._metrics import append_line, read_metrics

# How often the run looks, and what it keeps: they change no parameter.
INTERVALS = (
    "log_every",
    "eval_every",
    "eval_batches",
    "save_every",
    "keep_last",
    "keep_best",
    "max_bad_steps",
)
# From the step at which the run goes on, the learning rate is that of a run of the new settings.
SCHEDULE = ("learning_rate", "decay", "final_fraction", "weight_decay")
# Where the same content lies: a corpus is compared by its fingerprint, a model by its weights.
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
    """A field of an experiment that is another where its run goes on.

    Attributes:
      field: its dotted name, such as "run.steps".
      before: what the run was begun, or last gone on, with.
      after: what it goes on with.
    """

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.before!r} and {self.after!r}"


def find_changes(before: Experiment, after: Experiment) -> tuple[list[Change], list[Change]]:
    """Returns the fields in which two experiments differ: those that a run may go on with, and the others.

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
    """Appends a line of metrics.jsonl for each change: the step that it holds from, the field, both values.

    A line that is there already, since a start before was cut off here, is not written again.
    """
    known = read_metrics(folder)
    for change in changes:
        line = {"step": step, "changed": change.field, "before": change.before, "after": change.after}
        if line not in known:
            append_line(folder, line)
