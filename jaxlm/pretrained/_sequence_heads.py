"""The head of a family's class for sequence classification: what it computes, and its tensors' names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxlm import models
from jaxlm.errors import ModelError
from jaxlm.pretrained._activations import ACTIVATIONS
from jaxlm.pretrained._attributes import raise_unsupported

MULTI_LABEL_PROBLEM, SINGLE_LABEL_PROBLEM = "multi_label_classification", "single_label_classification"
REGRESSION_PROBLEM = models.REGRESSION.name
PROBLEMS = (None, REGRESSION_PROBLEM, SINGLE_LABEL_PROBLEM, MULTI_LABEL_PROBLEM)
# The number of labels that transformers takes if a file says none.
USUAL_LABELS = 2
# Fields of a head that every class can have, or that an export multiplies into the last linear map.
FREE_FIELDS = ("num_outputs", "dropout", "center", "scale")

HeadFields = dict[str, Any]


class SequenceHeadTable(NamedTuple):
    """The head of a family's class for sequence classification.

    Attributes:
      architecture: the class of transformers.
      tensors: by module of ours, the module of the file, as in `Family.tensors`.
      beginnings: beginnings of the names of the head's tensors.
      read: makes the fields of `HeadConfig` of a config.json, all but the number of outputs.
      write: makes the attributes of config.json of a head; undoes `read`.
    """

    architecture: str
    tensors: Mapping[str, str]
    beginnings: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], HeadFields]
    write: Callable[[models.HeadConfig], dict[str, Any]]


class Labels(NamedTuple):
    """What a config.json says of the labels of a model of whole sequences.

    Attributes:
      kind: `models.CLASSIFICATION` or `models.REGRESSION`.
      number: how many outputs the model has.
      extra: entries for `Loaded.extra`: the names of the classes, and whether they do not exclude each other.
    """

    kind: models.ModelKind
    number: int
    extra: dict[str, Any]


def pooler_head(dropout: Any = None) -> HeadFields:
    """Returns the fields of a dense layer with tanh on the first token, as BERT, RoBERTa and ESM have it.

    Args:
      dropout: the rate.
    """
    return {
        "pooling": "first",
        "hidden_layers": 1,
        "hidden_activation": "tanh",
        "pooled_norm": False,
        "dropout": 0.0 if dropout is None else dropout,
    }


def read_pooler(values: Mapping[str, Any]) -> HeadFields:
    """Returns the fields of the head of BERT, RoBERTa and ESM; its own dropout goes before the body's."""
    own = values.get("classifier_dropout")
    return pooler_head(values.get("hidden_dropout_prob", 0.1) if own is None else own)


def write_dropout(head: models.HeadConfig) -> dict[str, Any]:
    """Returns the attribute for the dropout of a head."""
    return {"classifier_dropout": head.dropout}


def read_last_token(values: Mapping[str, Any]) -> HeadFields:
    """Returns the fields of a linear map without a bias on the last token, as decoders have it."""
    del values
    return {"pooling": "last", "pooled_norm": False, "output_bias": False}


def write_nothing(head: models.HeadConfig) -> dict[str, Any]:
    """Returns no attributes: the classes of decoders have no dropout in their head."""
    del head
    return {}


def last_token_table(architecture: str) -> SequenceHeadTable:
    """Returns the table of a decoder.

    Args:
      architecture: the class of transformers.
    """
    return SequenceHeadTable(
        architecture, {"head.output": "score"}, ("score.",), read_last_token, write_nothing
    )


def read_distilbert_head(values: Mapping[str, Any]) -> HeadFields:
    """Returns the fields of a dense layer with ReLU on the first token."""
    return {**pooler_head(values.get("seq_classif_dropout", 0.2)), "hidden_activation": "relu"}


def write_distilbert_head(head: models.HeadConfig) -> dict[str, Any]:
    """Returns the attribute for the dropout; undoes `read_distilbert_head`."""
    return {"seq_classif_dropout": head.dropout}


def read_modernbert_head(values: Mapping[str, Any]) -> HeadFields:
    """Returns the fields of a dense layer and a norm on the first token or the mean.

    Raises:
      UnsupportedError: the pooling is another one.
    """
    pooling, activation = values.get("classifier_pooling", "cls"), values.get("classifier_activation", "gelu")
    if pooling not in MODERNBERT_POOLINGS:
        raise_unsupported([f"classifier_pooling={pooling!r} (known are {', '.join(MODERNBERT_POOLINGS)})"])
    return {
        **pooler_head(values.get("classifier_dropout", 0.0)),
        "pooling": MODERNBERT_POOLINGS[pooling],
        "hidden_activation": ACTIVATIONS.get(activation, activation),
        "hidden_norm": True,
    }


def write_modernbert_head(head: models.HeadConfig) -> dict[str, Any]:
    """Returns the attributes for a head; undoes `read_modernbert_head`."""
    poolings = {ours: theirs for theirs, ours in MODERNBERT_POOLINGS.items()}
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    return {
        "classifier_pooling": poolings.get(head.pooling, "cls"),
        "classifier_activation": names.get(head.hidden_activation or "", "gelu"),
        **write_dropout(head),
    }


MODERNBERT_POOLINGS = {"cls": "first", "mean": "mean"}


def sequence_head_differences(
    table: SequenceHeadTable | None, head: models.HeadConfig | None, values: Mapping[str, Any]
) -> list[str]:
    """Returns the fields of a head that a class of transformers cannot have; empty without a head.

    Args:
      table: of the class's family; None: the family has no such class.
      head: of the model; None: the model is a language model or a body.
      values: the config.json that describes the model, with the attributes of its head.
    """
    if table is None or head is None:
        return []
    there = models.HeadConfig(num_outputs=head.num_outputs, **table.read(values))
    fields = (field.name for field in dataclasses.fields(head) if field.name not in FREE_FIELDS)
    # Without hidden layers on one side, what they are like makes no further difference.
    moot = () if head.hidden_layers and there.hidden_layers else ("hidden_activation", "hidden_norm")
    differing = [name for name in fields if name not in moot and getattr(head, name) != getattr(there, name)]
    # Without a bias, nothing can be added to the output.
    differing += ["center"] if head.center and not head.output_bias else []
    return [f"head.{name}={getattr(head, name)!r}" for name in differing]


def fold_units(head: models.HeadConfig, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters with a regression's scale and center multiplied into the last linear map.

    Args:
      head: of the model.
      tensors: the parameters by dotted name.

    Example:
      >>> import numpy as np
      >>> from jaxlm import models
      >>> from jaxlm.pretrained._sequence_heads import fold_units
      >>> head = models.HeadConfig(num_outputs=1, center=5.0, scale=2.0)
      >>> folded = fold_units(head, {"head.output.kernel": np.ones((1, 2)), "head.output.bias": np.ones(1)})
      >>> folded["head.output.kernel"].tolist(), folded["head.output.bias"].tolist()
      ([[2.0, 2.0]], [7.0])
    """
    folded = dict(tensors)
    if (head.center, head.scale) == (0.0, 1.0):
        return folded
    for name, shift in (("head.output.kernel", 0.0), ("head.output.bias", head.center)):
        if name in tensors:
            array = np.asarray(tensors[name])
            folded[name] = (array.astype(np.float64) * head.scale + shift).astype(array.dtype)
    return folded


def read_labels(values: Mapping[str, Any]) -> Labels:
    """Returns what a config.json says of the labels of a model of whole sequences.

    Args:
      values: config.json.

    Raises:
      ModelError: its labels are not what transformers writes.

    Example:
      >>> from jaxlm.pretrained._sequence_heads import read_labels
      >>> read_labels({"id2label": {"0": "cat", "1": "dog"}}).extra
      {'classes': ['cat', 'dog']}
      >>> read_labels({"num_labels": 1}).kind.name
      'regression'
    """
    names, problem = values.get("id2label"), values.get("problem_type")
    if problem not in PROBLEMS:
        raise ModelError(f"problem_type is one of {', '.join(map(str, PROBLEMS))}: got {problem!r}")
    if names is None:
        number = values.get("num_labels", USUAL_LABELS)
        names = {str(label): f"LABEL_{label}" for label in range(number)}
    try:
        by_number = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"id2label maps numbers to names: got {names!r:.60}") from error
    number = len(by_number)
    if sorted(by_number) != list(range(number)):
        raise ModelError(f"id2label has a name for each of 0 to {number - 1}: got {names!r:.60}")
    if problem == REGRESSION_PROBLEM or (problem is None and number == 1):
        return Labels(models.REGRESSION, number, {})
    extra: dict[str, Any] = {"classes": [by_number[label] for label in range(number)]}
    extra |= {"problem_type": problem} if problem == MULTI_LABEL_PROBLEM else {}
    return Labels(models.CLASSIFICATION, number, extra)


def write_labels(kind: models.ModelKind, head: models.HeadConfig, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the attributes of config.json for the labels; undoes `read_labels`.

    Args:
      kind: of the model.
      head: of the model.
      extra: of the model, with the names of its classes.
    """
    number = head.required_outputs()
    is_value = kind == models.REGRESSION
    names = (None if is_value else extra.get("classes")) or [f"LABEL_{label}" for label in range(number)]
    problem = REGRESSION_PROBLEM if is_value else extra.get("problem_type", SINGLE_LABEL_PROBLEM)
    return {
        "id2label": {str(label): str(name) for label, name in enumerate(names)},
        "label2id": {str(name): label for label, name in enumerate(names)},
        "problem_type": problem,
    }
