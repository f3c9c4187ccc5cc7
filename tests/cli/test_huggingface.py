"""Every command on Hugging Face folders, and what is wrong with one in a line."""

import dataclasses
import json
import pickle
import shlex
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxlm import models, pretrained, tokenizers
from jaxlm.cli import main

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "is", "the", "capital", "of", "france", "."]
BERT = models.TransformerConfig(
    vocab_size=14,
    width=16,
    depth=1,
    num_heads=2,
    max_length=16,
    norm_placement="post",
    embedding_norm=True,
    token_types=2,
)
GPT2 = models.TransformerConfig(
    vocab_size=260,
    width=16,
    depth=2,
    num_heads=2,
    max_length=24,
    causal=True,
    activation="gelu_tanh",
    head="linear",
    head_bias=False,
)


# Commands that ask for a head, and what they take beside the model.
HEADED = {
    "fill": "[MASK]",
    "next": "paris",
    "generate": "paris",
    "evaluate": "all.txt",
    "score": "all.txt --out out",
    "score --measure pseudo-log-likelihood": "all.txt --out out",
}


def drawn(config, objective, tokenizer):
    model = models.build(config, objective)
    params = jax.jit(model.init)(jax.random.key(3), jnp.array([[1]]))["params"]
    return pretrained.Loaded(config, objective, model, params, tokenizer, {})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "words").mkdir()
    (folder / "words/vocab.txt").write_text("\n".join(WORDS))
    bert, gpt2 = tokenizers.load_tokenizer(folder / "words"), tokenizers.bytes_tokenizer()
    pretrained.save_huggingface(folder / "bert", drawn(BERT, "masked_lm", bert))
    pretrained.save_huggingface(folder / "gpt2", drawn(GPT2, "causal_lm", gpt2))
    body = models.build(BERT, "body")
    params = jax.jit(body.init)(jax.random.key(4), jnp.array([[1]]))["params"]
    pretrained.save_huggingface(folder / "body", pretrained.Loaded(BERT, "body", body, params, bert, {}))
    wordy = dataclasses.replace(GPT2, vocab_size=len(WORDS))
    pretrained.save_huggingface(folder / "wordy", drawn(wordy, "causal_lm", bert))
    lines = [f"number {n} is {'odd' if n % 2 else 'even'}" for n in range(60)]
    (folder / "all.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HUB_CACHE", str(place / "hub"))
    return place


def said(capsys, *arguments):
    assert main(list(arguments)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_fill_opens_and_closes_the_text_as_the_model_was_trained(here, capsys):
    shown = json.loads(said(capsys, "fill", "bert", "Paris is the [MASK] of France.", "--json", "-k", "2"))
    assert shown["tokens"][0] == 2 and shown["tokens"][-1] == 3
    assert shown["predictions"][0]["position"] == 4
    assert shown["text"].startswith("paris is the ") and "[CLS]" not in shown["text"]
    loaded = pretrained.load("bert")
    tokens = jnp.array([[2, 5, 6, 7, 4, 9, 10, 11, 3]])
    hidden = loaded.model.apply({"params": loaded.params}, tokens).hidden
    logits = np.array(loaded.model.apply({"params": loaded.params}, hidden, method="logits"))[0, 4]
    logits[[0, 1, 2, 3, 4, 12, 13]] = -np.inf
    probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    best = shown["predictions"][0]["candidates"][0]
    assert best["token_id"] == probs.argmax() and best["probability"] == pytest.approx(probs.max(), rel=1e-4)


def test_fill_in_bfloat16(here, capsys):
    assert "probability" in said(capsys, "fill", "bert", "Paris is [MASK].", "--dtype", "bfloat16")


@pytest.mark.parametrize("options", [[], ["--row-length", "10", "--dtype", "bfloat16"]])
def test_evaluate_gives_bits_per_byte_of_opened_texts(here, capsys, options):
    shown = json.loads(said(capsys, "evaluate", "gpt2", "all.txt", "--json", *options))
    # Drawn parameters hold every id as likely; about 17 bytes a line, and the token that closes it.
    assert shown["bits_per_byte"] == pytest.approx(np.log2(260) * 18 / 17, abs=0.2)
    assert shown["perplexity"] == pytest.approx(260, rel=0.1)


def test_evaluate_of_a_masked_model(here, capsys):
    (here / "paris.txt").write_text("paris is the capital of france .\nthe capital of paris is france\n")
    assert "masked of" in said(capsys, "evaluate", "bert", "paris.txt")


def test_info_tells_family_sizes_and_types(here, capsys):
    shown = said(capsys, "info", "bert")
    assert "bert: bert, a Hugging Face folder" in shown and "stored as float32" in shown
    assert "tokenizer: huggingface, 12 ids" in shown and "body.embeddings" in shown
    found = json.loads(said(capsys, "info", "gpt2", "--json"))
    assert sum(found["parameters"].values()) == models.num_params(GPT2, "causal_lm")
    assert (found["family"], found["training"], found["config"]["objective"]) == ("gpt2", None, "causal_lm")


def test_info_tells_a_body_and_what_is_left_out(here, capsys):
    assert "body: bert, a Hugging Face folder, a body without a head" in said(capsys, "info", "body")
    tensors = safetensors.numpy.load_file(here / "body/model.safetensors")
    pooled = copy(here / "body", here / "pooled")
    extra = {"pooler.dense.bias": np.zeros(16, np.float32)}
    safetensors.numpy.save_file(tensors | extra, pooled / "model.safetensors", {"format": "pt"})
    assert "not read, as no part of the model: pooler" in said(capsys, "info", "pooled")
    found = json.loads(said(capsys, "info", "pooled", "--json"))
    assert (found["config"]["objective"], found["left_out"]) == ("body", ["pooler"])


def test_a_body_is_trained_with_a_new_head(here, capsys):
    options = "--out runs/headed --steps 2 --batch-size 8 --json"
    said(capsys, *shlex.split(f"train --init body --data all.txt {options}"))
    experiment = json.loads((here / "runs/headed/experiment.json").read_text())
    assert experiment["objective"] == "masked_lm" and experiment["data"]["ends"]
    assert "paris" in said(capsys, "fill", "runs/headed", "paris is the [MASK]")


def test_names_of_the_local_cache_are_models(here, capsys):
    snapshot = here / "hub/models--owner--gpt/snapshots/abc"
    if not snapshot.exists():
        snapshot.parent.mkdir(parents=True)
        snapshot.symlink_to(here / "gpt2")
        (here / "hub/models--owner--gpt/refs").mkdir()
        (here / "hub/models--owner--gpt/refs/main").write_text("abc")
    assert "a Hugging Face folder" in said(capsys, "info", "owner/gpt")


def test_from_a_folder_to_a_run_and_back(here, capsys):
    shown = said(
        capsys,
        *shlex.split(
            "train --init gpt2 --data all.txt --out runs/more --steps 2 --batch-size 8 --train-last 1 --json"
        ),
    )
    assert json.loads(shown)["step"] == 2
    experiment = json.loads((here / "runs/more/experiment.json").read_text())
    assert experiment["run"]["init"] == str(here / "gpt2") and experiment["data"]["ends"]
    assert experiment["optimizer"]["learning_rate"] == 5e-5
    assert "runs/more: 1 records" not in said(capsys, "evaluate", "runs/more")
    assert said(capsys, "train", "--resume", "--out", "runs/more", "--init", "./gpt2", "--json")
    assert main(["train", "--resume", "--out", "runs/more", "--init", "bert"]) == 2
    assert "or its tokenizer is no longer the one that runs/more was begun with" in capsys.readouterr().err
    shown = said(capsys, "convert", "runs/more", "more")
    assert shown == "more: GPT2LMHeadModel, from runs/more\n"
    before, after = (
        safetensors.numpy.load_file(here / one / "model.safetensors") for one in ("gpt2", "more")
    )
    assert before.keys() == after.keys()
    same = {name for name in before if (before[name] == after[name]).all()}
    assert {name for name in before if ".h.0." in name or ".wte" in name or ".wpe" in name} <= same
    assert not any(".h.1." in name or ".ln_f" in name for name in same)
    assert json.loads(said(capsys, "convert", "more", "back", "--json"))["written"] == "a jaxlm folder"
    assert json.loads((here / "back/config.json").read_text())["objective"] == "causal_lm"


def test_every_checkpoint_of_a_run_becomes_a_folder_of_transformers(here, capsys):
    """Opened again, a folder has the logits of the checkpoint that it was made of, to the bit."""
    often = "--run.save-every 2 --run.eval-every 2 --run.keep-last 2"
    command = f"train --init gpt2 --data all.txt --out runs/several --steps 4 --batch-size 8 {often}"
    said(capsys, *command.split())
    seen = {}
    for name in ("@best", "@last", "@2"):
        made = f"of{name}"
        shown = said(capsys, "convert", f"runs/several{name}", made)
        assert shown == f"{made}: GPT2LMHeadModel, from runs/several{name}\n"
        checkpoint, opened = (logits_of(pretrained.load(one)) for one in (f"runs/several{name}", made))
        assert checkpoint.tobytes() == opened.tobytes()
        seen[name] = checkpoint
    assert (seen["@last"] != seen["@2"]).any()


def logits_of(loaded):
    tokens = jnp.arange(10, dtype=jnp.int32)[None] % loaded.config.vocab_size
    variables = {"params": loaded.params}
    hidden = loaded.model.apply(variables, tokens).hidden
    return np.asarray(loaded.model.apply(variables, hidden, method="logits"))


def copy(source, target):
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def broken(here):
    """Folders, each wrong in one way, by name."""
    empty = here / "empty"
    empty.mkdir()
    (here / "adapter").mkdir()
    adapter = {"base_model_name_or_path": "owner/base", "peft_type": "LORA"}
    (here / "adapter/adapter_config.json").write_text(json.dumps(adapter))
    weightless = copy(here / "gpt2", here / "weightless")
    (weightless / "model.safetensors").unlink()
    half = copy(here / "gpt2", here / "half") / "model.safetensors"
    half.write_bytes(half.read_bytes()[:-100])
    lying = copy(here / "gpt2", here / "lying") / "model.safetensors"
    lying.write_bytes((2**62).to_bytes(8, "little") + lying.read_bytes()[8:])
    shards = copy(here / "weightless", here / "shards") / "model.safetensors.index.json"
    shards.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    pickled = copy(here / "weightless", here / "pickled") / "pytorch_model.bin"
    pickled.write_bytes(pickle.dumps(print))
    words = copy(here / "bert", here / "words14")
    tokenizers.bytes_tokenizer().save(words / "tokenizer.json")
    (words / "tokenizer_config.json").unlink(missing_ok=True)
    unknown = copy(here / "gpt2", here / "unknown") / "config.json"
    unknown.write_text(json.dumps(json.loads(unknown.read_text()) | {"model_type": "mamba"}))
    bare = copy(here / "bert", here / "bare")
    for path in bare.glob("tokenizer*"):
        path.unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fill empty [MASK]", "empty holds no model: it has no config.json"),
        ("fill weightless [MASK]", "no model in weightless: it has no model.safetensors"),
        ("info half", "half/model.safetensors is not a whole safetensors file: it is cut off"),
        ("evaluate lying all.txt", "its header claims 4,611,686,018,427,387,904 bytes in a file of"),
        ("convert shards out", "names 1 shards, and model-00001-of-00002.safetensors is missing"),
        ("train --init pickled --data all.txt", "pickle"),
        ("generate pickled ab", "cannot be read as weights alone"),
        (f"generate gpt2 '{'the ' * 20}'", "the prompt is 81 tokens long and 1 more must fit"),
        (f"next gpt2 '{'the ' * 20}'", "the prompt is 81 tokens long, and the model reads at most 24"),
        ("next wordy Paris --target 'is Rome'", "the target 'is Rome' is not in the vocabulary"),
        ("fill words14 [MASK]", "the vocabulary does not match the embedding: the tokenizer has 260 ids"),
        ("info unknown", "model_type='mamba', which is not supported: the families are"),
        ("fill bare [MASK]", "bare has no tokenizer: expected tokenizer.json"),
        ("train --init bare --data all.txt", "needs the model's tokenizer: no tokenizer in"),
        ("fill gpt2 [MASK]", "gpt2 fills no masks"),
        *(
            (f"{command} body {rest}", "body without a head, which gives hidden states and predicts nothing")
            for command, rest in HEADED.items()
        ),
        ("fill adapter [MASK]", "adapter holds no model: it has no config.json; it is an adapter of PEFT"),
        ("score adapter all.txt --out out", "an adapter of PEFT (LORA) for owner/base: merge the two first"),
        ("fill bert ''", "nothing to fill in ''"),
        ("fill bert 'Paris is'", "nothing to fill in 'Paris is': write [MASK]"),
        (f"fill bert '{'the ' * 20}[MASK]'", "23 tokens long and the model takes at most 16"),
        ("fill owner/none [MASK]", "no model owner/none: no such folder, and not in"),
        ("info owner/none", "HF_HUB_OFFLINE is set"),
        ("evaluate gpt2", "CORPUS is missing: gpt2 is no run"),
        ("evaluate gpt2 all.txt --row-length 100", "rows are longer than the model's table of positions"),
        ("convert gpt2 bert", "bert is there and not an empty folder"),
        ("convert gpt2", "OUT is missing"),
        ("train --init nowhere --data all.txt", "no model nowhere"),
        ("train --init gpt2 --data all.txt --width 8", "another transformer"),
        (
            "train --init gpt2 --data all.txt --train-last 3",
            "run.train_last is of the model's 2 blocks: got 3",
        ),
        ("train --data all.txt --train-last 3", "got no run.init; name one"),
        ("train --init gpt2 --data all.txt --row-length 40", "rows are longer than the model's table"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(here, capsys, arguments, message):
    if not (here / "empty").exists():
        broken(here)
    if "weights alone" in message:
        pytest.importorskip("torch")
    assert main(shlex.split(arguments)) == 2
    shown = capsys.readouterr()
    assert message in shown.err, shown.err
    assert shown.err.startswith(f"jaxlm {arguments.split()[0]}: ") and shown.out == ""
    assert shown.err.rstrip("\n").count("\n") == shown.err.count("\n  ")  # notes of a run before the one line
    assert not (here / "out").exists()


def test_names_that_nothing_reads_are_told_once_by_a_command(here, capsys, tmp_path):
    """`score` opens a folder twice, and says it once."""
    shutil.copytree(here / "gpt2", tmp_path / "named")
    path = tmp_path / "named/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_special": 0, "unsloth_fixed": True}))
    assert main(["score", str(tmp_path / "named"), "all.txt", "--out", str(tmp_path / "out")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "nothing reads" in line]
    assert len(told) == 1 and told[0].endswith("left out: n_special, unsloth_fixed")
