"""What the arguments of `jaxlm train` ask for."""

import dataclasses
import json
import typing

import jax
import jax.numpy as jnp
import pytest

from jaxlm import models, pretrained, tokenizers, training
from jaxlm.cli import _train_request
from jaxlm.cli._arguments import known_options, read_arguments
from jaxlm.cli._failures import UsageError
from jaxlm.cli._train_request import Train, read_request
from jaxlm.cli._values import value_types


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_no_argument_is_the_embedded_default():
    request = read_request([])
    assert request.experiment == training.Experiment()
    assert str(request.folder) == "runs/bytecode-1"
    assert not request.resume and not request.json


@pytest.mark.parametrize("arguments", [["--steps", "7"], ["--steps=7"], ["--run.steps", "7"]])
def test_an_option_changes_its_field_alone(arguments):
    default = training.Experiment()
    changed = dataclasses.replace(default, run=dataclasses.replace(default.run, steps=7))
    assert read_request(arguments).experiment == changed


def test_a_preset_is_the_model_and_options_vary_it():
    model = read_request(["--model.position", "rotary", "--preset", "small"]).experiment.model
    assert model == dataclasses.replace(models.PRESETS["small"], position="rotary")


def test_a_preset_keeps_the_direction_of_the_experiment(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from jaxlm import models, training\n"
        "def get_experiment():\n"
        "    return training.Experiment(\n"
        "        model=models.TransformerConfig(causal=True, dtype='bfloat16'),\n"
        "        objective='causal_lm',\n"
        "    )\n"
    )
    model = read_request(["mine.py", "--preset=tiny"]).experiment.model
    assert model == dataclasses.replace(models.PRESETS["tiny"], causal=True, dtype="bfloat16")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"--preset is one of .*'small'.*, got 'huge'"):
        read_request(["--preset", "huge"])


def test_dropout_is_all_of_the_models_and_not_the_heads():
    experiment = read_request(["--dropout", "0.3", "--model.mlp-dropout", "0.1"]).experiment
    rates = {name: getattr(experiment.model, name) for name in models.DROPOUTS}
    assert rates == dict.fromkeys(models.DROPOUTS, 0.3) | {"mlp_dropout": 0.1}
    assert experiment.head.dropout == 0.0


@pytest.mark.parametrize("rate", ["1.0", "-0.1", "nan", "much"])
def test_a_dropout_that_is_no_rate_is_refused(rate):
    with pytest.raises(ValueError, match=r"dropout"):
        read_request([f"--dropout={rate}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.deduplicate=maybe"], "--data.deduplicate is true or false: got 'maybe'; write"),
        (["--data.deduplicate", "False"], "--data.deduplicate takes no value: got 'False' behind it"),
        (["--no-deduplicate=no"], "--no-deduplicate takes no value: got 'no'"),
        (["--resume=never"], "--resume is true or false: got 'never'; write --resume or leave it out"),
        (
            ["--head.pooling", "first"],
            "--head.pooling would change nothing: it is of objective='classification'",
        ),
        (["--spans.rate", "0.3"], "it is of objective='seq2seq_lm', and that is 'masked_lm'"),
        (["--steps", "5", "--run.steps", "6"], "--run.steps is given twice"),
        (["--data.field", "body"], "--data.field would change nothing: it is of files"),
        (["--init", "None", "--train-last", "2"], "run.train_last=2 keeps the other blocks"),
        (["--resume", "--out", "None"], "no run to resume"),
    ],
)
def test_what_would_be_something_else_is_refused(arguments, message):
    with pytest.raises(ValueError) as caught:
        read_request(arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("word", ["=False", "=no", "=0", "=off", "=false"])
def test_a_flag_is_what_it_is_told(word):
    given = [f"--data.deduplicate{word}", f"--model.scan-layers{word}", f"--resume{word}", f"--json{word}"]
    request = read_request(given)
    assert not request.experiment.data.deduplicate and not request.experiment.model.scan_layers
    assert not request.resume and not request.json
    told = [one.replace(word, "=yes") for one in given if "resume" not in one]
    request = read_request(told)
    assert request.experiment.data.deduplicate and request.experiment.model.scan_layers and request.json


def test_none_is_no_model_to_begin_with(tmp_path):
    assert read_request(["--run.init", "None"]).experiment == training.Experiment()
    (tmp_path / "mine.py").write_text(
        "from jaxlm import training\n"
        "def get_experiment():\n"
        "    return training.Experiment(run=training.RunConfig(init='somewhere', train_last=1))\n"
    )
    assert read_request(["mine.py"]).experiment.run.init == "somewhere"
    run = read_request(["mine.py", "--init=None", "--train-last", "None"]).experiment.run
    assert run == training.RunConfig()


@pytest.mark.long
def test_every_option_alone_is_its_field_or_refused():
    """Through the whole parser: what is given is what the experiment holds, and nothing else changes."""
    known = {option.name: option for option in known_options(Train).values()}
    own = {"--data", "--preset", "--out", "--resume", "--json", "--dropout", "--run.init"}
    for name in sorted(known.keys() - own):
        kind = value_types(known[name].hint)[0]
        words = {int: "2", float: "0.5", bool: "true", str: "(a)"}
        value = words.get(kind) or str(typing.get_args(kind)[-1])
        try:
            found = read_request([f"{name}={value}"]).experiment
        except ValueError as error:
            assert "unknown option" not in str(error) and "unexpected" not in str(error)
            continue
        section, field, *record = name.removeprefix("--").replace("-", "_").split(".")
        if record:  # test_record_options.py
            continue
        got = getattr(getattr(found, section), field)
        got = getattr(got, "kind", got)
        assert (
            str(got[0] if isinstance(got, tuple) else got).lower() in (value, f"{value}.0")
            or field == "paths"
        )
        changed = dataclasses.replace(getattr(training.Experiment(), section), **{field: got})
        if field != "paths":
            assert found == dataclasses.replace(training.Experiment(), **{section: changed})


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--preset", "small", "--help", "--steps", "5"]])
def test_help_is_shown_with_the_defaults_of_what_is_asked_for(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        read_request(arguments)
    assert left.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "--run.steps INT" in shown and "--dropout" in shown


def test_what_init_changes_in_the_defaults_is_told(monkeypatch):
    experiment = training.Experiment(optimizer=training.OptimizerConfig(learning_rate=5e-5))
    asked = read_arguments(["--init", "x", "--warmup", "5"], known_options(Train), program="p")
    line = _train_request._changed_defaults(asked, experiment)
    assert "--optimizer.learning-rate 5e-05 (without it 0.002)" in line and "warmup" not in line
    assert _train_request._changed_defaults(asked, training.Experiment()) == ""


def test_causal_is_a_model_that_writes_texts_of_the_data(tmp_path):
    (tmp_path / "mine.txt").write_text("a\n")
    request = read_request(["--data", "mine.txt", "--causal", "--preset", "tiny", "--steps", "7"])
    default = training.causal_experiment()
    expected = dataclasses.replace(
        default,
        data=dataclasses.replace(default.data, paths=(str(tmp_path / "mine.txt"),)),
        model=dataclasses.replace(models.PRESETS["tiny"], causal=True),
        run=dataclasses.replace(default.run, steps=7),
    )
    assert request.experiment == expected and request.experiment.ends
    assert str(request.folder) == "runs/mine-1"


def saved(folder, kind):
    config = models.TransformerConfig(
        vocab_size=260, width=8, depth=1, num_heads=2, causal=kind == "causal_lm"
    )
    params = models.build(config, kind).init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    pretrained.save_model(folder, config, params, tokenizers.bytes_tokenizer(), kind=kind)
    return str(folder)


def test_causal_puts_the_opening_and_closing_tokens_around_the_texts_of_init(tmp_path):
    model = saved(tmp_path / "model", "causal_lm")
    assert not read_request(["--init", model]).experiment.ends
    assert read_request(["--init", model, "--causal"]).experiment.ends


def test_causal_beside_something_else_is_refused(tmp_path):
    masked = saved(tmp_path / "model", "masked_lm")
    with pytest.raises(UsageError, match=r"--causal: .*model is no causal model, it is trained as masked_lm"):
        read_request(["--causal", "--init", masked])
    with pytest.raises(UsageError, match=r"--causal is an experiment of its own: got mine.py beside it"):
        (tmp_path / "mine.py").write_text(
            "from jaxlm import training\ndef get_experiment(): return training.Experiment()\n"
        )
        read_request(["mine.py", "--causal"])
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/x/experiment.json").write_text(json.dumps(training.Experiment().to_dict()))
    with pytest.raises(
        UsageError, match=r"--causal: the run in runs/x was begun as masked_lm; leave --causal"
    ):
        read_request(["--resume", "--out", "runs/x", "--causal"])
