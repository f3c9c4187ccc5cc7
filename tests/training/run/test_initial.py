"""Runs that go on from a model, of our own and of Hugging Face."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, pretrained, tokenizers, training
from jaxlm.data import DataConfig
from jaxlm.training import OptimizerConfig, RunConfig

GPT2 = models.TransformerConfig(
    vocab_size=264,
    width=16,
    depth=2,
    num_heads=2,
    max_length=24,
    causal=True,
    activation="gelu_tanh",
    head="linear",
    head_bias=False,
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "all.txt"
    path.write_text("\n".join(f"number {n} and {n * n} are {'odd' if n % 2 else 'even'}" for n in range(80)))
    return path


def saved(folder, config=GPT2, objective="causal_lm", head=None, tokenizer=None):
    model = models.build(config, objective, head)
    params = jax.jit(model.init)(jax.random.key(7), jnp.array([[1]]))["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.01, params)
    tokenizer = tokenizer or tokenizers.bytes_tokenizer()
    loaded = pretrained.Loaded(config, objective, model, params, tokenizer, {}, head)
    if objective in ("causal_lm", "masked_lm") and config.causal:
        pretrained.save_huggingface(folder, loaded)
    else:
        pretrained.save_model(folder, config, params, tokenizer, kind=objective, head=head)
    return params


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A Hugging Face folder, and what is in it."""
    folder = tmp_path_factory.mktemp("gpt2")
    return folder, saved(folder)


def asked(texts, objective="masked_lm", **run):
    return training.Experiment(
        objective=objective,
        data=DataConfig(paths=(str(texts),), row_length=24, validation_share=0.1, test_share=0.1),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        run=RunConfig(**({"steps": 2, "batch_size": 4, "eval_every": 0, "save_every": 0} | run)),
    )


def trained(experiment, folder):
    events = list(training.train(experiment, folder, devices=jax.local_devices()[:1]))
    assert isinstance(events[-1], training.Finished)
    return pretrained.load(folder)


def test_an_experiment_that_goes_on_from_a_hugging_face_folder(gpt2, texts):
    folder, _ = gpt2
    experiment = training.experiment_from_model(str(folder), asked(texts))
    assert experiment.objective.name == "causal_lm" and experiment.run.init == str(folder)
    assert experiment.model.width == 16 and experiment.model.vocab_size == 264
    assert experiment.data.ends and experiment.data.row_length == 24
    assert experiment.tokenizer.path == str(folder) and experiment.optimizer.learning_rate == 1e-2
    assert training.Experiment.from_dict(json.loads(json.dumps(experiment.to_dict()))) == experiment
    assert training.experiment_from_model(str(folder)).optimizer.learning_rate == 5e-5


def test_a_run_begins_with_the_models_parameters(gpt2, texts, tmp_path):
    folder, params = gpt2
    experiment = training.experiment_from_model(str(folder), asked(texts, steps=1))
    still = dataclasses.replace(experiment, optimizer=OptimizerConfig(learning_rate=1e-30, warmup=0))
    loaded = trained(still, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    assert loaded.ends and loaded.tokenizer == tokenizers.load_tokenizer(folder)


def test_only_the_last_layers_move(gpt2, texts, tmp_path):
    folder, params = gpt2
    experiment = training.experiment_from_model(str(folder), asked(texts, save_every=1))
    experiment = dataclasses.replace(experiment, run=dataclasses.replace(experiment.run, train_last=1))
    moved = jax.tree.map(
        lambda old, new: bool((np.asarray(old) != np.asarray(new)).any()),
        params,
        trained(experiment, tmp_path / "run").params,
    )
    assert all(jax.tree.leaves(moved["body"]["block_01"])) and all(
        jax.tree.leaves(moved["body"]["final_norm"])
    )
    assert not any(jax.tree.leaves([moved["body"]["block_00"], moved["body"]["embeddings"]]))
    again = list(training.train(experiment, tmp_path / "run", resume=True, devices=jax.local_devices()[:1]))
    assert isinstance(again[-1], training.Finished)  # moments of no shape are restored too


def test_a_classifier_takes_the_body_and_draws_its_head(gpt2, tmp_path):
    folder, params = gpt2
    path = tmp_path / "labelled.txt"
    path.write_text("\n".join(f"n{n} is {'odd' if n % 2 else 'even'}" for n in range(80)))
    experiment = asked(path, objective="classification", steps=1)
    labelled = dataclasses.replace(experiment.data, label_field="label", paths=(str(tmp_path / "l.jsonl"),))
    lines = [json.dumps({"text": f"number {n}", "label": "odd" if n % 2 else "even"}) for n in range(80)]
    (tmp_path / "l.jsonl").write_text("\n".join(lines))
    experiment = dataclasses.replace(
        experiment, data=labelled, optimizer=OptimizerConfig(learning_rate=1e-30, warmup=0)
    )
    experiment = training.experiment_from_model(str(folder), experiment)
    assert experiment.objective.name == "classification"
    loaded = trained(experiment, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, loaded.params["body"], params["body"])
    assert loaded.kind.name == "classification" and "head" in loaded.params
    # The head is that of transformers' class, which can therefore be written.
    assert (loaded.head.pooling, loaded.head.output_bias) == ("last", False)
    name = pretrained.save_huggingface(tmp_path / "back", loaded)
    back = pretrained.load(tmp_path / "back")
    assert name == "GPT2ForSequenceClassification" and back.extra["classes"] == ["even", "odd"]
    jax.tree.map(np.testing.assert_array_equal, back.params, loaded.params)


@pytest.mark.parametrize("objective", ["masked_lm", "causal_lm", "classification", "regression"])
def test_a_body_takes_every_head_that_fits_it(objective, texts, tmp_path):
    """A head is drawn on a body without one; whether it is causal decides which language model it becomes."""
    is_causal = objective == "causal_lm"
    config = dataclasses.replace(GPT2, vocab_size=260, depth=1, causal=is_causal)
    params = saved(tmp_path / "body", config, "body")
    labels = [str(n) if objective == "regression" else "ab"[n % 2] for n in range(80)]
    lines = [json.dumps({"text": f"number {n}", "label": label}) for n, label in enumerate(labels)]
    (tmp_path / "l.jsonl").write_text("\n".join(lines))
    is_of_sequences = objective in ("classification", "regression")
    experiment = asked(texts, steps=1, **({"objective": objective} if is_of_sequences else {}))
    if is_of_sequences:
        kept = dataclasses.replace(experiment.data, paths=(str(tmp_path / "l.jsonl"),), label_field="label")
        experiment = dataclasses.replace(experiment, data=kept)
    still = OptimizerConfig(learning_rate=1e-30, warmup=0)
    begun = training.experiment_from_model(
        str(tmp_path / "body"), dataclasses.replace(experiment, optimizer=still)
    )
    assert begun.objective.name == objective
    if objective == "regression":
        loaded = trained(begun, tmp_path / "run")
        jax.tree.map(np.testing.assert_array_equal, loaded.params["body"], params["body"])
        assert loaded.kind.name == objective


def test_a_run_of_our_own_goes_on_too_scanned_or_not(texts, tmp_path):
    config = models.TransformerConfig(vocab_size=260, width=16, depth=2, num_heads=2, position="rotary")
    params = saved(tmp_path / "first", config, "masked_lm")
    experiment = training.experiment_from_model(str(tmp_path / "first"), asked(texts, steps=1))
    assert not experiment.data.ends
    experiment = dataclasses.replace(
        experiment,
        model=dataclasses.replace(experiment.model, scan_layers=True, mlp_dropout=0.1, dtype="bfloat16"),
        optimizer=OptimizerConfig(learning_rate=1e-30, warmup=0),
    )
    loaded = trained(experiment, tmp_path / "second")
    jax.tree.map(np.testing.assert_array_equal, models.unstack_blocks(loaded.params), params)


def test_one_head_of_several_is_taken_where_it_is_the_only_one_of_its_kind(texts, tmp_path):
    config = models.TransformerConfig(vocab_size=260, width=16, depth=1, num_heads=2)
    heads = {"fill": "masked_lm", "next": "causal_lm"}
    params = saved(tmp_path / "joint", config, "joint", heads)
    experiment = training.experiment_from_model(str(tmp_path / "joint"), asked(texts, steps=1))
    experiment = dataclasses.replace(experiment, optimizer=OptimizerConfig(learning_rate=1e-30, warmup=0))
    loaded = trained(experiment, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, loaded.params["head"], params["head_fill"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"width": 32}}, "is another transformer, .* width: 16 and 32; .*; leave them out"),
        ({"model": {"norm_epsilon": 1e-3}}, "norm_epsilon: 1e-05 and 0.001"),
    ],
)
def test_another_transformer_is_refused(gpt2, texts, tmp_path, change, told):
    experiment = training.experiment_from_model(str(gpt2[0]), asked(texts))
    experiment = dataclasses.replace(
        experiment, model=dataclasses.replace(experiment.model, **change["model"])
    )
    with pytest.raises(ValueError, match=told):
        list(training.train(experiment, tmp_path / "run", devices=jax.local_devices()[:1]))
    assert not any((tmp_path / "run").glob("*.json"))


def test_another_tokenizer_is_refused(gpt2, texts, tmp_path):
    experiment = training.experiment_from_model(str(gpt2[0]), asked(texts))
    other = tokenizers.TokenizerConfig(path=str(gpt2[0] / "tokenizer.json"))
    other = dataclasses.replace(experiment, tokenizer=other)
    list(training.train(other, tmp_path / "same", devices=jax.local_devices()[:1]))  # it is the same one
    small = tokenizers.train_subwords(["a b c"], vocab_size=262)
    small.save(tmp_path / "tokenizer.json")
    path = tokenizers.TokenizerConfig(path=str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"was trained with another tokenizer; leave tokenizer.path out"):
        other = dataclasses.replace(experiment, tokenizer=path)
        list(training.train(other, tmp_path / "run", devices=jax.local_devices()[:1]))


def test_a_model_without_a_tokenizer_is_refused(gpt2, texts, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((gpt2[0] / name).read_bytes())
    with pytest.raises(ValueError, match="starts from a model needs the model's tokenizer: no tokenizer in"):
        training.experiment_from_model(str(tmp_path), asked(texts))


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"train_last": 1}, "got no run.init; name one"),
        ({"train_last": -1, "init": "x"}, "run.train_last is not negative, got -1"),
    ],
)
def test_contradictions_are_refused(run, told):
    with pytest.raises(ValueError, match=told):
        RunConfig(**run)


def test_layers_that_are_not_there_or_not_told_apart():
    run = RunConfig(init="x", train_last=5)
    with pytest.raises(ValueError, match="is of the model's 4 blocks: got 5"):
        training.Experiment(run=run)
    model = models.TransformerConfig(scan_layers=True)
    with pytest.raises(ValueError, match=r"set model.scan_layers=False"):
        training.Experiment(run=dataclasses.replace(run, train_last=1), model=model)
