"""What a model's makers ask of every text that it writes, as their files say it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.decoding._generation_rules import SAMPLING, find_ignored_rules, find_unknown_names
from jaxlm.errors import ModelError

# A Hugging Face folder's generation_config.json, and its config.json, in which older ones keep the same.
SOURCES = ("generation", "huggingface")
# How long a text is at least, and what it does not repeat: whole numbers.
WHOLE_NUMBERS = ("min_length", "min_new_tokens", "no_repeat_ngram_size")


def with_defaults(config: GenerationConfig, extra: Mapping[str, Any]) -> GenerationConfig:
    """Returns a config with what a model's files say of which tokens may not, or must, be chosen.

    These are the ids that end a text, one that begins every text, one that ends those that are as long as
    they may be, those that are never chosen (`suppress_tokens`, `bad_words_ids`) or not as the first
    (`begin_suppress_tokens`), how long texts are at least (`min_length`, `min_new_tokens`), and how many
    tokens never stand in the same order twice (`no_repeat_ngram_size`). What the config says itself stays,
    `forbidden_ids=()` and 0 too. How tokens are searched or drawn is the caller's choice alone; what is left
    of the files' rules then, `ignored_rules` says.

    Args:
      config: what is asked for.
      extra: of `pretrained.Loaded`.

    Raises:
      ValueError: if one of them is no id, `bad_words_ids` are no lists of ids, or a number is none.

    Example:
      >>> from jaxlm.decoding import GenerationConfig, with_defaults
      >>> told = {"bad_words_ids": [[7]], "eos_token_id": 2}
      >>> asked = with_defaults(GenerationConfig(), {"huggingface": told})
      >>> asked.forbidden_ids, asked.stop_ids
      ((7,), (2,))
    """
    values, words = _told(extra), _words(_told(extra))
    ends = _ids("eos_token_id", values.get("eos_token_id"))
    # A word that only ends a text is none that transformers forbids.
    kept = ends if config.stop_ids is None else config.stop_ids
    single = {word[0] for word in words if len(word) == 1 and word[0] not in kept}
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
    if fields["min_new_tokens"]:  # fewer may be asked for than the makers' texts have at least
        fields["min_new_tokens"] = min(fields["min_new_tokens"], config.max_new_tokens)
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    unset = {name: value for name, value in fields.items() if getattr(config, name) == usual[name]}
    return dataclasses.replace(config, **unset)


def ignored_rules(config: GenerationConfig, extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns which rules of a model's files a generation `with_defaults` does not follow, as `name=value`.

    Every name of a generation_config.json is followed, has no effect on what is written, or is told here;
    names that nobody knows are told too.

    Args:
      config: what is asked for; a number of beams, a temperature, a penalty, an end that is the files' own is
        followed, and a text may be shorter than they say.
      extra: of `pretrained.Loaded`.

    Example:
      >>> from jaxlm.decoding import GenerationConfig, ignored_rules
      >>> told = {"num_beams": 4, "encoder_no_repeat_ngram_size": 3, "min_length": 10}
      >>> ignored_rules(GenerationConfig(), {"generation": told})
      ('encoder_no_repeat_ngram_size=3', 'num_beams=4')
      >>> ignored_rules(GenerationConfig(num_beams=4), {"generation": told})
      ('encoder_no_repeat_ngram_size=3',)
      >>> ignored_rules(GenerationConfig(), {"generation": {"stop_strings": ["END"], "max_new_tokens": 9}})
      ('max_new_tokens=9', "stop_strings=['END']")
    """
    values = _told(extra)
    beams = values.get("num_beams", 1)
    asked = {"num_beams": config.num_beams, "repetition_penalty": config.sampling.repetition_penalty or 1.0}
    if config.num_beams != 1 or beams != 1:
        asked |= {"length_penalty": config.length_penalty, "early_stopping": config.early_stopping}
    found = find_ignored_rules(values) | find_unknown_names(extra.get(SOURCES[0]) or {})
    found |= {name: values[name] for name, own in asked.items() if values.get(name, own) != own}
    found |= _ignored_sampling(config, values) | _ignored_ends(config, values)
    found |= _ignored_start(extra)
    return tuple(f"{name}={found[name]!r}" for name in sorted(found))


def _ignored_start(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What the decoder of an encoder-decoder begins with, which is read from config.json alone."""
    generation, model = (extra.get(source) or {} for source in SOURCES)
    start = generation.get("decoder_start_token_id")
    own = model.get("decoder_start_token_id", model.get("pad_token_id"))
    differs = start not in (None, own) and model.get("is_encoder_decoder", True)
    return {"decoder_start_token_id": start} if differs else {}


def _ignored_sampling(config: GenerationConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """How the files draw, where a text is not drawn so."""
    if not values.get("do_sample"):
        return {}
    own = config.sampling._asdict()
    drawn = own["temperature"] is not None
    cuts = {name: values[name] for name, idle in SAMPLING.items() if values.get(name) not in (None, *idle)}
    differing = {name: value for name, value in cuts.items() if value != own[name]}
    return differing if drawn else {"do_sample": True, **cuts}


def _ignored_ends(config: GenerationConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the files end a text by, where it would go on."""
    stops = values.get("stop_strings") or []
    strings = stops if isinstance(stops, list | tuple) else [stops]
    found = {"stop_strings": stops} if any(one not in config.stop_strings for one in strings) else {}
    longest = "max_new_tokens" if "max_new_tokens" in values else "max_length"
    limit = values.get(longest)
    if isinstance(limit, int) and limit < config.max_new_tokens:
        found[longest] = limit
    return found


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
        raise ModelError(f"bad_words_ids of the model's files is a list of lists of ids: got {words!r}")
    return [_ids("bad_words_ids", word) for word in words if word]


def _count(name: str, values: Mapping[str, Any]) -> int | None:
    found = values.get(name)
    if found is not None and (type(found) is not int or found < 0):
        raise ModelError(f"{name} of the model's files is a whole number from 0 on: got {found!r}")
    return found


def _id(name: str, values: Mapping[str, Any]) -> int | None:
    found = _ids(name, values.get(name))
    return found[0] if found else None


def _ids(name: str, value: Any) -> tuple[int, ...]:
    ids = () if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        raise ModelError(f"{name} of the model's files is an id, or several: got {value!r}")
    return ids
