"""Names of a config.json: known, unknown, second names, null, and values that stand for another model."""

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import models
from jaxlm.pretrained._families import FAMILIES, family_of
from jaxlm.pretrained._huggingface import read_config
from jaxlm.pretrained._known_names import INERT, OF_CODE, PLAIN
from tests.pretrained.test_families import values_of

PUBLISHED = json.loads((Path(__file__).parent / "data/published_configs.json").read_text())
# What published files hold that no class of transformers reads.
SEEN = {
    "use_mrope": False,
    "is_llama_config": True,
    "rope_interleaved": False,
    "_num_labels": 3,
    "n_special": 0,
    "predict_special_tokens": True,
    "unsloth_fixed": True,
    "max_sequence_length": 2048,
    "language": "de",
    "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
    "condition_on_chain": None,
}
TOLD = "names that nothing reads, here or in transformers, are left out: "
# Which of the published files have such names.
UNKNOWN = {
    "facebook/esm2_t6_8M_UR50D": "hidden_act",
    "a GPT-2 of 2019, without a type": "n_special, predict_special_tokens",
    "HuggingFaceTB/SmolLM2-135M": "is_llama_config",
    "Helsinki-NLP/opus-mt-en-de": "_num_labels",
}
SIZES = {"a GPT-2 of 2019, without a type": 124_439_808, "EleutherAI/pythia-70m": 70_426_624}


def config_of(name, **options):
    return FAMILIES[name].config(values_of(name, **options))


@pytest.mark.parametrize("name", FAMILIES)
def test_names_that_nothing_reads_open_a_file_and_are_told_in_one_line(name, tmp_path, caplog):
    values = values_of(name, **SEEN)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):  # a command opens a folder more than once
            imported = read_config(tmp_path / "config.json", values)
    assert imported.config == config_of(name)
    (line,) = [record.getMessage() for record in caplog.records]
    every = ", ".join(known for known in SEEN if known not in PLAIN)
    assert line == f"{tmp_path / 'config.json'}: {TOLD}{every}"


@settings(deadline=None, max_examples=15)
@given(
    st.dictionaries(
        st.text(min_size=1).map("x-{}".format),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    ),
    st.sampled_from(sorted(FAMILIES)),
)
def test_any_name_is_left_out(names, family):
    values = values_of(family, **names)
    assert FAMILIES[family].config(values) == config_of(family)
    unknown = FAMILIES[family].unknown(values)
    assert len(unknown) == len(names) and "".join(unknown).isprintable()


@pytest.mark.parametrize("name", FAMILIES)
def test_known_names_are_not_told(name):
    family = FAMILIES[name]
    known = {*INERT, *PLAIN, *OF_CODE, *family.inert, *family.only, *family.synonyms, *family.read_names}
    known |= {attribute.theirs for attribute in family.attributes}
    assert family.unknown(dict.fromkeys(known)) == ()


@pytest.mark.parametrize("name", FAMILIES)
def test_some_values_are_refused_though_nothing_reads_them(name):
    code = {"auto_map": {"AutoModel": "modeling_other.OtherModel", "AutoTokenizer": ["a.B", None]}}
    for options in ({"rope_interleaved": True}, {"use_mrope": True}, code):
        with pytest.raises(ValueError, match="attributes that are not supported: " + next(iter(options))):
            config_of(name, **options)
    own = {"AutoModelForX": f"owner/repository--modeling.{FAMILIES[name].architecture}"}
    for harmless in (own, {"AutoTokenizer": ["tokenization.Own", None]}, None):
        assert config_of(name, auto_map=harmless) == config_of(name)
    assert "auto_map" in FAMILIES[name].unknown(values_of(name, auto_map=own))


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].kind.next_token])
def test_a_decoder_that_looks_ahead_is_refused(name):
    assert config_of(name, is_causal=True) == config_of(name)
    with pytest.raises(ValueError, match=r"is_causal=False \(only True\)"):
        config_of(name, is_causal=False)


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name].synonyms])
def test_second_names_stand_above_first_ones(name):
    family = FAMILIES[name]
    fields = {attribute.theirs: attribute.ours[0] for attribute in family.attributes}
    for second, first in family.synonyms.items():
        value = 2 * values_of(name).get(first, 1024)
        config = config_of(
            name, **{second: value, **({"decoder_attention_heads": 8} if "heads" in second else {})}
        )
        assert getattr(config, fields[first]) == value
        assert config_of(name, **{second: None}) == config_of(name)


def test_a_decoder_is_as_deep_as_the_first_name_says():
    config = config_of("t5", num_hidden_layers=5)
    assert (config.depth, config.decoder.depth) == (5, 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_null_stands_for_the_default_where_it_is_no_value(name):
    family = FAMILIES[name]
    usual = config_of(name)
    for attribute in family.attributes:
        if attribute.theirs not in values_of(name):
            config = config_of(name, **{attribute.theirs: None})
            assert config == usual or getattr(config, attribute.ours[0]) in (None, False, "none")


@pytest.mark.parametrize("word", ["gelu", "gelu_new", "silu"])
def test_the_parts_of_t5s_feed_forward_stand_above_its_word(word):
    gated = {"gelu": "geglu", "gelu_new": "geglu_tanh", "silu": "swiglu"}[word]
    assert config_of("t5", dense_act_fn=word, is_gated_act=True).activation == gated
    assert config_of("t5", feed_forward_proj="gated-gelu", dense_act_fn=word).activation == gated
    with pytest.raises(ValueError, match="dense_act_fn='mish'"):
        config_of("t5", dense_act_fn="mish")


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_rope_is_read_by_its_older_name_first(name):
    linear, other = {"type": "linear", "factor": 2.0}, {"rope_type": "default", "rope_theta": 9.0}
    both = config_of(name, rope_scaling=linear, rope_parameters=other)
    assert both == config_of(name, rope_scaling=linear) and both.position.base == 10000.0
    assert config_of(name, rope_scaling=None, rope_parameters=other).position.base == 9.0


def test_half_of_modernberts_window_has_a_name_of_its_own():
    assert config_of("modernbert", local_attention=8).window == 5
    assert config_of("modernbert", local_attention=8, sliding_window=3).window == 4


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_no_blocks_is_refused(name):
    family = FAMILIES[name]
    depth = next(attribute.theirs for attribute in family.attributes if attribute.ours[0] == "depth")
    with pytest.raises(ValueError, match=rf"depth must be positive: got 0.*{depth}=0"):
        config_of(name, **{depth: 0})


def test_positions_of_esm_are_named():
    with pytest.raises(ValueError, match="position_embedding_type=None"):
        config_of("esm", position_embedding_type=None)


def test_what_a_length_beside_the_rope_parameters_says():
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 6}
    config = config_of("llama", rope_parameters=yarn, original_max_position_embeddings=9)
    assert config.position.scaling.length == 9
    config = config_of("llama", rope_parameters={**yarn, "factor": None}, max_position_embeddings=24)
    assert config.position.scaling.factor == 4.0


def test_dynamic_rotary_beyond_its_length_is_told(tmp_path, caplog):
    values = values_of("llama", rope_scaling={"type": "dynamic", "factor": 2.0}, max_position_embeddings=7)
    with caplog.at_level(logging.WARNING):
        read_config(tmp_path / "config.json", values)
    assert "rope_type='dynamic'" in caplog.text and "over 7 tokens" in caplog.text


def test_a_field_that_cannot_be_is_told_by_its_name_in_the_file():
    with pytest.raises(
        ValueError, match=r"norm_epsilon must be positive: got 0.0 \(here layer_norm_eps=0.0\)"
    ):
        config_of("bert", layer_norm_eps=0.0)
    with pytest.raises(ValueError, match=r"\(here hidden_size='a'\)"):
        config_of("distilbert", hidden_size="a")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_open(name, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        imported = read_config(tmp_path / "config.json", PUBLISHED[name])
    told = [record.getMessage().split(TOLD)[1] for record in caplog.records]
    assert told == ([UNKNOWN[name]] if name in UNKNOWN else [])
    assert imported.family is family_of(PUBLISHED[name])
    if name in SIZES:
        assert models.num_params(imported.config, imported.family.kind) == SIZES[name]
