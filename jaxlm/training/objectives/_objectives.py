"""The objectives that jaxlm comes with, by name."""

import os

from jaxlm import io, models, pretrained
from jaxlm.errors import ConfigError
from jaxlm.training.losses import label_summary, token_plan
from jaxlm.training.objectives._causal import prepare_next
from jaxlm.training.objectives._labels import plan_classes, plan_values, prepare_labels
from jaxlm.training.objectives._masked import plan_masked, prepare_masked
from jaxlm.training.objectives._objective import READ_FIELDS, Objective
from jaxlm.training.objectives._sequence import class_evaluation, class_loss, value_loss
from jaxlm.training.objectives._span_corruption import check_spans, plan_spans, prepare_spans

MASKED_TOKENS = Objective(
    name=models.MASKED_LM.name,
    kind=models.MASKED_LM,
    plan=plan_masked,
    prepare=prepare_masked,
    noise_rate=0.15,
    reads=READ_FIELDS - {"spans"},
)
NEXT_TOKENS = Objective(
    name=models.CAUSAL_LM.name,
    kind=models.CAUSAL_LM,
    plan=token_plan,
    prepare=prepare_next,
    reads=READ_FIELDS - {"spans"},
)
REMOVED_SPANS = Objective(
    name=models.SEQ2SEQ_LM.name,
    kind=models.SEQ2SEQ_LM,
    plan=plan_spans,
    prepare=prepare_spans,
    check=check_spans,
    reads=frozenset({"spans", "label_smoothing", "z_loss"}),
)
LABEL_CLASSES = Objective(
    name=models.CLASSIFICATION.name,
    kind=models.CLASSIFICATION,
    plan=plan_classes,
    prepare=prepare_labels,
    loss=class_loss,
    evaluation=class_evaluation,
    summary=label_summary,
    labels="classes",
    reads=frozenset({"input_noise", "label_smoothing"}),
)
LABEL_VALUES = Objective(
    name=models.REGRESSION.name,
    kind=models.REGRESSION,
    plan=plan_values,
    prepare=prepare_labels,
    loss=value_loss,
    summary=label_summary,
    labels="numbers",
    reads=frozenset({"input_noise"}),
)
OBJECTIVES = {
    objective.name: objective
    for objective in (MASKED_TOKENS, NEXT_TOKENS, REMOVED_SPANS, LABEL_CLASSES, LABEL_VALUES)
}
"""The objectives that jaxlm comes with, by the name that experiment.json has for them.

`masked_lm` predicts the original tokens at corrupted positions, `causal_lm` each next token, `seq2seq_lm` the
spans removed from a text, `classification` the class of a record and `regression` its number.
"""


def as_objective(objective: Objective | str) -> Objective:
    """Returns an objective as a record, from its name or from the record itself.

    Args:
      objective: an `Objective`, which is returned as it is, or a name in `OBJECTIVES`, such as "causal_lm".

    Raises:
      ConfigError: if no objective has this name, or the given record has the name of a different one in
        `OBJECTIVES`.

    Example:
      >>> from jaxlm.training import as_objective
      >>> as_objective("causal_lm").kind.next_token
      True
    """
    if not isinstance(objective, Objective):
        if not isinstance(objective, str) or objective not in OBJECTIVES:
            raise ConfigError(f"objective is one of {', '.join(OBJECTIVES)}: got {objective!r}")
        return OBJECTIVES[objective]
    if OBJECTIVES.get(objective.name, objective) != objective:
        raise ConfigError(f"objective {objective.name!r} is jaxlm's own: give yours another name")
    return objective


def named_objective(
    values: object, given: Objective | None = None, folder: str | os.PathLike[str] | None = None
) -> Objective:
    """Returns the objective that a file names, by its name or as `{"name": ..., "reference": ...}`.

    Args:
      values: the file's entry.
      given: the objective, where it is not in `OBJECTIVES` and has no reference to be imported from.
      folder: of the file, which decides what may be imported (see `pretrained.import_named`); None: the
        caller trusts the reference.

    Raises:
      ConfigError: if the name is unknown, or the objective at the reference has another name.

    Example:
      >>> from jaxlm.training.objectives import named_objective
      >>> named_objective({"name": "flips", "reference": None})
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: objective 'flips' is none of masked_lm, ...: name the experiment's file, ...
    """
    fields = values if isinstance(values, dict) else {"name": values}
    name, reference = fields.get("name"), fields.get("reference")
    if given is not None and given.name == name:
        return given
    if isinstance(name, str) and name in OBJECTIVES:
        return OBJECTIVES[name]
    if not isinstance(reference, str):
        raise ConfigError(
            f"objective {name!r} is none of {', '.join(OBJECTIVES)}: name the experiment's file, which "
            "defines it, or give the Objective a reference, module:NAME, when the run begins"
        )
    if folder is None:
        objective = as_objective(io.import_reference(reference, Objective))
    else:
        objective = as_objective(pretrained.import_named(reference, Objective, folder))
    if objective.name != name:
        raise ConfigError(f"objective {name!r} is not at {reference!r}: that one is {objective.name!r}")
    return objective


def objective_of(kind: models.ModelKind) -> Objective | None:
    """Returns the objective of jaxlm that trains a kind of model; None if no objective trains this kind.

    `OBJECTIVES` has one objective for each of masked and causal LMs, encoder-decoders, classifiers and
    regressions, and none for a body without a head, for joint models or for a kind of your own."""
    return next((objective for objective in OBJECTIVES.values() if objective.kind == kind), None)
