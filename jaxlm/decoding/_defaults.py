"""What a model's makers ask of every text that it writes, as their files say it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm.decoding._generation_config import GenerationConfig

# A Hugging Face folder's generation_config.json, and its config.json, in which older ones keep the same.
SOURCES = ("generation", "huggingface")
# Rules that nothing here follows, with the values by which they ask for nothing.
UNKNOWN = {
    "begin_suppress_tokens": ((), []),
    "diversity_penalty": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "exponential_decay_length_penalty": (),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "no_repeat_ngram_size": (0,),
}


def with_defaults(config: GenerationConfig, extra: Mapping[str, Any]) -> GenerationConfig:
    """Returns a config with what a model's files say of which tokens may not, or must, be chosen.

    These are the ids that end a text, one that begins every text, one that ends those that are as long as
    they may be, and those that are never chosen (`bad_words_ids` of one token, `suppress_tokens`). What the
    config says itself stays, `forbidden_ids=()` too. How tokens are searched or drawn is the caller's choice
    alone; what is left of the files' rules then, `unfollowed` says.

    Args:
      config: what is asked for.
      extra: of `pretrained.Loaded`.

    Raises:
      ValueError: if one of them is no id, or `bad_words_ids` are no lists of ids.

    Example:
      >>> told = {"bad_words_ids": [[7]], "eos_token_id": 2}
      >>> asked = with_defaults(GenerationConfig(), {"huggingface": told})
      >>> asked.forbidden_ids, asked.stop_ids
      ((7,), (2,))
    """
    values = _told(extra)
    single = [word[0] for word in _words(values) if len(word) == 1]
    forbidden = sorted({*single, *_ids("suppress_tokens", values.get("suppress_tokens"))})
    ends = _ids("eos_token_id", values.get("eos_token_id"))
    fields = {
        "forbidden_ids": tuple(forbidden) or None,
        "first_id": _id("forced_bos_token_id", values),
        "last_id": _id("forced_eos_token_id", values),
        "stop_ids": ends or None,
    }
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    unset = {name: value for name, value in fields.items() if getattr(config, name) == usual[name]}
    return dataclasses.replace(config, **unset)


def unfollowed(config: GenerationConfig, extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns which rules of a model's files a generation does not follow, as `name=value`.

    Args:
      config: what is asked for; a number of beams or a penalty that is the files' own is followed.
      extra: of `pretrained.Loaded`.

    Raises:
      ValueError: if `bad_words_ids` are no lists of ids.

    Example:
      >>> told = {"num_beams": 4, "no_repeat_ngram_size": 3, "min_length": 0}
      >>> unfollowed(GenerationConfig(), {"generation": told})
      ('no_repeat_ngram_size=3', 'num_beams=4')
      >>> unfollowed(GenerationConfig(num_beams=4), {"generation": told})
      ('no_repeat_ngram_size=3',)
    """
    values = _told(extra)
    beams = values.get("num_beams", 1)
    asked = {"num_beams": config.num_beams, "repetition_penalty": config.sampling.repetition_penalty or 1.0}
    if config.num_beams != 1 or beams != 1:
        asked |= {"length_penalty": config.length_penalty, "early_stopping": config.early_stopping}
    longer = [word for word in _words(values) if len(word) > 1]
    found = {name: one for name, one in values.items() if name in UNKNOWN and one not in UNKNOWN[name]}
    found |= {name: values[name] for name, own in asked.items() if values.get(name, own) != own}
    found |= {"bad_words_ids": longer} if longer else {}
    return tuple(f"{name}={found[name]}" for name in sorted(found))


def _told(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What the files say, None left out; an attribute of the first BART's is said in today's words."""
    values: dict[str, Any] = {}
    for source in reversed(SOURCES):
        found = extra.get(source)
        values |= {name: one for name, one in (found or {}).items() if one is not None}
    if values.get("force_bos_token_to_be_generated") and "bos_token_id" in values:
        values.setdefault("forced_bos_token_id", values["bos_token_id"])
    return values


def _words(values: Mapping[str, Any]) -> list[tuple[int, ...]]:
    words = values.get("bad_words_ids", [])
    if not isinstance(words, Sequence) or not all(isinstance(word, Sequence) for word in words):
        raise ValueError(f"bad_words_ids of the model's files is a list of lists of ids: got {words!r}")
    return [_ids("bad_words_ids", word) for word in words]


def _id(name: str, values: Mapping[str, Any]) -> int | None:
    found = _ids(name, values.get(name))
    return found[0] if found else None


def _ids(name: str, value: Any) -> tuple[int, ...]:
    ids = () if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        raise ValueError(f"{name} of the model's files is an id, or several: got {value!r}")
    return ids
