"""What jaxlm's own config.json describes: a model's kind, its transformer, its head, and further entries."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io, models
from jaxlm.errors import ModelError, UsageError
from jaxlm.pretrained._hub import import_named

# Files call the name of the kind "objective"; "reference" imports a kind that is not one of ours.
OWN_KEYS, REFERENCE = ("objective", "model", "head"), "reference"


class Description(NamedTuple):
    """A model without its parameters.

    Attributes:
      config: the config of the transformer.
      kind: the kind of the model.
      head: None, a `HeadConfig`, or heads by name, as for `models.build`.
      extra: further entries of config.json.
    """

    config: models.TransformerConfig
    kind: models.ModelKind
    head: models.Heads
    extra: dict[str, Any]


def to_json(description: Description) -> str:
    """Returns the text of config.json.

    Raises:
      UsageError: `extra` has a key that the model's description uses.
    """
    config, kind, head, extra = description
    reference = {} if kind.reference is None else {REFERENCE: kind.reference}
    taken = [key for key in (*OWN_KEYS, *reference) if key in extra]
    if taken:
        raise UsageError(f"extra entries of config.json may not be called {', '.join(taken)}: rename them")
    values = {"objective": kind.name, **reference, "model": models.to_dict(config)}
    if head is not None:
        values["head"] = _head_values(head)
    return json.dumps({**values, **extra}, indent=2) + "\n"


def read_description(path: Path, kind: models.KindOrName | None = None) -> Description:
    """Returns the description of a model in a config.json.

    Args:
      path: the file.
      kind: the kind of the model, if it is none of `models.KINDS` and cannot be imported by its reference.

    Raises:
      ModelError: one line that names the file: it is not JSON or not the config of a model, or its kind is
        unknown or differs from the given one.
    """
    try:
        values = io.parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    absent = [key for key in ("objective", "model") if not isinstance(values, dict) or key not in values]
    if absent:
        raise ModelError(f"{path} is not the config of a model: it has no {' and no '.join(absent)}")
    if not isinstance(values["model"], dict):
        raise ModelError(f"{path} needs a model's fields: got {values['model']!r}")
    try:
        known = _kind(values["objective"], values.get(REFERENCE), kind, path.parent)
        config, head = models.from_dict(values["model"]), _head(values.get("head"), known)
        if known.encoder and config.decoder is None:  # a file of an earlier version
            config = dataclasses.replace(config, decoder=models.DecoderConfig())
        models.build(config, known, head)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    own = OWN_KEYS if known.reference is None else (*OWN_KEYS, REFERENCE)
    return Description(config, known, head, {key: value for key, value in values.items() if key not in own})


def _kind(name: Any, reference: Any, given: models.KindOrName | None, folder: Path) -> models.ModelKind:
    """The kind of a name: the given one, one of ours, or the one that the reference imports."""
    if given is not None:
        kind = models.as_kind(given)
    elif isinstance(name, str) and name in models.KINDS:
        return models.KINDS[name]
    elif isinstance(reference, str):
        kind = models.as_kind(import_named(reference, models.ModelKind, folder))
    else:
        raise ModelError(
            f"the model is of kind {name!r}, which is none of {', '.join(models.KINDS)}: give the ModelKind, "
            "pretrained.load(folder, kind=...), or a reference to it when the model is saved"
        )
    if kind.name != name:
        raise ModelError(f"the model is of kind {name!r}: got the kind {kind.name!r}")
    return kind


def select_head(description: Description, name: str) -> Description:
    """Returns the description of the model that has only one of several heads.

    Its kind is that of the head; a sequence head is a regression if it has one output, else a classification.
    A causal head on a bidirectional body becomes a causal model.

    Args:
      description: of a model with several heads.
      name: the head.

    Raises:
      UsageError: the model has one head only, or no head of that name.
    """
    config, kind, heads, extra = description
    if kind.head != "several" or not isinstance(heads, Mapping):
        raise UsageError(f"head={name!r} chooses one of several: this model is a {kind.name}")
    if name not in heads:
        raise UsageError(f"this model has no head {name!r}: its heads are {', '.join(heads)}")
    head = heads[name]
    if isinstance(head, models.HeadConfig):
        alone = models.REGRESSION if head.num_outputs == 1 else models.CLASSIFICATION
        return Description(config, alone, head, extra)
    alone = models.TOKEN_HEADS[head]
    return Description(dataclasses.replace(config, causal=alone.causal), alone, None, extra)


def _head_values(head: models.HeadConfig | Mapping[str, Any]) -> Any:
    if isinstance(head, models.HeadConfig):
        return dataclasses.asdict(head)
    return {name: kind if isinstance(kind, str) else dataclasses.asdict(kind) for name, kind in head.items()}


def _head(values: Any, kind: models.ModelKind) -> models.Heads:
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ModelError(f"head is an object of fields: got {values!r}")
    if kind.head != "several":
        return models.head_from_dict(values)
    return {name: _named_head(name, kind) for name, kind in values.items()}


def _named_head(name: str, kind: Any) -> models.HeadKind:
    if isinstance(kind, dict):
        return models.head_from_dict(kind)
    if kind not in models.TOKEN_HEADS:
        known = ", ".join(models.TOKEN_HEADS)
        raise ModelError(f"head {name!r} is {known} or an object of fields: got {kind!r}")
    return kind
