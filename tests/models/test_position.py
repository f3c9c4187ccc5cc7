"""The records that a config is made of: what each refuses, names in their place, and JSON."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import errors, models

REFUSED = [
    (models.Learned, {"offset": -1}, "position.offset must not be negative: got -1"),
    (models.Rotary, {"base": 0.0}, "position.base must be positive: got 0.0"),
    (models.Rotary, {"window_base": -1.0}, "position.window_base must be positive: got -1.0"),
    (models.Rotary, {"amplitude": float("nan")}, "position.amplitude must be positive: got nan"),
    (models.Relative, {"buckets": 3}, "position.buckets divides .* got 3, use 4 or more"),
    (models.Relative, {"distance": 16}, "position.distance lies beyond .* got 16 with position.buckets=32"),
    (models.Relative, {"distance": 1 << 25}, "position.distance must be at most 16,777,216"),
    (models.LinearScaling, {"factor": 0.0}, "position.scaling.factor must be positive: got 0.0"),
    (models.DynamicScaling, {"length": 0}, "position.scaling.length must be positive: got 0"),
    (models.Llama3Scaling, {"fast_turns": 1.0}, "fast_turns must be above slow_turns"),
    (models.YarnScaling, {"slow_turns": 32.0}, "got fast_turns=32.0, slow_turns=32.0"),
    (models.TransformHead, {"epsilon": 0.0}, "head.epsilon must be positive: got 0.0"),
    (models.DecoderConfig, {"depth": 10_001}, "decoder.depth must be at most 10,000: got 10,001"),
    (models.DecoderConfig, {"mlp_width": 0}, "decoder.mlp_width must be positive: got 0"),
]


@pytest.mark.parametrize(("record", "options", "message"), REFUSED)
def test_a_record_refuses_its_own_values(record, options, message):
    with pytest.raises(errors.ConfigError, match=message) as caught:
        record(**options)
    assert "\n" not in str(caught.value)


KINDS = {
    "learned": models.Learned,
    "sinusoidal": models.Sinusoidal,
    "rotary": models.Rotary,
    "relative": models.Relative,
    "instruction": models.Instruction,
    "none": models.NoPosition,
}
SCALINGS = {
    "none": models.NoScaling,
    "linear": models.LinearScaling,
    "dynamic": models.DynamicScaling,
    "llama3": models.Llama3Scaling,
    "yarn": models.YarnScaling,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_name_stands_for_the_defaults(name):
    config = models.TransformerConfig(position=name)
    assert config.position == KINDS[name]() and config.position.kind == name
    assert config == models.TransformerConfig(position=KINDS[name]())
    assert hash(config) == hash(models.TransformerConfig(position=KINDS[name]()))
    assert models.from_dict({"position": name}) == models.from_dict({"position": {"kind": name}}) == config


@pytest.mark.parametrize("name", SCALINGS)
def test_a_scaling_by_its_name(name):
    assert models.Rotary(scaling=name).scaling == SCALINGS[name]()
    assert models.from_dict({"position": {"kind": "rotary", "scaling": name}}) == models.TransformerConfig(
        position=models.Rotary(scaling=name)
    )


def made_of(record, **fields):
    """Records are made inside the test: how their types are checked there draws at random."""
    return st.tuples(st.just(record), st.fixed_dictionaries(fields))


positive = st.floats(0.5, 1e6)
lengths = st.none() | st.integers(1, 10**6)
turns = {"slow_turns": st.floats(0.1, 1.0), "fast_turns": st.floats(1.5, 64.0)}
scalings = st.one_of(
    made_of(models.NoScaling),
    made_of(models.LinearScaling, factor=positive),
    made_of(models.DynamicScaling, factor=positive, length=lengths),
    made_of(models.Llama3Scaling, factor=positive, length=lengths, **turns),
    made_of(models.YarnScaling, factor=positive, length=lengths, rounded=st.booleans(), **turns),
)
positions = st.one_of(
    made_of(models.Learned, offset=st.integers(0, 9)),
    made_of(models.Sinusoidal),
    made_of(
        models.Rotary,
        base=positive,
        window_base=st.none() | positive,
        share=st.sampled_from([0.25, 0.5, 1.0]),
        amplitude=st.none() | positive,
        scaling=scalings,
    ),
    made_of(models.Relative, buckets=st.integers(4, 64), distance=st.integers(33, 512)),
    made_of(models.Instruction, next_id=st.integers(0, 9), source=st.sampled_from(["clean", "corrupted"])),
    made_of(models.NoPosition),
)
heads = made_of(models.LinearHead) | made_of(
    models.TransformHead, activation=st.sampled_from([None, "relu"]), epsilon=st.none() | positive
)
decoders = st.none() | made_of(models.DecoderConfig, depth=st.none() | st.integers(1, 9))


def put_together(drawn):
    if not isinstance(drawn, tuple):
        return drawn
    record, fields = drawn
    return record(**{name: put_together(value) for name, value in fields.items()})


@given(positions, heads, decoders)
@settings(max_examples=80, deadline=None)
def test_json_and_back_and_the_flat_list_and_back(position, head, decoder):
    records = {"position": position, "head": head, "decoder": decoder}
    records = {name: put_together(drawn) for name, drawn in records.items()}
    config = models.TransformerConfig(vocab_size=100, **records)
    assert models.from_dict(json.loads(json.dumps(models.to_dict(config)))) == config
    flat = json.loads(json.dumps(models.flat_config(config)))
    # A flat list has no word for a decoder that is like its encoder.
    is_told = config.decoder != models.DecoderConfig()
    assert models.from_dict(flat) == (config if is_told else dataclasses.replace(config, decoder=None))


def test_what_follows_is_filled_in_by_resolved():
    config = models.TransformerConfig(
        max_length=64,
        depth=3,
        mlp_width=40,
        position=models.Rotary(scaling="yarn"),
        decoder=models.DecoderConfig(start_id=2),
    ).resolved()
    assert config.position.scaling.length == 64
    assert config.decoder == models.DecoderConfig(depth=3, mlp_width=40, start_id=2)
    assert config.resolved() == config
    assert models.decoder_config(config).decoder is models.encoder_config(config).decoder is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"position": {"kind": "learned", "base": 5.0}},
            "position has no field 'base'; its fields are offset",
        ),
        ({"position": {"base": 5.0}}, "position.kind is one of learned, .*: got None"),
        ({"position": "spiral"}, "position.kind is one of learned, .*: got 'spiral'"),
        ({"position": 3}, "position must be"),
        ({"position": {"kind": "rotary", "scaling": {"kind": "linear", "length": 3}}}, "no field 'length'"),
        ({"position": {"kind": "rotary", "base": "5"}}, "position.base must be float: got '5'"),
        ({"head": {"kind": "linear", "epsilon": 1e-3}}, "head has no field 'epsilon'"),
        (
            {"decoder": {"width": 3}},
            "decoder has no field 'width'; its fields are depth, mlp_width, start_id",
        ),
        ({"decoder": {"depth": 0}}, "decoder.depth must be positive: got 0"),
    ],
)
def test_a_wrong_combination_in_a_file_is_one_line(values, message):
    with pytest.raises(errors.ConfigError, match=message) as caught:
        models.from_dict(values)
    assert "\n" not in str(caught.value)


def test_another_records_option_cannot_be_written():
    with pytest.raises(TypeError, match="unexpected keyword argument 'base'"):
        models.Learned(base=5.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rotary_base'"):
        dataclasses.replace(models.TransformerConfig(), rotary_base=5.0)
