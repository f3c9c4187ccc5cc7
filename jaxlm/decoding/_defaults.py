"""What a model's makers ask of every text that it writes, as their files say it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm.decoding._generation_config import GenerationConfig

# A Hugging Face folder's generation_config.json, and its config.json, in which older ones keep the same.
SOURCES = ("generation", "huggingface")


def with_defaults(config: GenerationConfig, extra: Mapping[str, Any]) -> GenerationConfig:
    """Returns a config with what a model's files say of which tokens may not, or must, be chosen.

    These are the ids that end a text, one that begins every text, one that ends those that are as long as
    they may be, and those that are never chosen (`bad_words_ids` of one token, `suppress_tokens`). What the
    config says itself stays. How tokens are searched or drawn is the caller's choice alone.

    Args:
      config: what is asked for.
      extra: of `pretrained.Loaded`.

    Raises:
      ValueError: if one of them is no id.

    Example:
      >>> told = {"bad_words_ids": [[7]], "eos_token_id": 2}
      >>> asked = with_defaults(GenerationConfig(), {"huggingface": told})
      >>> asked.forbidden_ids, asked.stop_ids
      ((7,), (2,))
    """
    values: dict[str, Any] = {}
    for source in reversed(SOURCES):
        found = extra.get(source)
        values |= {name: one for name, one in (found or {}).items() if one is not None}
    words = values.get("bad_words_ids", [])
    single = [word[0] for word in words if len(word) == 1]
    ends = _ids("eos_token_id", values.get("eos_token_id"))
    fields = {
        "forbidden_ids": tuple(sorted({*single, *_ids("suppress_tokens", values.get("suppress_tokens"))})),
        "first_id": _id("forced_bos_token_id", values),
        "last_id": _id("forced_eos_token_id", values),
        "stop_ids": ends or None,
    }
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    unset = {name: value for name, value in fields.items() if getattr(config, name) == usual[name]}
    return dataclasses.replace(config, **unset)


def _id(name: str, values: Mapping[str, Any]) -> int | None:
    found = _ids(name, values.get(name))
    return found[0] if found else None


def _ids(name: str, value: Any) -> tuple[int, ...]:
    ids = () if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        raise ValueError(f"{name} of the model's files is an id, or several: got {value!r}")
    return ids
