"""nanoGPT's feed: its windows, its split, its settings; and a short run of the script."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "shakespeare_char"


@pytest.fixture(scope="module")
def load():
    """Imports a file of the experiment as its own script does."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in [name for name, module in sys.modules.items() if str(FOLDER) in str(module)]:
        del sys.modules[name]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "plays.txt"
    path.write_text("".join(f"LINE {number}: to be, or not to be\n" for number in range(120)))
    return path


def test_the_settings_are_nanogpts(load):
    for name, shape, rest in (
        ("config", (128, 4, 4, 65), (12, 2000, 0.0)),
        ("config_gpu", (384, 6, 6, 257), (64, 5000, 0.2)),
    ):
        experiment = load(name).get_experiment()
        model, run, optimizer = experiment.model, experiment.run, experiment.optimizer
        assert (model.width, model.depth, model.num_heads, experiment.data.row_length) == shape
        assert (run.batch_size, run.steps, model.mlp_dropout) == rest
        assert model.causal and experiment.objective.name == "causal_lm"
        assert (optimizer.learning_rate, optimizer.final_fraction, optimizer.warmup) == (1e-3, 0.1, 100)
        assert (optimizer.beta2, optimizer.weight_decay, optimizer.clip_norm) == (0.99, 0.1, 1.0)


def test_characters_are_the_vocabulary_and_the_last_tenth_is_held_out(load, text):
    read = load("run").read_text(text)
    whole = text.read_text()
    assert "".join(read.characters[i] for i in np.concatenate([read.train, read.validation])) == whole
    assert len(read.validation) == len(whole) - int(0.9 * len(whole))
    assert read.characters == "".join(sorted(set(whole)))


def test_training_windows_are_pieces_of_the_text(load, text):
    run = load("run")
    ids = run.read_text(text).train
    batches = run.training_batches(ids, 9, 4, seed=0)
    seen = set()
    for _ in range(20):
        batch = next(batches)
        for row in range(4):
            start = int(batch.example_ids[row, 0])
            np.testing.assert_array_equal(batch.tokens[row], ids[start : start + 9])
            seen.add(start)
        assert (batch.segments == 1).all() and (batch.positions == np.arange(9)).all()
    assert len(seen) > 70 and max(seen) > 0.8 * len(ids)


def test_evaluation_predicts_every_character_of_whole_windows_once(load):
    run = load("run")
    ids = np.arange(50, dtype=np.int32)
    batches = list(run.evaluation_batches(ids, 9, 4))
    assert {batch.tokens.shape for batch in batches} == {(4, 9)}
    targets = [
        int(token) for batch in batches for row in batch.tokens[batch.segments[:, 0] > 0] for token in row[1:]
    ]
    assert targets == list(range(1, 49))


def test_a_short_run_learns_and_writes_what_it_measured(load, text, tmp_path, monkeypatch, capsys):
    run, config = load("run"), load("config")
    experiment = config.get_experiment()
    small = dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, row_length=17),
        model=config.gpt_config(width=16, depth=1, num_heads=2, max_length=17),
        optimizer=dataclasses.replace(experiment.optimizer, learning_rate=1e-2, warmup=5),
        run=dataclasses.replace(experiment.run, eval_every=20),
    )
    monkeypatch.setattr(config, "get_experiment", lambda: small)
    out = tmp_path / "results.json"
    run.main([str(text), "--steps", "40", "--out", str(out)])
    results = json.loads(out.read_text())
    assert [line["step"] for line in results["losses"]] == [20, 40]
    assert results["validation"] < results["losses"][0]["validation"] < np.log(26)
    assert results["best_validation"] == results["validation"] and results["tokens_per_second"] > 0
    assert f"validation loss {results['validation']:.4f}" in capsys.readouterr().out
