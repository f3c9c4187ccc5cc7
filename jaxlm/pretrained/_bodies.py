"""Whether a Hugging Face folder holds its family's language model, or a body without the head of one."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jaxlm import models
from jaxlm.pretrained._family import Family
from jaxlm.pretrained._sequence_heads import Labels, read_labels

# Parts of the names of transformers' classes that have the head of a language model.
LANGUAGE_HEAD = re.compile(
    "MaskedLM|CausalLM|PreTraining|LMHead|DoubleHeads|ConditionalGeneration|MTModel|PrefixLM"
)


def infer_model_kind(
    family: Family, config: models.TransformerConfig, names: Collection[str], classes: Sequence[str]
) -> models.ModelKind:
    """Returns the family's kind for a folder with a language model's head, else `models.BODY_ALONE`.

    The tensors decide. Without any tensor of the head, the folder holds a body. With all of them, or with a
    tied output and no others, it holds a language model. With some of them it does so too (opening it reports
    the missing ones), unless it holds another head and its class is not that of a language model. For an
    encoder-decoder, a body is the encoder without head and decoder.

    Args:
      family: the family of the folder.
      config: the config of its config.json.
      names: the names of its tensors.
      classes: the class names in config.json.

    Raises:
      ModelError: the names are of several models.
    """
    sorted_names = family.names(config, names)
    rows = [row for row in family.rows(config) if not row.ours.startswith(("body.", "encoder."))]
    wanted = {name for row in rows for name in row.theirs} - family.zeros
    of_head = {name for row in rows if row.ours.startswith("head.") for name in row.theirs} - family.zeros
    known = wanted & sorted_names.found.keys()
    if wanted and not known:
        return models.BODY_ALONE
    is_language = any(LANGUAGE_HEAD.search(name) for name in classes)
    if is_language or not (classes or sorted_names.further):
        return family.kind
    if known < wanted or (not of_head and sorted_names.further):
        return models.BODY_ALONE
    return family.kind


def sequence_family(family: Family, values: Mapping[str, Any]) -> tuple[Family, Labels]:
    """Returns a family with its head for whole sequences as a config.json describes it, and the labels.

    Args:
      family: of the folder, which has such a head.
      values: config.json.

    Raises:
      ModelError: the head or the labels are not supported.
    """
    if family.sequences is None:
        raise AssertionError(f"the family {family.name} has no head for whole sequences")
    labels = read_labels(values)
    head = models.HeadConfig(num_outputs=labels.number, **family.sequences.read(values))
    return family.with_sequence_head(labels.kind, head), labels


def usual_head(values: Mapping[str, Any], family: Family | None) -> models.HeadConfig | None:
    """Returns the head that a family's class for sequence classification has, without a number of outputs.

    Args:
      values: config.json of the family.
      family: of the model; None, or a family without such a class: the result is None.
    """
    if family is None or family.sequences is None:
        return None
    return models.HeadConfig(**family.sequences.read(values))


def body_config(family: Family, config: models.TransformerConfig) -> models.TransformerConfig:
    """Returns the config of a family's body alone; for an encoder-decoder, of its encoder.

    Its fields for the head describe a new head. T5's output is tied to the embedding if it is scaled, and has
    a kernel of its own if not.
    """
    if not family.kind.encoder:
        return config
    has_scale = not isinstance(config.position, models.Relative) or config.output_scale != 1.0
    return dataclasses.replace(
        models.encoder_config(config),
        tie_embeddings=config.tie_embeddings and has_scale,
    )
