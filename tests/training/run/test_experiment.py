"""An experiment survives JSON, and a contradiction is one line."""

import dataclasses
import json

import pytest

from jaxlm import training
from jaxlm.data import DataConfig
from jaxlm.models import Rotary, TransformerConfig


def test_the_default_experiment_is_of_the_embedded_corpus():
    experiment = training.Experiment()
    assert experiment.data.paths == () and experiment.model.position == Rotary()


def test_it_survives_json():
    experiment = training.Experiment(
        data=DataConfig(paths=("a.txt", "b.txt")),
        optimizer=training.OptimizerConfig(warmup=7, learning_rate=1.0),
    )
    text = json.dumps(experiment.to_dict())
    assert training.Experiment.from_dict(json.loads(text)) == experiment
    assert isinstance(training.Experiment.from_dict(json.loads(text)).optimizer.warmup, int)


def test_what_is_not_given_takes_its_default():
    assert training.Experiment.from_dict({"run": {"steps": 7}}).run == training.RunConfig(steps=7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runs": {}}, "Experiment has no field 'runs'; its fields are objective, data"),
        ({"run": {"step": 3}}, "run has no field 'step'; its fields are steps"),
        ({"run": {"steps": "3"}}, "run.steps must be int: got '3'"),
        ({"run": {"steps": True}}, "run.steps must be int: got True"),
        ({"run": 3}, "run is an object of fields: got 3"),
        ({"data": {"paths": "a.txt"}}, r"data.paths must be a tuple of str: got 'a.txt'"),
        (
            {"optimizer": {"decay": "step"}},
            "optimizer.decay must be one of cosine, linear, constant, wsd, wsd-sqrt: got 'step'",
        ),
        ({"model": {"window": 1.5}}, "model.window must be int or None: got 1.5"),
    ],
)
def test_wrong_json_names_the_field(values, message):
    with pytest.raises(ValueError, match=message) as refused:
        training.Experiment.from_dict(values)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": {"batch_size": 6}, "optimizer": {"accumulation": 4}}, "got 6 rows in 4 micro-batches"),
        ({"run": {"steps": 5}, "optimizer": {"warmup": 6}}, "optimizer.warmup is no longer than the run"),
        ({"model": {"causal": True, "position": "rotary"}}, "a masked LM sees both sides"),
        ({"model": {"param_dtype": "bfloat16"}}, "training keeps parameters in float32"),
        (
            {"data": {"row_length": 600}, "model": {"position": "learned"}},
            "got data.row_length=600 and model.max_length=512",
        ),
        ({"run": {"max_bad_steps": 0}}, "run.max_bad_steps is at least 1"),
        ({"run": {"eval_every": -1}}, "run.eval_every is not negative"),
        ({"run": {"seed": 2**32}}, r"run.seed is below 2\*\*32"),
    ],
)
def test_a_contradiction_is_one_line(changes, message):
    plain = training.Experiment()
    with pytest.raises(ValueError, match=message) as refused:
        dataclasses.replace(
            plain,
            **{part: dataclasses.replace(getattr(plain, part), **fields) for part, fields in changes.items()},
        )
    assert "\n" not in str(refused.value)


def test_rotary_positions_have_no_table_to_outgrow():
    config = TransformerConfig(position="rotary", max_length=16)
    assert training.Experiment(data=DataConfig(row_length=64), model=config).model == config
