"""The rules for generated texts in a model's files, as defaults of a `GenerationConfig`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.decoding._generation_rules import SAMPLING, find_ignored_rules, find_unknown_names
from jaxlm.errors import ModelError

# Keys of `Loaded.extra`: generation_config.json, and config.json, which holds the same in older folders.
SOURCES = ("generation", "huggingface")
# Rules whose value is a whole number.
WHOLE_NUMBERS = ("min_length", "min_new_tokens", "no_repeat_ngram_size")


def with_defaults(config: GenerationConfig, extra: Mapping[str, Any]) -> GenerationConfig:
    """Returns a config whose unset fields are filled with the rules of a model's files.

    The rules are: ids that end a text, an id that begins every text, an id forced at the last allowed
    position, ids that are never chosen (`suppress_tokens`, `bad_words_ids`), ids that are not chosen as the
    first (`begin_suppress_tokens`), the smallest length of texts (`min_length`, `min_new_tokens`), and the
    length of sequences that may not occur twice (`no_repeat_ngram_size`). Fields that the config sets keep
    their values, also `forbidden_ids=()` and 0. The files do not change how tokens are searched or drawn;
    `ignored_rules` lists the rules of the files that are not followed.

    Args:
      config: the config that the user asks for.
      extra: what the model's files say beside its config, from `pretrained.Loaded.extra`.

    Raises:
      ModelError: if a value in the files has the wrong type: it should be an id, a list of lists of ids, or a
        whole number.

    Example:
      >>> from jaxlm.decoding import GenerationConfig, with_defaults
      >>> values = {"bad_words_ids": [[7]], "eos_token_id": 2}
      >>> config = with_defaults(GenerationConfig(), {"huggingface": values})
      >>> config.forbidden_ids, config.stop_ids
      ((7,), (2,))
    """
    values = _file_rules(extra)
    words = _forbidden_words(values)
    ends = _ids("eos_token_id", values.get("eos_token_id"))
    # transformers does not forbid a word that consists of an id which ends texts.
    stop_ids = ends if config.stop_ids is None else config.stop_ids
    single = {word[0] for word in words if len(word) == 1 and word[0] not in stop_ids}
    forbidden = sorted({*single, *_ids("suppress_tokens", values.get("suppress_tokens"))})
    fields = {
        "forbidden_ids": tuple(forbidden) or None,
        "forbidden_first_ids": _ids("begin_suppress_tokens", values.get("begin_suppress_tokens")) or None,
        "forbidden_words": tuple(word for word in words if len(word) > 1) or None,
        "first_id": _id("forced_bos_token_id", values),
        "last_id": _id("forced_eos_token_id", values),
        "stop_ids": ends or None,
        **{name: _count(name, values) for name in WHOLE_NUMBERS},
    }
    if fields["min_new_tokens"]:  # the caller may ask for fewer tokens than the files' least
        fields["min_new_tokens"] = min(fields["min_new_tokens"], config.max_new_tokens)
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    unset = {name: value for name, value in fields.items() if getattr(config, name) == usual[name]}
    return dataclasses.replace(config, **unset)


def ignored_rules(config: GenerationConfig, extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the rules of a model's files that a config does not follow, each as `name=value`.

    Every entry of a generation_config.json is either followed, or has no effect on the text, or is returned
    here. Entries with unknown names are returned, too.

    Args:
      config: the config that the user asks for, after `with_defaults` or before. An entry counts as followed
        if the config has the same value (number of beams, temperature, penalty, stop string), or if the
        config ends texts sooner than the files do.
      extra: what the model's files say beside its config, from `pretrained.Loaded.extra`.

    Example:
      >>> from jaxlm.decoding import GenerationConfig, ignored_rules
      >>> values = {"num_beams": 4, "encoder_no_repeat_ngram_size": 3, "min_length": 10}
      >>> ignored_rules(GenerationConfig(), {"generation": values})
      ('encoder_no_repeat_ngram_size=3', 'num_beams=4')
      >>> ignored_rules(GenerationConfig(num_beams=4), {"generation": values})
      ('encoder_no_repeat_ngram_size=3',)
      >>> ignored_rules(GenerationConfig(), {"generation": {"stop_strings": ["END"], "max_new_tokens": 9}})
      ('max_new_tokens=9', "stop_strings=['END']")
    """
    values = _file_rules(extra)
    beams = values.get("num_beams", 1)
    asked = {"num_beams": config.num_beams, "repetition_penalty": config.sampling.repetition_penalty or 1.0}
    if config.num_beams != 1 or beams != 1:
        asked |= {"length_penalty": config.length_penalty, "early_stopping": config.early_stopping}
    ignored = find_ignored_rules(values) | find_unknown_names(extra.get(SOURCES[0]) or {})
    ignored |= {name: values[name] for name, own in asked.items() if values.get(name, own) != own}
    ignored |= _ignored_sampling(config, values) | _ignored_ends(config, values)
    ignored |= _ignored_start(extra)
    return tuple(f"{name}={ignored[name]!r}" for name in sorted(ignored))


def _ignored_start(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The first token of a decoder if generation_config.json differs from config.json, which is followed."""
    generation, model = (extra.get(source) or {} for source in SOURCES)
    start = generation.get("decoder_start_token_id")
    own = model.get("decoder_start_token_id", model.get("pad_token_id"))
    differs = start not in (None, own) and model.get("is_encoder_decoder", True)
    return {"decoder_start_token_id": start} if differs else {}


def _ignored_sampling(config: GenerationConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """The files' settings of draws that differ from the config's."""
    if not values.get("do_sample"):
        return {}
    own = config.sampling._asdict()
    drawn = own["temperature"] is not None
    cuts = {name: values[name] for name, idle in SAMPLING.items() if values.get(name) not in (None, *idle)}
    differing = {name: value for name, value in cuts.items() if value != own[name]}
    return differing if drawn else {"do_sample": True, **cuts}


def _ignored_ends(config: GenerationConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """The files' stop strings and greatest length, if they would end a text sooner than the config."""
    stops = values.get("stop_strings") or []
    strings = stops if isinstance(stops, list | tuple) else [stops]
    is_missing = any(string not in config.stop_strings for string in strings)
    ignored: dict[str, Any] = {"stop_strings": stops} if is_missing else {}
    longest = "max_new_tokens" if "max_new_tokens" in values else "max_length"
    limit = values.get(longest)
    if isinstance(limit, int) and limit < config.max_new_tokens:
        ignored[longest] = limit
    return ignored


def _file_rules(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the files without null; an attribute of the first BARTs is translated to today's name."""
    values: dict[str, Any] = {}
    for source in reversed(SOURCES):
        entries = extra.get(source) or {}
        values |= {name: value for name, value in entries.items() if value is not None}
    if values.get("force_bos_token_to_be_generated") and "bos_token_id" in values:
        values.setdefault("forced_bos_token_id", values["bos_token_id"])
    return values


def _forbidden_words(values: Mapping[str, Any]) -> list[tuple[int, ...]]:
    words = values.get("bad_words_ids", [])
    if not isinstance(words, Sequence) or not all(isinstance(word, Sequence) for word in words):
        raise ModelError(f"bad_words_ids of the model's files is a list of lists of ids: got {words!r}")
    return [_ids("bad_words_ids", word) for word in words if word]


def _count(name: str, values: Mapping[str, Any]) -> int | None:
    count = values.get(name)
    if count is not None and (type(count) is not int or count < 0):
        raise ModelError(f"{name} of the model's files is a whole number from 0 on: got {count!r}")
    return count


def _id(name: str, values: Mapping[str, Any]) -> int | None:
    ids = _ids(name, values.get(name))
    return ids[0] if ids else None


def _ids(name: str, value: Any) -> tuple[int, ...]:
    ids = () if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
    if not all(isinstance(id, int) and not isinstance(id, bool) for id in ids):
        raise ModelError(f"{name} of the model's files is an id, or several: got {value!r}")
    return ids
