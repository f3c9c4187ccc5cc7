"""Every command on a T5 folder of Hugging Face: those that make sense, and a line of those that do not."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxlm import decoding, models, pretrained, tokenizers
from jaxlm.cli import main
from tests.tokenizers.test_marian import VOCAB, write

T5 = models.TransformerConfig(
    vocab_size=268,
    width=16,
    depth=1,
    num_heads=2,
    max_length=64,
    position="relative",
    norm="rms",
    attention_scale=1.0,
    use_bias=False,
    activation="relu",
    head="linear",
    head_bias=False,
    output_scale=0.25,
    decoder=models.DecoderConfig(start_id=256),
    init_std=0.5,
)
MARIAN = models.TransformerConfig(
    vocab_size=len(VOCAB),
    width=16,
    depth=1,
    num_heads=2,
    max_length=32,
    position="sinusoidal",
    norm_placement="post",
    head="linear",
    decoder=models.DecoderConfig(start_id=VOCAB.index("<pad>")),
    init_std=0.5,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = models.build(T5, "seq2seq_lm")
    params = jax.jit(model.init)(jax.random.key(3), jnp.array([[1]]))["params"]
    tokenizer = tokenizers.with_sentinels(tokenizers.bytes_tokenizer(), 4)
    loaded = pretrained.Loaded(T5, "seq2seq_lm", model, params, tokenizer, {})
    assert pretrained.save_huggingface(folder / "t5", loaded) == "T5ForConditionalGeneration"
    lines = [f"number {n} is {'odd' if n % 2 else 'even'}" for n in range(20)]
    (folder / "all.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def said(capsys, *arguments):
    assert main(list(arguments)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_generate_writes_from_a_whole_text(here, capsys):
    loaded = pretrained.load("t5")
    prompt = loaded.tokenizer.encode("a <extra_id_0> c", add_specials=True)
    config = decoding.GenerationConfig(max_new_tokens=5)
    (found,) = decoding.generate(loaded, [prompt], config)
    assert said(capsys, "generate", "t5", "a <extra_id_0> c", "-n", "5") == found.text + "\n"
    shown = json.loads(
        said(capsys, "generate", "t5", "a <extra_id_0> c", "-n", "5", "--json", "--num-beams", "2")
    )
    assert shown["prompt"] == "a <extra_id_0> c" and "score" in shown


def test_generate_translates_with_a_marian_folder_as_it_is(tmp_path, capsys):
    model, folder = models.build(MARIAN, "seq2seq_lm"), tmp_path / "opus-mt-en-de"
    params = jax.jit(model.init)(jax.random.key(1), jnp.array([[1]]))["params"]
    pretrained.save_huggingface(folder, pretrained.Loaded(MARIAN, "seq2seq_lm", model, params, None, {}))
    write(folder)
    (folder / "generation_config.json").write_text(json.dumps({"bad_words_ids": [[11]], "eos_token_id": 0}))
    shown = json.loads(said(capsys, "generate", str(folder), ">>de<< ab rare", "-n", "6", "--json"))
    prompt = np.array([VOCAB.index(token) for token in (">>de<<", "▁a", "b", "<unk>", "</s>")])
    config = decoding.GenerationConfig(max_new_tokens=6, forbidden_ids=(11,))
    loaded = pretrained.load(folder)._replace(tokenizer=tokenizers.load_tokenizer(folder, side="target"))
    (found,) = decoding.generate(loaded, [prompt], config)
    assert shown["tokens"] == found.tokens.tolist() and shown["text"] == found.text
    (folder / "source.spm").write_bytes((folder / "source.spm").read_bytes()[:-3])
    assert main(["generate", str(folder), "ab"]) == 2
    told = capsys.readouterr().err
    assert "source.spm is no SentencePiece model" in told and told.count("\n") == 1


def test_what_generation_config_asks_for_is_kept(here, capsys, tmp_path):
    pretrained.convert("t5", tmp_path / "run")
    pretrained.convert(tmp_path / "run", tmp_path / "asked")
    asked = {"forced_bos_token_id": 104, "forced_eos_token_id": 257, "bad_words_ids": [[97], [98, 99]]}
    (tmp_path / "asked/generation_config.json").write_text(json.dumps(asked))
    shown = json.loads(said(capsys, "generate", str(tmp_path / "asked"), "abc", "-n", "4", "--json"))
    assert (shown["tokens"][0], len(shown["tokens"]), shown["tokens"][-1]) == (104, 4, 257)
    found = decoding.with_defaults(decoding.GenerationConfig(), pretrained.load(tmp_path / "asked").extra)
    assert (found.forbidden_ids, found.first_id, found.last_id) == ((97,), 104, 257)
    assert found.forbidden_words == ((98, 99),)
    own = decoding.GenerationConfig(first_id=0, stop_ids=(5,), forbidden_ids=(1,))
    found = decoding.with_defaults(own, {"generation": {**asked, "eos_token_id": [7, 8]}})
    assert (found.forbidden_ids, found.first_id, found.stop_ids) == ((1,), 0, (5,))
    with pytest.raises(ValueError, match="forced_bos_token_id of the model's files is an id"):
        decoding.with_defaults(decoding.GenerationConfig(), {"generation": {"forced_bos_token_id": "a"}})


def test_rules_that_are_not_followed_are_said_in_a_line(here, capsys, tmp_path):
    pretrained.convert("t5", tmp_path / "run")
    pretrained.convert(tmp_path / "run", tmp_path / "asked")
    asked = {"num_beams": 2, "length_penalty": 2.0, "min_length": 3, "encoder_no_repeat_ngram_size": 4}
    path = tmp_path / "asked/generation_config.json"
    path.write_text(json.dumps({**asked, "no_repeat_ngram_size": 0, "suppress_tokens": None}))
    command = ["generate", str(tmp_path / "asked"), "abc", "-n", "2"]
    assert main(command) == 0
    told = capsys.readouterr().err
    every = "encoder_no_repeat_ngram_size=4, length_penalty=2.0, num_beams=2"
    assert told.endswith(f"jaxlm generate: the model's files ask for {every}, which is not followed here\n")
    assert main([*command, "--num-beams", "2", "--length-penalty", "2"]) == 0
    assert "ask for encoder_no_repeat_ngram_size=4, which" in capsys.readouterr().err
    assert main(["generate", "t5", "abc", "-n", "2"]) == 0 and not capsys.readouterr().err
    for wrong in (5, [["a"]], [5]):
        path.write_text(json.dumps({"bad_words_ids": wrong}))
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "bad_words_ids of the model's files is" in told and told.count("\n") == 1


def test_the_first_bart_s_rule_and_one_that_is_switched_off():
    old = {"force_bos_token_to_be_generated": True, "bos_token_id": 7, "bad_words_ids": [[1]]}
    usual, own = decoding.GenerationConfig(), decoding.GenerationConfig(forbidden_ids=())
    found = decoding.with_defaults(usual, {"huggingface": old})
    assert (found.first_id, found.forbidden_ids) == (7, (1,))
    assert decoding.with_defaults(own, {"huggingface": old}).forbidden_ids == ()
    assert decoding.with_defaults(usual, {"huggingface": {"bos_token_id": 7}}).first_id is None


def test_convert_there_and_back_no_byte_changes(here, capsys, tmp_path):
    assert "a jaxlm folder" in said(capsys, "convert", "t5", str(tmp_path / "run"))
    assert "T5ForConditionalGeneration" in said(
        capsys, "convert", str(tmp_path / "run"), str(tmp_path / "t5")
    )
    ours, theirs = (
        safetensors.numpy.load_file(folder / "t5/model.safetensors") for folder in (here, tmp_path)
    )
    assert ours.keys() == theirs.keys()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    assert json.loads((tmp_path / "t5/config.json").read_text())["decoder_start_token_id"] == 256


def test_info_and_evaluate(here, capsys):
    shown = json.loads(said(capsys, "info", "t5", "--json"))
    assert shown["family"] == "t5" and shown["config"]["objective"] == "seq2seq_lm"
    assert {"encoder.blocks", "decoder.blocks", "encoder.distances"} <= shown["parameters"].keys()
    scores = json.loads(said(capsys, "evaluate", "t5", "all.txt", "--json"))
    assert np.isfinite(scores["nll"]) and scores["scored"] > 20


def test_a_model_without_sentinels_is_not_evaluated_by_spans(here, capsys, tmp_path):
    loaded = pretrained.load("t5")
    plain = loaded._replace(tokenizer=tokenizers.bytes_tokenizer())
    pretrained.save_huggingface(tmp_path / "plain", plain)
    assert main(["evaluate", str(tmp_path / "plain"), "all.txt"]) == 2
    # Behind the line that tells of rows without a token.
    *_, told = capsys.readouterr().err.splitlines()
    assert "was not trained to fill in spans" in told and "jaxlm generate" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fill", "t5", "a [MASK]"], "t5 fills no masks: it was trained as seq2seq_lm"),
        (["next", "t5", "a"], "t5 predicts no next token: it was trained as seq2seq_lm"),
    ],
)
def test_what_makes_no_sense_is_one_line(here, capsys, arguments, message):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
