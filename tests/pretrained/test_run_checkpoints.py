"""A run's checkpoints open as models: by their folder, the best, the last, by step, and in other's places."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from jaxlm import corruption, data, models, pretrained, tokenizers, training

MODEL = models.TransformerConfig(width=16, depth=2, num_heads=2, max_length=32, position="rotary")


@pytest.fixture(scope="module", params=[False, True], ids=["blocks", "scanned"])
def run(request, tmp_path_factory):
    """A run of three checkpoints, and the parameters that it ended with."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "texts.txt").write_text("".join(f"line {n} of {n * n}\n" for n in range(60)))
    experiment = training.Experiment(
        data=data.DataConfig(paths=(str(folder / "texts.txt"),), row_length=32, ends=True),
        tokenizer=tokenizers.TokenizerConfig(kind="bytes"),
        model=dataclasses.replace(MODEL, scan_layers=request.param),
        input_noise=corruption.NoiseConfig(),
        run=training.RunConfig(steps=6, batch_size=4, eval_every=2, save_every=2, keep_last=3),
    )
    list(training.train(experiment, folder / "run", devices=jax.local_devices()[:1]))
    return folder / "run"


def same(first, second):
    """Whether two trees of parameters have the same bits."""
    leaves = [jax.tree.leaves_with_path(tree) for tree in (first, second)]
    return len(leaves[0]) == len(leaves[1]) and all(
        one == two and np.array_equal(a, b) for (one, a), (two, b) in zip(*leaves, strict=True)
    )


@pytest.mark.parametrize("name", ["@last", "@6", "/checkpoints/00000006"])
def test_the_last_checkpoint_is_the_model_that_the_run_left(run, name):
    whole, checkpoint = pretrained.load(run), pretrained.load(f"{run}{name}")
    assert same(whole.params, checkpoint.params)
    assert (whole.config, whole.kind.name, whole.head) == (
        checkpoint.config,
        checkpoint.kind.name,
        checkpoint.head,
    )
    assert whole.tokenizer == checkpoint.tokenizer and checkpoint.ends
    assert whole.extra == checkpoint.extra


def test_the_best_has_the_lowest_loss_and_earlier_ones_are_others(run):
    losses = {one.step: one.meta["validation_loss"] for one in training.checkpoints(run / "checkpoints")}
    best = min(losses, key=losses.get)
    assert same(pretrained.load(f"{run}@best").params, pretrained.load(f"{run}@{best}").params)
    assert not same(pretrained.load(f"{run}@2").params, pretrained.load(f"{run}@6").params)
    found = pretrained.inspect(f"{run}@2")
    assert found.stored == ("float32",) and found.shapes == pretrained.inspect(run).shapes


def test_a_run_begins_with_a_checkpoint(run, tmp_path):
    begun = training.experiment_from_model(f"{run}@2", training.load_experiment(run))
    begun = dataclasses.replace(begun, run=dataclasses.replace(begun.run, steps=1, eval_every=0))
    assert isinstance(
        list(training.train(begun, tmp_path / "run", devices=jax.local_devices()[:1]))[-1], training.Finished
    )


def test_what_is_not_there_or_not_as_it_was_written_is_one_line(run, tmp_path):
    for which in ("3", "worst", "-1", "Best", "", "main", "9" * 30):
        with pytest.raises(FileNotFoundError, match=r"no such checkpoint; .*run has @2, @4, @6"):
            pretrained.load(f"{run}@{which}")
    copied = shutil.copytree(run, tmp_path / "run")
    files = [path for path in (copied / "checkpoints" / "00000004" / "state").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    flipped = bytearray(largest.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    largest.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"00000004 is damaged: .* its SHA-256 differs; name another"):
        pretrained.load(f"{copied}@4")
    (copied / "checkpoints" / "00000002" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"does not say what its model is.*jaxlm train --resume"):
        pretrained.load(f"{copied}@2")
