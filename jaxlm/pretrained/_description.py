"""What config.json says of a model: its objective, its transformer, its head, and whatever else it holds."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxlm import io, models
from jaxlm.errors import ModelError, UsageError

OWN_KEYS = ("objective", "model", "head")


class Description(NamedTuple):
    """A model without its parameters.

    Attributes:
      config: the transformer's.
      objective: one of `models.MODELS`.
      head: None, a `HeadConfig`, or heads by name; what `models.build` takes.
      extra: further entries of config.json.
    """

    config: models.TransformerConfig
    objective: models.ObjectiveName
    head: models.Heads
    extra: dict[str, Any]


def to_json(description: Description) -> str:
    """Returns the text of config.json.

    Raises:
      UsageError: if `extra` has a key of the model's own.
    """
    config, objective, head, extra = description
    taken = [key for key in OWN_KEYS if key in extra]
    if taken:
        raise UsageError(f"extra entries of config.json may not be called {', '.join(taken)}: rename them")
    values = {"objective": objective, "model": models.to_dict(config)}
    if head is not None:
        values["head"] = _head_values(head)
    return json.dumps({**values, **extra}, indent=2) + "\n"


def read_description(path: Path) -> Description:
    """Returns what a config.json says.

    Raises:
      ModelError: one line that names the file, if it is not JSON or not the config of a model.
    """
    try:
        values = io.parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    absent = [key for key in ("objective", "model") if not isinstance(values, dict) or key not in values]
    if absent:
        raise ModelError(f"{path} is not the config of a model: it has no {' and no '.join(absent)}")
    objective, fields = values["objective"], values["model"]
    is_known = isinstance(objective, str) and objective in models.MODELS
    if not is_known or not isinstance(fields, dict):
        known = ", ".join(models.MODELS)
        raise ModelError(f"{path} needs an objective of {known} and a model's fields: got {objective!r}")
    try:
        config, head = models.from_dict(fields), _head(values.get("head"), objective)
        if objective == "seq2seq_lm" and config.decoder is None:  # a file of earlier versions
            config = dataclasses.replace(config, decoder=models.DecoderConfig())
        models.build(config, objective, head)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    return Description(
        config, objective, head, {key: value for key, value in values.items() if key not in OWN_KEYS}
    )


def one_head(description: Description, name: str) -> Description:
    """Returns the description of a model of one head of several.

    Its objective is the head's kind; a sequence head is told as "regression" where it has one output and as
    "classification" where it has more. A causal head on a bidirectional body becomes a causal model.

    Raises:
      UsageError: if the model has one head only, or none of that name.
    """
    config, objective, heads, extra = description
    if objective != "joint":
        raise UsageError(f"head={name!r} chooses one of several: this model's objective is {objective!r}")
    if name not in heads:
        raise UsageError(f"this model has no head {name!r}: its heads are {', '.join(heads)}")
    kind = heads[name]
    if isinstance(kind, models.HeadConfig):
        alone = "regression" if kind.num_outputs == 1 else "classification"
        return Description(config, alone, kind, extra)
    return Description(dataclasses.replace(config, causal=kind == "causal_lm"), kind, None, extra)


def _head_values(head: models.HeadConfig | Mapping[str, Any]) -> Any:
    if isinstance(head, models.HeadConfig):
        return dataclasses.asdict(head)
    return {name: kind if isinstance(kind, str) else dataclasses.asdict(kind) for name, kind in head.items()}


def _head(values: Any, objective: str) -> models.Heads:
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ModelError(f"head is an object of fields: got {values!r}")
    if objective != "joint":
        return models.head_from_dict(values)
    return {name: _named_head(name, kind) for name, kind in values.items()}


def _named_head(name: str, kind: Any) -> models.HeadKind:
    if isinstance(kind, dict):
        return models.head_from_dict(kind)
    if kind not in ("masked_lm", "causal_lm"):
        raise ModelError(f"head {name!r} is masked_lm, causal_lm or an object of fields: got {kind!r}")
    return kind
