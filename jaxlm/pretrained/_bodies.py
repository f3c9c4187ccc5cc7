"""What a Hugging Face folder is: its family's language model, or a body without the head of one."""

import dataclasses
import re
from collections.abc import Collection, Sequence

from jaxlm import models
from jaxlm.pretrained._family import Family

# Classes of transformers that end in the head of a language model, beside other heads or alone.
LANGUAGE_HEAD = re.compile(
    "MaskedLM|CausalLM|PreTraining|LMHead|DoubleHeads|ConditionalGeneration|MTModel|PrefixLM"
)


def infer_model_kind(
    family: Family, config: models.TransformerConfig, names: Collection[str], classes: Sequence[str]
) -> models.ModelKind:
    """Returns `models.BODY_ALONE` of a folder that lacks the family's head, and the family's kind of others.

    Tensors decide: without one of the head's own it is a body. With all of them, or with an output that is
    tied and has no others, it is a language model, and so it is with some of them, which are then missed;
    unless the file holds another head and its class is none of a language model. An encoder-decoder is a
    body, its encoder, where the decoder is absent too.

    Args:
      family: the folder's.
      config: what its config.json says.
      names: of the tensors.
      classes: what config.json calls the class.

    Raises:
      ValueError: if the names are of several models.
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


def body_config(family: Family, config: models.TransformerConfig) -> models.TransformerConfig:
    """Returns the config of a family's body alone: of an encoder-decoder the encoder's.

    What it says of a head is what a new one is drawn as. T5's own output is tied to the table where it is
    scaled, and has a kernel of its own where it is not.
    """
    if not family.kind.encoder:
        return config
    has_scale = not isinstance(config.position, models.Relative) or config.output_scale != 1.0
    return dataclasses.replace(
        models.encoder_config(config),
        tie_embeddings=config.tie_embeddings and has_scale,
    )
