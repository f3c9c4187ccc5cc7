"""Configs of earlier versions, with all options in one list: what they are read as, and written again."""

import dataclasses
import json
from pathlib import Path

import pytest

from jaxlm import models

# What `to_dict` wrote before options of one kind became records: every field of the default config, and what
# others have in their place.
FLAT = json.loads((Path(__file__).parent / "data" / "flat_configs.json").read_text())
RESOLVED = {name for name in FLAT["configs"] if name.endswith("resolved")}


def flat(name):
    return FLAT["defaults"] | FLAT["configs"][name]


TURNS = {"base": 5e5, "window_base": 50.0, "share": 0.5}
LLAMA3 = models.Llama3Scaling(factor=8.0, length=8192, slow_turns=0.5, fast_turns=4.0)
YARN = models.YarnScaling(factor=4.0, length=256, slow_turns=2.0, fast_turns=16.0, rounded=False)
READ_AS = {
    "learned": {"position": models.Learned(offset=2)},
    "sinusoidal": {"position": models.Sinusoidal()},
    "rotary none": {"position": models.Rotary(**TURNS)},
    "rotary linear": {"position": models.Rotary(**TURNS, scaling=models.LinearScaling(factor=4.0))},
    "rotary dynamic": {
        "position": models.Rotary(**TURNS, scaling=models.DynamicScaling(factor=2.0, length=64))
    },
    "rotary llama3": {"position": models.Rotary(**TURNS, scaling=LLAMA3)},
    "rotary yarn": {"position": models.Rotary(**TURNS, amplitude=0.9, scaling=YARN)},
    "relative": {"position": models.Relative(buckets=16, distance=64)},
    "instruction": {"position": models.Instruction(next_id=7, source="corrupted")},
    "instruction before a tokenizer": {"position": models.Instruction()},
    "none": {"position": models.NoPosition()},
    "linear head": {"head": models.LinearHead(), "head_bias": False},
    "transform head": {"head": models.TransformHead(activation="relu", epsilon=1e-3)},
    "decoder": {
        "position": models.Relative(),
        "decoder": models.DecoderConfig(depth=3, mlp_width=96, start_id=0),
    },
    "decoder that begins": {"decoder": models.DecoderConfig(start_id=1)},
}


@pytest.mark.parametrize("name", READ_AS)
def test_an_old_file_is_read_as_the_records_it_says(name):
    windows = {"window": 8, "layer_pattern": "wf"} if name.startswith("rotary") else {}
    assert models.from_dict(flat(name)) == models.TransformerConfig(**windows, **READ_AS[name])


@pytest.mark.parametrize("name", FLAT["configs"])
def test_old_and_new_files_are_of_the_same_config(name):
    config = models.from_dict(flat(name))
    written = json.loads(json.dumps(models.to_dict(config)))
    assert models.from_dict(written) == config
    assert not {"rotary_base", "next_id", "decoder_depth", "head_epsilon"} & written.keys()
    # Of what was filled in as it followed from others, fields that nothing read are lost.
    again = models.flat_config(config)
    lost = {field for field, value in flat(name).items() if again[field] != value}
    assert lost <= ({"rotary_length"} if name in RESOLVED else set())
    assert again.keys() == FLAT["defaults"].keys()


@pytest.mark.parametrize("name", models.PRESETS)
def test_presets_are_what_they_were(name):
    assert models.from_dict(flat(f"preset {name}")) == dataclasses.replace(
        models.PRESETS[name], vocab_size=100
    )


def test_a_few_flat_fields_beside_defaults():
    """As people write them by hand, and as the first versions did, which had fewer fields."""
    config = models.from_dict({"position": "rotary", "rotary_scaling": "linear", "rotary_factor": 2})
    assert config.position == models.Rotary(scaling=models.LinearScaling(factor=2.0))
    assert isinstance(config.position.scaling.factor, float)
    assert models.from_dict({"position_offset": 2}).position == models.Learned(offset=2)
    assert models.from_dict({"position": "relative", "head": "linear"}) == models.TransformerConfig(
        position="relative", head="linear"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"position": {"kind": "rotary"}, "rotary_base": 5.0}, "has no field 'rotary_base'"),
        ({"position": "rotary", "rotary_base": "5"}, "position.base must be float: got '5'"),
        ({"position": "rotary", "rotary_scaling": "ntk"}, "position.scaling.kind is one of none, linear"),
        ({"position": "rotatory", "rotary_base": 5.0}, "position.kind is one of learned, sinusoidal"),
        ({"position": "rotary", "rotary_scaling": ["yarn"]}, "position.scaling.kind is one of"),
        ({"position": "rotary", "rotary_scaling": {"kind": "yarn"}}, "position.scaling.kind is one of"),
    ],
)
def test_a_wrong_old_file_is_one_line(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        models.from_dict(values)
    assert "\n" not in str(caught.value)
