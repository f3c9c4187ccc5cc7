"""The families of transformers that are read and written, and the choice of one."""

from collections.abc import Collection, Mapping
from typing import Any

from jaxlm import io, models
from jaxlm.errors import JaxlmError, ModelError
from jaxlm.pretrained._activations import UNGATED
from jaxlm.pretrained._attributes import architecture_names
from jaxlm.pretrained._bodies import body_config
from jaxlm.pretrained._family import Family
from jaxlm.pretrained._family_bart import BART, MARIAN
from jaxlm.pretrained._family_bert import BERT
from jaxlm.pretrained._family_distilbert import DISTILBERT
from jaxlm.pretrained._family_esm import ESM
from jaxlm.pretrained._family_gemma import GEMMA2, GEMMA3
from jaxlm.pretrained._family_gpt2 import GPT2
from jaxlm.pretrained._family_llama import LLAMA, MISTRAL, QWEN2, QWEN3
from jaxlm.pretrained._family_modernbert import MODERNBERT
from jaxlm.pretrained._family_neox import NEOX
from jaxlm.pretrained._family_roberta import ROBERTA
from jaxlm.pretrained._family_t5 import T5
from jaxlm.pretrained._relatives import body_of, nearest_names, relative_of
from jaxlm.pretrained._sequence_heads import sequence_head_differences
from jaxlm.pretrained._windows import SLIDING, layer_types

_ENCODERS = (BERT, ROBERTA, DISTILBERT, ESM, MODERNBERT)
_DECODERS = (GPT2, NEOX, LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3)
_ENCODER_DECODERS = (T5, MARIAN, BART)
FAMILIES: dict[str, Family] = {family.name: family for family in (*_ENCODERS, *_DECODERS, *_ENCODER_DECODERS)}
# The families by the beginning of their class names.
_BY_BODY = {body_of(family.architecture): family for family in FAMILIES.values()}

# Fields without effect on what a trained model computes.
_OF_TRAINING = (
    "dtype",
    "param_dtype",
    "init_std",
    "embedding_dropout",
    "attention_dropout",
    "attention_output_dropout",
    "mlp_dropout",
    "scan_layers",
    "remat",
    "attention_implementation",
    "require_fused",
    "position.next_id",
    "position.source",
)
_OF_HEAD = (
    "head.kind",
    "head.activation",
    "head.epsilon",
    "head_bias",
    "logit_softcap",
    "output_scale",
    "tie_embeddings",
)
_OF_DECODER = ("decoder", "decoder.depth", "decoder.mlp_width", "decoder.start_id")


def family_of(values: Mapping[str, Any]) -> Family:
    """Returns the family of a config.json, by its `model_type`, or by its architecture if it has no type.

    Args:
      values: config.json.

    Raises:
      ModelError: the family is not supported or not named; the line names the nearest supported family, and
        all of them.

    Example:
      >>> from jaxlm.pretrained._families import family_of
      >>> family_of({"model_type": "gpt2"}).architecture
      'GPT2LMHeadModel'
      >>> family_of({"architectures": ["BertForPreTraining"]}).name
      'bert'
      >>> family_of({"model_type": "electra"})
      Traceback (most recent call last):
      jaxlm.errors.ModelError: config.json is of model_type='electra', ... here is bert; the families ...
    """
    kind, architectures = values.get("model_type"), architecture_names(values)
    if isinstance(kind, str) and kind in FAMILIES:
        return FAMILIES[kind]
    bodies = [body_of(name) for name in architectures]
    by_class = [_BY_BODY[body] for body in bodies if body in _BY_BODY]
    if kind is None and by_class:
        return by_class[0]
    known = f"the families are {', '.join(sorted(FAMILIES))}"
    if kind is None and not architectures:
        raise ModelError(f"config.json does not say of which family it is: {_remedy(values)}; {known}")
    told = f"model_type={kind!r}" if kind is not None else f"architectures={values['architectures']!r}"
    names = bodies if kind is None else [str(kind)]
    near = [*filter(None, map(relative_of, names))]
    nearest = f"its nearest relative here is {near[0]}; " if near else ""
    raise ModelError(f"config.json is of {told}, which is not supported: {nearest}{known}")


def _remedy(values: Mapping[str, Any]) -> str:
    """The remedy for a file that names neither a type nor a class."""
    own: dict[str, Collection[str]] = {
        name: [*(attribute.theirs for attribute in family.attributes), *family.synonyms, *family.inert]
        for name, family in FAMILIES.items()
    }
    near = nearest_names(list(values), own)
    example = f", by its other names {' or '.join(near)}" if near else ""
    return f'it has no "model_type" and no "architectures"; add the "model_type"{example}'


def family_for(
    config: models.TransformerConfig, kind: models.KindOrName, head: models.Heads = None
) -> Family:
    """Returns the family that computes the same as a model of ours.

    Args:
      config: of the model, with a vocabulary.
      kind: of the model.
      head: the config of the head of a classifier or a regression; None: the kind has none.

    Raises:
      ModelError: there is none; the line names the fields that the nearest architecture lacks.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.pretrained._families import family_for
      >>> config = models.TransformerConfig(vocab_size=7, norm="rms", position="none")
      >>> family_for(config, "masked_lm")
      Traceback (most recent call last):
      jaxlm.errors.ModelError: no architecture of transformers computes what this model does; the nearest, ...
    """
    kind = models.as_kind(kind)
    if kind in (models.CLASSIFICATION, models.REGRESSION) and isinstance(head, models.HeadConfig):
        known = (family for family in FAMILIES.values() if family.sequences is not None)
        families = [family.with_sequence_head(kind, head) for family in known]
    else:
        families = [family for family in FAMILIES.values() if family.class_of(kind) is not None]
    if not families:
        own = sorted({family.kind.name for family in FAMILIES.values()})
        others = (models.BODY_ALONE, models.CLASSIFICATION, models.REGRESSION)
        kinds = ", ".join([*own, *(other.name for other in others)])
        raise ModelError(f"models go back to transformers from {kinds}: got a {kind.name}")
    told = {family.name: _differences(family, config, kind) for family in families}
    nearest = min(families, key=lambda family: len(told[family.name]))
    if told[nearest.name]:
        raise ModelError(
            "no architecture of transformers computes what this model does; "
            f"the nearest, {nearest.class_of(kind)}, has no {', '.join(told[nearest.name])}"
        )
    return nearest


def _differences(family: Family, config: models.TransformerConfig, kind: models.ModelKind) -> list[str]:
    """The fields of a config that a family's config.json cannot express."""
    wanted = _essence(config, kind)
    try:
        values = family.config_json(config)
        there = family.config(values)
        there = _essence(body_config(family, there) if kind.head is None else there, kind)
    except JaxlmError:
        return [_told(name, value) for name, value in wanted.items()]  # nothing arrives
    # A field that the family's config lacks differs because of another field, which is named.
    of_body = [_told(name, value) for name, value in wanted.items() if there.get(name, value) != value]
    return of_body + sequence_head_differences(family.sequences, family.sequence_head, values)


def _told(name: str, value: Any) -> str:
    """A field and its value; the kind of a record is shown as the value of the field that holds it."""
    return f"{name.removesuffix('.kind')}={value!r}"


def _essence(config: models.TransformerConfig, kind: models.ModelKind) -> dict[str, Any]:
    """The fields that have an effect on what a model computes."""
    fields = io.flat_fields(models.to_dict(config.resolved()))
    moot = {*_OF_TRAINING, *(() if kind.head == "tokens" else _OF_HEAD)}
    if config.norm == "rms":
        moot.add("norm_bias")
    if not kind.encoder:
        moot.update(_OF_DECODER)
    if not config.token_dropout:
        moot.add("mask_id")
    types = layer_types(config.resolved())
    fields["layer_pattern"], fields["window"] = types, config.window if SLIDING in types else None
    if "head.activation" in fields:
        fields["head.activation"] = UNGATED.get(fields["head.activation"], fields["head.activation"])
    return {name: value for name, value in fields.items() if name not in moot}
