"""What a model's files ask of every text: each rule is followed, of no effect, or told."""

import pytest

from jaxlm import decoding
from jaxlm.decoding._generation_rules import (
    CALLER_RULES,
    FOLLOWED,
    KNOWN,
    SAMPLING,
    SAMPLING_RULES,
    UNSUPPORTED_RULES,
    WITHOUT_EFFECT,
)

# A value of each rule that asks for something.
ASKING = {
    **dict.fromkeys(UNSUPPORTED_RULES, 3),
    "cache_implementation": "quantized",
    "constraints": [1],
    "force_words_ids": [[5]],
    "forced_decoder_ids": [[1, 5]],
    "watermarking_config": {"greenlist_ratio": 0.25},
    "sequence_bias": [[[5], 2.0]],
    "renormalize_logits": True,
    "token_healing": True,
    "stop_strings": ["\n"],
    "max_length": 20,
    "max_new_tokens": 20,
    "num_beams": 4,
    "do_sample": True,
    "repetition_penalty": 1.3,
}


def told(rules, where="generation", **options):
    return decoding.ignored_rules(decoding.GenerationConfig(**options), {where: rules})


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("where", ["generation", "huggingface"])
def test_a_rule_that_is_not_followed_is_told(name, where):
    """Older files keep the same in config.json."""
    (line,) = told({name: ASKING[name]}, where)
    assert line == f"{name}={ASKING[name]!r}" and "\n" not in line
    assert not told({name: None}, where)


@pytest.mark.parametrize("name", UNSUPPORTED_RULES)
def test_a_rule_that_asks_for_nothing_is_not_told(name):
    for value in UNSUPPORTED_RULES[name]:
        assert not told({name: value})


@pytest.mark.parametrize("name", [*SAMPLING, *SAMPLING_RULES])
def test_draws_are_told_where_the_file_draws(name):
    assert not told({name: 0.5})
    assert set(told({name: 0.5, "do_sample": True})) == {f"{name}=0.5", "do_sample=True"}


def test_what_is_drawn_as_the_files_say_is_followed():
    rules = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 0}
    sampling = decoding.Sampling(temperature=0.6, top_p=0.9)
    assert not told(rules, sampling=sampling)
    assert told(rules, sampling=sampling._replace(top_p=0.8)) == ("top_p=0.9",)


def test_what_the_caller_says_himself_is_followed():
    assert not told({"stop_strings": ["END"]}, stop_strings=("END", "."))
    assert not told({"max_length": 20}, max_new_tokens=20)
    assert not told({"max_length": 20, "max_new_tokens": 30}, max_new_tokens=25)
    assert not told({"max_length": 200})


def test_a_decoder_that_begins_otherwise_is_told():
    files = {"huggingface": {"is_encoder_decoder": True, "decoder_start_token_id": 2}}
    config = decoding.GenerationConfig()
    assert not decoding.ignored_rules(config, {**files, "generation": {"decoder_start_token_id": 2}})
    found = decoding.ignored_rules(config, {**files, "generation": {"decoder_start_token_id": 0}})
    assert found == ("decoder_start_token_id=0",)


def test_names_that_nobody_knows_are_told_of_generation_config_alone():
    assert told({"max_window_size": 24}) == ("max_window_size=24",)
    assert not told({"max_window_size": 24}, "huggingface")


def test_every_rule_of_transformers_is_in_one_table():
    transformers = pytest.importorskip("transformers")
    names = set(vars(transformers.GenerationConfig()))
    names |= transformers.GenerationConfig._get_default_generation_params().keys()
    assert names <= KNOWN, names - KNOWN
    tables = (FOLLOWED, WITHOUT_EFFECT, UNSUPPORTED_RULES, SAMPLING_RULES, SAMPLING, CALLER_RULES)
    assert sum(map(len, tables)) == len(KNOWN)
    assert not any(told({name: 3}) for name in WITHOUT_EFFECT)
