"""Runs of every objective from an experiment to an evaluation, on corpora of a few dozen short records."""

import dataclasses
import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import corruption, data, models, pretrained, tokenizers, training

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
MODEL = models.TransformerConfig(width=16, depth=1, num_heads=2, max_length=32, position="rotary")


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Sequences whose number is the share of tryptophan, and whose class is whether they begin with M."""
    draw = random.Random(0)
    lines = []
    for number in range(120):
        letters = draw.choices(RESIDUES, k=draw.randint(8, 20))
        share = draw.random()
        letters = ["W" if draw.random() < share else letter for letter in letters]
        letters[0] = draw.choice("MA")
        sequence = "".join(letters)
        kind = "starts" if sequence[0] == "M" else "other"
        lines.append(f">{number} share={sequence.count('W') / len(sequence):.4f} kind={kind}\n{sequence}")
    path = tmp_path_factory.mktemp("labelled") / "proteins.fasta"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def proteins(labelled):
    """A causal model of the sequences, their ends marked."""
    return training.Experiment(
        objective="causal_lm",
        data=data.DataConfig(
            paths=(str(labelled),), row_length=16, ends=True, validation_share=0.2, test_share=0.2
        ),
        model=dataclasses.replace(MODEL, causal=True),
        run=training.RunConfig(steps=8, batch_size=8, eval_every=4, save_every=4, log_every=2),
    )


def of_labels(proteins, objective, pattern, **changes):
    return dataclasses.replace(
        proteins,
        objective=objective,
        data=dataclasses.replace(proteins.data, row_length=32, label_pattern=pattern),
        model=MODEL,
        run=dataclasses.replace(proteins.run, **changes),
    )


def finished(experiment, folder):
    *_, last = training.train(experiment, folder, devices=jax.local_devices()[:1])
    assert isinstance(last, training.Finished)
    return last


def test_a_causal_run_predicts_every_token_but_a_records_first_once(proteins, tmp_path):
    scores = finished(proteins, tmp_path / "run").evaluation
    cache = training.make_task(proteins).splits["test"].cache
    assert (cache.lengths > proteins.data.row_length).any()
    assert scores.scored == (cache.lengths - 1).sum()
    assert scores.bits_per_byte == pytest.approx(scores.nll * scores.scored / np.log(2) / cache.num_bytes)
    loaded = pretrained.load(tmp_path / "run")
    assert loaded.kind.name == "causal_lm"
    again = training.evaluate(
        loaded.model, loaded.params, loaded.tokenizer, cache, objective="causal_lm", row_length=16
    )
    assert (again.scored, again.accuracy) == (scores.scored, scores.accuracy)
    assert again.nll == pytest.approx(scores.nll, rel=1e-6)


def test_without_ends_there_are_no_bits_per_byte(proteins, tmp_path):
    plain = dataclasses.replace(proteins, data=dataclasses.replace(proteins.data, ends=False))
    assert np.isnan(finished(plain, tmp_path / "run").evaluation.bits_per_byte)


def test_one_long_row_and_many_short_ones_score_the_same_tokens(proteins, tmp_path):
    """With no context lost the loss would be the same; here the number of tokens must be."""
    cache = training.make_task(proteins).splits["test"].cache
    model = models.build(training.model_config(proteins.model, tokenizers.residue_tokenizer()), "causal_lm")
    params = model.init(jax.random.key(0), jnp.ones((1, 4), jnp.int32))["params"]
    found = [
        training.evaluate(
            model, params, tokenizers.residue_tokenizer(), cache, objective="causal_lm", row_length=length
        )
        for length in (5, 32)
    ]
    assert found[0].scored == found[1].scored


def test_input_noise_corrupts_what_is_read_in_training_only(proteins):
    """The objectives of a run, at one batch: noise changes the training loss and not the evaluation."""
    noisy = dataclasses.replace(proteins, input_noise=corruption.NoiseConfig(rate=0.5))
    task = training.make_task(proteins)
    model = models.build(task.config, "causal_lm")
    params = model.init(jax.random.key(0), jnp.ones((1, 4), jnp.int32))["params"]
    split = task.splits["train"]
    batch = data.Batches(split.cache, split.plan, batch_size=8, seed=0)[0]
    rngs = {"mask": jax.random.key(1), "dropout": jax.random.key(2)}

    def losses(experiment):
        setting = training.setting_of(experiment, task, 8)
        train = experiment.objective.bound(setting)
        judge = experiment.objective.bound(training.evaluation_setting(setting, [split], 8, is_noisy=False))
        return [
            float(jax.jit(one, static_argnums=0)(model.apply, params, batch, rngs)[0])
            for one in (train, judge)
        ]

    clean, corrupted = losses(proteins), losses(noisy)
    assert clean[0] == pytest.approx(clean[1], rel=1e-5)
    assert corrupted[1] == clean[1] and abs(corrupted[0] - clean[0]) > 1e-3


def test_levels_of_noise_are_told_where_a_schedule_draws_them(proteins, tmp_path):
    experiment = dataclasses.replace(
        proteins,
        objective="masked_lm",
        model=MODEL,
        input_noise=corruption.NoiseConfig(schedule="linear", timesteps="uniform"),
    )
    scores = finished(experiment, tmp_path / "run").evaluation
    assert len(scores.by_level) > 3
    assert sum(level.weight for level in scores.by_level) == scores.scored
    assert sum(level.weight * level.nll for level in scores.by_level) == pytest.approx(
        scores.nll * scores.scored, rel=1e-5
    )


def test_a_regression_learns_what_the_labels_alone_do_not_tell(proteins, tmp_path):
    experiment = of_labels(proteins, "regression", r"share=(\S+)", steps=150, eval_every=0, save_every=0)
    experiment = dataclasses.replace(experiment, optimizer=training.OptimizerConfig(learning_rate=1e-2))
    scores = finished(experiment, tmp_path / "run").evaluation
    cache = training.make_task(experiment).splits["test"].cache
    assert scores.records == len(cache) and np.isnan(scores.accuracy)
    assert scores.loss < 0.5 * scores.baseline_loss
    loaded = pretrained.load(tmp_path / "run")
    again = training.evaluate(
        loaded.model, loaded.params, loaded.tokenizer, cache, objective="regression", row_length=32
    )
    assert again.loss == pytest.approx(scores.loss, rel=1e-5)


def test_a_classifier_is_scored_by_record(proteins, tmp_path):
    experiment = of_labels(proteins, "classification", r"kind=(\S+)")
    scores = finished(experiment, tmp_path / "run").evaluation
    assert 0 <= scores.accuracy <= 1 and 0 < scores.baseline_loss < 1
    loaded = pretrained.load(tmp_path / "run")
    assert loaded.head.num_outputs == len(loaded.extra["classes"]) == 2


def test_numbers_are_names_of_classes_where_they_are_told_to_be(tmp_path):
    path = tmp_path / "counted.jsonl"
    rows = [{"text": f"document {n}", "stars": str(n % 12)} for n in range(240)]
    path.write_text("\n".join(map(json.dumps, rows)))
    config = data.DataConfig(paths=(str(path),), label_field="stars", row_length=64)
    experiment = training.Experiment(
        objective="classification",
        data=config,
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=dataclasses.replace(MODEL, max_length=64),
        run=training.RunConfig(steps=1, batch_size=8),
    )
    with pytest.raises(ValueError, match=r"which are numbers: data\.label_kind='class' takes each"):
        training.make_task(experiment)
    named = dataclasses.replace(experiment, data=dataclasses.replace(config, label_kind="class"))
    finished(named, tmp_path / "run")
    assert pretrained.load(tmp_path / "run").extra["classes"] == [str(n) for n in range(12)]


def test_times_in_milliseconds_are_regressed_in_their_deviation(tmp_path):
    path = tmp_path / "times.jsonl"
    times = [1_700_000_000_000 + 1_000 * n for n in range(100)]
    path.write_text("\n".join(json.dumps({"text": f"document {n}", "at": at}) for n, at in enumerate(times)))
    experiment = training.Experiment(
        objective="regression",
        data=data.DataConfig(paths=(str(path),), label_field="at", row_length=64),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=dataclasses.replace(MODEL, max_length=64),
        run=training.RunConfig(steps=1, batch_size=8),
    )
    task = training.make_task(experiment)
    labels = np.concatenate([split.cache.labels for split in task.splits.values()])
    assert sorted(labels) == times
    train = task.splits["train"].cache.labels
    assert (task.head.center, task.head.scale) == (train.mean(), train.std())
    scores = finished(experiment, tmp_path / "run").evaluation
    test = task.splits["test"].cache.labels
    expected = np.square((test - train.mean()) / train.std()).mean()
    assert scores.baseline_loss == pytest.approx(expected, rel=1e-9)
    assert 0 < scores.loss < 100


@pytest.mark.parametrize(
    ("objective", "pattern", "message"),
    [
        ("regression", None, "learns labels: got data without; give data.label_pattern"),
        ("regression", r"kind=(\S+)", "does not fit the labels, which are classes"),
        ("classification", r"share=(\S+)", "does not fit the labels, which are numbers"),
    ],
)
def test_labels_that_do_not_fit_the_objective_are_refused(proteins, objective, pattern, message):
    with pytest.raises(ValueError, match=message):
        training.make_task(of_labels(proteins, objective, pattern))


def test_labels_of_records_that_are_longer_than_a_row_are_refused(proteins):
    experiment = of_labels(proteins, "regression", r"share=(\S+)")
    short = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, row_length=8))
    with pytest.raises(ValueError, match=r"a label belongs to a whole record: .* longer than a row of 8"):
        training.make_task(short)


def test_a_causal_objective_needs_a_causal_model(proteins):
    with pytest.raises(ValueError, match=r"got model\.causal=False with objective='causal_lm'"):
        dataclasses.replace(proteins, model=MODEL)
    with pytest.raises(ValueError, match=r"got model\.causal=True with objective='masked_lm'"):
        dataclasses.replace(proteins, objective="masked_lm")
