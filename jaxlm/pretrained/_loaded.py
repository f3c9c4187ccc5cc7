"""A model that was opened: what it is, its parameters and its tokenizer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxlm import models, tokenizers

HUGGINGFACE = "huggingface"
GENERATION = "generation"


class Loaded(NamedTuple):
    """A model that is ready to use.

    Attributes:
      config: what it is made of.
      objective: "masked_lm", "causal_lm", "seq2seq_lm", "classification", "regression", "joint", or "body" of
        a model without a head.
      model: the module.
      params: its parameters; `model.apply({"params": params}, tokens)`.
      tokenizer: its tokenizer, or None where there is none beside it.
      extra: whatever else its config.json holds; of a Hugging Face folder the whole of it as "huggingface",
        and its generation_config.json as "generation".
      head: of a classifier or a regression its `HeadConfig`; of a "joint" model its heads by name; else None.
    """

    config: models.TransformerConfig
    objective: models.Objective
    model: models.Model
    params: dict[str, Any]
    tokenizer: tokenizers.Tokenizer | None
    extra: dict[str, Any]
    head: models.Heads = None

    @property
    def ends(self) -> bool:
        """Whether it was trained on texts with ends (see `has_ends`)."""
        return has_ends(self.extra)


def has_ends(extra: Mapping[str, Any]) -> bool:
    """Returns whether a model was trained on texts that its tokenizer's own tokens open and close.

    A model of Hugging Face was; one that was trained here says so in its experiment (`data.ends`).

    Args:
      extra: of `Loaded` or `Inspected`.

    Example:
      >>> has_ends({"huggingface": {"model_type": "bert"}})
      True
      >>> has_ends({"experiment": {"data": {"ends": False}}})
      False
    """
    experiment = extra.get("experiment")
    told = experiment.get("data", {}).get("ends") if isinstance(experiment, dict) else None
    return bool(told) if told is not None else HUGGINGFACE in extra


def without_head(name: str) -> str:
    """Returns the line that refuses a body where a head is needed.

    Args:
      name: of the model.

    Example:
      >>> without_head("minilm").partition(":")[0]
      'minilm is a body without a head, which gives hidden states and predicts nothing'
    """
    return (
        f"{name} is a body without a head, which gives hidden states and predicts nothing: draw a head and "
        f"train it, jaxlm train --init {name} --data CORPUS, or name a model that has one"
    )
