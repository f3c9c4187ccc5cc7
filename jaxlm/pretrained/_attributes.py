"""Attributes of a Hugging Face config.json: which are fields of ours, mean nothing here, or are refused."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from jaxlm import models

# What transformers keeps in every config.json and what does not touch the mathematics of a language model.
BOOKKEEPING = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "cls_token_id",
        "dtype",
        "eos_token_id",
        "finetuning_task",
        "gradient_checkpointing",
        "id2label",
        "initializer_range",
        "label2id",
        "mask_token_id",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "output_scores",
        "pad_token_id",
        "prefix",
        "problem_type",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "task_specific_params",
        "tf_legacy_loss",
        "tokenizer_class",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "unk_token_id",
        "use_bfloat16",
        "use_cache",
    ]
)
# Defaults of generation, which older files keep beside the model.
GENERATION = frozenset(
    [
        "bad_words_ids",
        "begin_suppress_tokens",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "max_length",
        "max_new_tokens",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "remove_invalid_values",
        "repetition_penalty",
        "suppress_tokens",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    ]
)
# What any family can do without: these values, and no other.
PLAIN = {
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "is_decoder": (False, None),
    "is_encoder_decoder": (False, None),
    "per_layer_config": (None,),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
    "tie_encoder_decoder": (False, None),
}


class UnsupportedError(ValueError):
    """Attributes that have no equal here, each told in a few words."""

    def __init__(self, told: Sequence[str]) -> None:
        super().__init__(f"attributes that are not supported: {', '.join(told)}")
        self.told = tuple(told)


class Attribute(NamedTuple):
    """One attribute and the fields of `TransformerConfig` that it is.

    Attributes:
      theirs: its name in config.json.
      ours: the fields that take its value; written from the last of them.
      default: what transformers takes where a file leaves it out.
      codes: their values and ours, where these differ.
    """

    theirs: str
    ours: tuple[str, ...]
    default: Any
    codes: Mapping[Any, Any] | None = None


def read_attributes(values: Mapping[str, Any], attributes: Collection[Attribute]) -> dict[str, Any]:
    """Returns the fields that the attributes say.

    Raises:
      UnsupportedError: one line that names each attribute with a value that has no equal here.

    Example:
      >>> read_attributes({"n_embd": 64}, [Attribute("n_embd", ("width",), 768)])
      {'width': 64}
    """
    fields, refused = {}, []
    for attribute in attributes:
        value = values.get(attribute.theirs, attribute.default)
        if attribute.codes is not None:
            if not isinstance(value, str | int | float | None) or value not in attribute.codes:
                known = ", ".join(map(repr, attribute.codes))
                refused.append(f"{attribute.theirs}={value!r} (known are {known})")
                continue
            value = attribute.codes[value]
        fields |= dict.fromkeys(attribute.ours, value)
    refuse(refused)
    return fields


def write_attributes(config: models.TransformerConfig, attributes: Collection[Attribute]) -> dict[str, Any]:
    """Returns the attributes that say a config's fields; one without a word for its field is left out.

    Example:
      >>> write_attributes(models.TransformerConfig(width=64), [Attribute("n_embd", ("width",), 768)])
      {'n_embd': 64}
    """
    values = {}
    for theirs, ours, _, codes in attributes:
        value = getattr(config, ours[-1])
        if codes is not None:
            words = [word for word, code in codes.items() if code == value]
            if not words:
                continue
            value = words[0]
        values[theirs] = value
    return values


def check_attributes(
    values: Mapping[str, Any], known: Collection[str], only: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuses attributes that are not known, and those that may have some values and have another.

    Args:
      values: config.json.
      known: names of attributes that are read or mean nothing.
      only: by name the values that an attribute may have, besides those of `PLAIN`.

    Raises:
      UnsupportedError: one line that names them all.

    Example:
      >>> check_attributes({"a": 1, "b": 2}, {"a"}, {})
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: attributes that are not supported: b=2
    """
    rules = {**PLAIN, **only}
    meaningless = BOOKKEEPING | GENERATION
    refused = []
    for name, value in values.items():
        if name in rules:
            if value not in rules[name]:
                refused.append(f"{name}={value!r} (only {' or '.join(map(repr, rules[name]))})")
        elif name not in known and name not in meaningless:
            refused.append(f"{name}={value!r}")
    refuse(refused)


def refuse(told: Sequence[str]) -> None:
    """Raises the one-line error of what is not supported, if anything is.

    Example:
      >>> refuse(["bits=4", "chunks=3"])
      Traceback (most recent call last):
      jaxlm.pretrained._attributes.UnsupportedError: attributes that are not supported: bits=4, chunks=3
    """
    if told:
        raise UnsupportedError(told)


def all_at_once(steps: Sequence[Callable[[], Mapping[str, Any] | None]]) -> dict[str, Any]:
    """Returns what all steps say together; what any of them refuses is refused together.

    Example:
      >>> all_at_once([lambda: {"width": 64}, lambda: None, lambda: {"depth": 2}])
      {'width': 64, 'depth': 2}
    """
    fields, told = {}, []
    for step in steps:
        try:
            fields |= step() or {}
        except UnsupportedError as error:
            told += error.told
    refuse(told)
    return fields
