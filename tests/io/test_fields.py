"""Every field of numbers of every config refuses what is no number of its type."""

import dataclasses
import math
import typing

import pytest

from jaxlm import corruption, data, decoding, models, scoring, tokenizers, training
from jaxlm.io import check_numbers, matches_type, type_name
from jaxlm.io._fields import _kinds

CONFIGS = {
    kind.__name__: kind
    for kind in (
        tokenizers.TokenizerConfig,
        data.DataConfig,
        models.TransformerConfig,
        models.HeadConfig,
        corruption.NoiseConfig,
        corruption.SpanConfig,
        training.LossConfig,
        training.OptimizerConfig,
        training.RunConfig,
        decoding.GenerationConfig,
        scoring.EngineConfig,
        scoring.JobConfig,
        *scoring.MEASURES.values(),
    )
}
NUMBERS = {bool, int, float}
FIELDS = [
    (name, field.name, typing.get_type_hints(kind)[field.name])
    for name, kind in CONFIGS.items()
    for field in dataclasses.fields(kind)
    if NUMBERS & set(_kinds(typing.get_type_hints(kind)[field.name]))
]
ENORMOUS = 10**30


def wrong_values(hint):
    """What is no value of such a field, whatever its range."""
    kinds = set(_kinds(hint))
    yield from ("1", [], {}, object(), 1j)
    if type(None) not in kinds:
        yield None
    if bool not in kinds:
        yield from (True, False)
    if float in kinds:
        yield from (math.nan, math.inf, -math.inf)
    else:
        yield from (10.5, 10.0, math.nan)
    if int in kinds:
        yield from (ENORMOUS, -ENORMOUS, 2**64)
    if kinds & NUMBERS == {bool}:
        yield from (0, 1)


def made(kind, **values):
    """A config of these values, as they are made where no checker of annotations is at work."""
    config = kind()
    for name, value in values.items():
        object.__setattr__(config, name, value)
    config.__post_init__()
    return config


def test_there_are_fields_to_try():
    assert len(FIELDS) > 130 and {name for name, _, _ in FIELDS} >= set(CONFIGS) - {"Conditional"}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_no_number_of_its_type_is_refused(name):
    for config, field, hint in FIELDS:
        if config != name:
            continue
        is_tuple = "tuple" in str(hint)
        for value in wrong_values(hint):
            if is_tuple and value == []:
                continue
            with pytest.raises(ValueError) as caught:
                made(CONFIGS[name], **{field: value})
            line = str(caught.value)
            assert "\n" not in line and field in line, (field, value, line)


@pytest.mark.parametrize("name", CONFIGS)
def test_defaults_are_of_their_types(name):
    check_numbers(CONFIGS[name]())
    for config, field, hint in FIELDS:
        if config == name:
            assert matches_type(getattr(CONFIGS[name](), field), hint)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1.0}, "temperature is above 0"),
        ({"temperature": math.nan}, "temperature is above 0"),
        ({"temperature": True}, "temperature is above 0"),
        ({"temperature": "1"}, "temperature is above 0"),
        ({"temperature": [1.0]}, "temperature is above 0"),
        ({"top_k": -3}, "top_k is at least 1: got -3"),
        ({"top_k": 2.5}, "top_k is a whole number at least 1: got 2.5"),
        ({"top_k": True}, "top_k is a whole number"),
        ({"top_k": ENORMOUS}, "top_k is at least 1"),
        ({"top_p": 0}, "top_p is in"),
        ({"top_p": 1.5}, "top_p is in"),
        ({"min_p": -0.1}, "min_p is in"),
        ({"repetition_penalty": 0}, "repetition_penalty is above 0"),
        ({"repetition_penalty": math.inf}, "repetition_penalty is above 0"),
    ],
)
def test_sampling_is_checked_where_a_generation_is_asked_for(values, message):
    with pytest.raises(ValueError, match=message):
        decoding.GenerationConfig(sampling=decoding.Sampling(**values))


def test_words_for_types():
    assert type_name(float | typing.Literal["fraction"]) == "float or one of fraction"
    assert type_name(tuple[int, ...] | None) == "a tuple of int or None"
    assert not matches_type(["a"], tuple[int, ...]) and matches_type([1], tuple[int, ...])
