"""A run's folder and its converted one read alike, here and in transformers, with every tokenizer."""

import functools
import json
import os
import random

import jax
import jax.numpy as jnp
import pytest

from jaxlm import cli, data, decoding, models, pretrained, scoring, tokenizers, training
from jaxlm.pretrained._export import _write_tokenizer
from jaxlm.pretrained._load import _told_ends
from tests.tokenizers.published import PUBLISHED, published

SIZE = dict(width=16, depth=1, num_heads=2, max_length=48, init_std=0.4)
CONFIGS = {
    "causal_lm": dict(causal=True, activation="gelu_tanh", head="linear", head_bias=False),
    "masked_lm": dict(norm_placement="post", embedding_norm=True, token_types=2),
}
OWN = {
    "bytes": ["low lower", "lowest of all"],
    "subwords": ["low lower", "lowest of all"],
    "residues": ["MKTAYIAK", "MKV"],
    "instructions": ["mov rax 1 [NEXT] ret", "ret [NEXT] mov rbx 2"],
}
KINDS = [*OWN, *PUBLISHED]
TEXTS = ["ab", "a b ab"]


def tokenizer_of(kind, folder):
    texts = OWN.get(kind, TEXTS)
    if kind in PUBLISHED:
        return published(kind, folder)
    return tokenizers.train_tokenizer(texts, tokenizers.TokenizerConfig(kind=kind, vocab_size=600), kind)


def save_run(folder, tokenizer, objective, ends):
    """A folder as `train` leaves it, of parameters that are drawn."""
    config = models.TransformerConfig(vocab_size=tokenizer.vocab_size, **SIZE, **CONFIGS[objective])
    params = _drawn(models.build(config, objective))
    rows = data.DataConfig(ends=ends, row_length=48)
    experiment = training.Experiment(objective=objective, data=rows, model=config)
    extra = {"experiment": experiment.to_dict()}
    pretrained.save_model(folder, config, params, tokenizer, kind=objective, extra=extra)
    return folder


@functools.lru_cache(maxsize=4)
def _drawn(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]


@pytest.fixture
def pair(tmp_path, request):
    """Of a kind of tokenizer, an objective, and whether its texts had ends: the run, and what it became."""
    kind, objective, ends = request.param
    run = save_run(tmp_path / "run", tokenizer_of(kind, tmp_path), objective, ends)
    pretrained.convert(run, tmp_path / "converted")
    return run, tmp_path / "converted", OWN.get(kind, TEXTS)


def cases(kinds):
    return [(kind, objective, ends) for kind in kinds for objective in CONFIGS for ends in (True, False)]


def told(case):
    return f"{case[0]}-{case[1]}-{'ends' if case[2] else 'plain'}"


def exported(kind, objective, ends, folder):
    """The run as it is opened, and its exported folder, both without parameters."""
    config, extra = models.TransformerConfig(**SIZE), {"experiment": {"data": {"ends": ends}}}
    model = models.build(models.TransformerConfig(vocab_size=9, **SIZE))
    run = pretrained.Loaded(config, objective, model, {}, tokenizer_of(kind, folder / "published"), extra)
    folder.mkdir(exist_ok=True)
    _write_tokenizer(folder, run, 48)
    extra = {"huggingface": {}, **_told_ends(folder / "tokenizer_config.json")}
    return run, pretrained.Loaded(config, objective, model, {}, tokenizers.load_tokenizer(folder), extra)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_finds_the_same_around_a_text(tmp_path, kind):
    for _, objective, ends in cases([kind]):
        ours, theirs = exported(kind, objective, ends, tmp_path / f"{objective}-{ends}")
        assert theirs.tokenizer.specials == ours.tokenizer.specials
        assert theirs.tokenizer.kind == ours.tokenizer.kind
        is_causal = objective == "causal_lm"
        for reader in ["training", "score", "prompt", "harness"] if is_causal else ["training", "text"]:
            found = [tokenizers.text_frame(one.tokenizer, reader, one.frame) for one in (ours, theirs)]
            assert found[0] == found[1], (objective, ends, reader)
        found = [pretrained.end_id(one.tokenizer, one.kind.name, one.frame) for one in (ours, theirs)]
        assert found[0] == found[1] or not is_causal
        # A run that goes on from either encodes its records alike.
        going_on = [
            tokenizers.text_frame(one.tokenizer, "training") if one.ends else tokenizers.Frame()
            for one in (ours, theirs)
        ]
        assert going_on[0] == going_on[1] == tokenizers.text_frame(ours.tokenizer, "training", ours.frame)
        for text in OWN.get(kind, TEXTS):
            assert theirs.tokenizer.encode(text).tolist() == ours.tokenizer.encode(text).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_puts_around_a_text_what_training_did(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    for _, objective, ends in cases([kind]):
        folder = tmp_path / f"{objective}-{ends}"
        run, _ = exported(kind, objective, ends, folder)
        reader = "prompt" if objective == "causal_lm" else "text"
        frame = tokenizers.text_frame(run.tokenizer, reader, run.frame)
        (folder / "config.json").write_text('{"model_type": "gpt2"}')
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        for text in OWN.get(kind, TEXTS):
            assert theirs(text)["input_ids"] == frame.around(run.tokenizer.encode(text)).tolist()
        theirs.save_pretrained(tmp_path / "again")
        settings = [
            json.loads((one / "tokenizer_config.json").read_text()) for one in (folder, tmp_path / "again")
        ]
        assert settings[0].get("jaxlm_ends") == settings[1].get("jaxlm_ends")


FEW = [("subwords", "causal_lm", True), ("instructions", "masked_lm", True), ("GPT-2", "causal_lm", False)]
REST = [case for case in cases([*OWN, "GPT-2", "llm-jp", "BERT"]) if case not in FEW]
# EVERY_CASE=1 in the environment takes all of them.
SOME = REST if os.environ.get("EVERY_CASE") else random.Random(0).sample(REST, 5)


@pytest.mark.parametrize("pair", FEW, indirect=True, ids=told)
def test_commands_say_the_same(pair, capsys):
    check_commands(pair, capsys)


@pytest.mark.long
@pytest.mark.parametrize("pair", SOME, indirect=True, ids=told)
def test_commands_say_the_same_with_other_tokenizers(pair, capsys):
    check_commands(pair, capsys)


def check_commands(pair, capsys):
    run, converted, texts = pair
    corpus = run.parent / "corpus.txt"
    corpus.write_text("".join(f"{text}\n" for text in texts))
    begun = [training.experiment_from_model(str(folder)) for folder in (run, converted)]
    assert begun[0].data == begun[1].data and begun[0].objective == begun[1].objective
    found = [_said(folder, corpus, texts, capsys) for folder in (run, converted)]
    assert found[0].keys() == found[1].keys() and len(found[0]) > 2
    for name, value in found[0].items():
        assert value == pytest.approx(found[1][name], abs=1e-4), name


def _said(folder, corpus, texts, capsys):
    loaded = pretrained.load(folder)
    assert cli.main(["evaluate", str(folder), str(corpus), "--row-length", "48", "--json"]) == 0
    said = {"evaluate": json.loads(capsys.readouterr().out)["nll"]}
    rows = list(scoring.score(loaded, texts))
    assert not any(row.error for row in rows)
    name = "log_likelihood" if loaded.kind.name == "causal_lm" else "pseudo_log_likelihood"
    said |= {f"score {row.id}": row.values[name] for row in rows}
    if loaded.kind.name == "masked_lm":
        mask = loaded.tokenizer.token(loaded.tokenizer.specials.mask)
        filled = decoding.fill(loaded, f"{texts[0]} {mask}" if " " in texts[0] else texts[0] + mask)
        return said | {"fill": filled.predictions[0].probability, "filled": float(filled.tokens.sum())}
    (after,) = decoding.next_tokens(loaded, texts[0])
    (written,) = decoding.generate(loaded, texts[0], decoding.GenerationConfig(max_new_tokens=8))
    said |= {"next": after.candidates[0].probability, "prompt": float(after.tokens.sum())}
    return said | {"written": float(written.tokens.sum()), "score": written.log_likelihood}


def test_a_published_tokenizer_goes_there_and_back_as_it_was(tmp_path):
    """Also one that closes the prompts of a causal model: so it was published."""
    tokenizer = published("BERT", tmp_path)
    config = models.TransformerConfig(vocab_size=tokenizer.vocab_size, **SIZE, **CONFIGS["causal_lm"])
    extra = {"huggingface": {"model_type": "gpt2"}}
    params = _drawn(models.build(config, "causal_lm"))
    model = models.build(config, "causal_lm")
    loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, extra)
    pretrained.save_huggingface(tmp_path / "there", loaded)
    pretrained.convert(tmp_path / "there", tmp_path / "run")
    pretrained.convert(tmp_path / "run", tmp_path / "again")
    found = [pretrained.load(tmp_path / name) for name in ("there", "run", "again")]
    assert [one.tokenizer for one in found] == [tokenizer] * 3
    assert [one.frame for one in found] == [None] * 3
    assert "jaxlm_ends" not in (tmp_path / "again/tokenizer_config.json").read_text()


def test_what_a_template_cannot_say_is_kept_there_and_back(tmp_path):
    save_run(tmp_path / "run", tokenizers.bytes_tokenizer(), "causal_lm", True)
    for source, target in (("run", "there"), ("there", "back"), ("back", "again")):
        pretrained.convert(tmp_path / source, tmp_path / target)
    found = [pretrained.load(tmp_path / name) for name in ("run", "there", "back", "again")]
    assert {one.frame for one in found} == {tokenizers.Frame((258,), (257,))}
    settings = json.loads((tmp_path / "again/tokenizer_config.json").read_text())
    assert settings["jaxlm_ends"] == {"opening": ["[CLS]"], "closing": ["[SEP]"]}
    broken = json.dumps(settings | {"jaxlm_ends": {"opening": ["[NO]"], "closing": []}})
    (tmp_path / "again/tokenizer_config.json").write_text(broken)
    with pytest.raises(ValueError, match=r"jaxlm_ends: the tokenizer has no token '\[NO\]'"):
        _ = pretrained.load(tmp_path / "again").frame
    (tmp_path / "again/tokenizer_config.json").write_text(json.dumps(settings | {"jaxlm_ends": 5}))
    with pytest.raises(ValueError, match=r"jaxlm_ends holds lists of tokens, such as .*: got 5"):
        pretrained.load(tmp_path / "again")
