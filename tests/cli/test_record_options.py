"""Options of fields that hold one of several records: what they make and refuse, how they are shown."""

import dataclasses

import pytest

from jaxlm import models, training
from jaxlm.cli._failures import UsageError
from jaxlm.cli._options import parse
from jaxlm.cli._record_options import flat_options
from jaxlm.cli._train_request import read_request

SMALL, UNDERTALE = ["--preset", "small"], ["--preset", "undertale-medium"]
# What is given, and the fields of the model that it changes; without a preset the model has rotary positions.
MADE = [
    (["--model.position.base", "5e5"], {"position": models.Rotary(base=5e5)}),
    (["--position.base=5e5"], {"position": models.Rotary(base=5e5)}),
    ([*SMALL, "--model.position", "rotary"], {"position": models.Rotary()}),
    ([*SMALL, "--model.position.offset", "2"], {"position": models.Learned(offset=2)}),
    ([*SMALL, "--model.position=relative", "--buckets=16"], {"position": models.Relative(buckets=16)}),
    ([*UNDERTALE, "--source=corrupted"], {"position": models.Instruction(next_id=5, source="corrupted")}),
    ([*UNDERTALE, "--model.position=instruction"], {"position": models.Instruction(next_id=5)}),
    ([*UNDERTALE, "--model.position.next-id=None"], {"position": models.Instruction()}),
    (
        ["--position.scaling=linear", "--factor=2"],
        {"position": models.Rotary(scaling=models.LinearScaling(factor=2.0))},
    ),
    (
        ["--position.scaling=yarn", "--no-rounded", "--share=0.5"],
        {"position": models.Rotary(share=0.5, scaling=models.YarnScaling(rounded=False))},
    ),
    ([*SMALL, "--model.head", "linear"], {"head": models.LinearHead()}),
    (
        [*UNDERTALE, "--model.head.activation", "relu"],
        {"head": models.TransformHead(activation="relu", epsilon=1e-12)},
    ),
    # The model's own depth, not its decoder's; its own activation, not its head's.
    (["--depth", "2", "--activation", "relu"], {"depth": 2, "activation": "relu"}),
]


@pytest.mark.parametrize(("arguments", "changes"), MADE, ids=lambda value: " ".join(map(str, value)))
def test_what_is_given_is_in_the_record_and_nothing_else_changes(arguments, changes):
    base = models.PRESETS[arguments[1]] if arguments[0] == "--preset" else training.Experiment().model
    assert read_request(arguments).experiment.model == dataclasses.replace(base, **changes)


def test_a_decoder_is_there_where_an_option_of_it_is():
    goal = ["--objective", "seq2seq_lm", "--tokenizer.sentinels", "8"]
    model = read_request([*goal, "--decoder.depth", "2"]).experiment.model
    assert model.decoder == models.DecoderConfig(depth=2)
    assert read_request(goal).experiment.model.decoder is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model.position", "learned", "--model.position.base", "2"],
            "--model.position.base would change nothing: it is an option of model.position='rotary', and "
            "model.position is 'learned'",
        ),
        (
            ["--model.position.scaling.factor", "2"],
            "--model.position.scaling.factor would change nothing: it is an option of "
            "model.position.scaling='linear' or 'dynamic' or 'llama3' or 'yarn', "
            "and model.position.scaling is 'none'",
        ),
        (
            ["--model.position=none", "--model.position.scaling=yarn"],
            "--model.position.scaling would change nothing: it is an option of model.position='rotary'",
        ),
        (
            ["--model.head=linear", "--model.head.epsilon=1e-3"],
            "--model.head.epsilon would change nothing: it is an option of model.head='transform'",
        ),
        (
            ["--window-base", "10"],
            "--model.position.window-base would change nothing: it is of a model.window",
        ),
        (
            ["--decoder.depth", "2"],
            "--model.decoder.depth would change nothing: it is of objective='seq2seq_lm'",
        ),
        (["--model.position", "rotatory"], "--model.position is one of 'learned', 'sinusoidal', 'rotary', "),
        (["--model.position.base", "-1"], "position.base must be positive: got -1.0"),
        (["--model.position.kind", "rotary"], "unknown option --model.position.kind"),
        (["--model.rotary-base", "1"], "unknown option --model.rotary-base"),
    ],
)
def test_what_the_record_has_not_is_one_line(arguments, message):
    with pytest.raises(UsageError) as caught:
        read_request(arguments)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_help_lists_the_options_of_every_record(capsys):
    with pytest.raises(SystemExit):
        read_request(["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for option in (
        "--model.position {learned,sinusoidal,rotary,relative,instruction,none}",
        "--model.position.scaling {none,linear,dynamic,llama3,yarn}",
        "--model.position.scaling.factor FLOAT of linear, dynamic, llama3 and yarn: how",
        "--model.decoder.depth {None}|INT",
        "--model.head.epsilon {None}|FLOAT",
    ):
        assert option in shown
    assert "(default: rotary)" in shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
    """Nothing to choose.

    Attributes:
        name: or a record, which no option can be.
    """

    name: str | models.DecoderConfig = "a"
    depth: int = 1


def test_what_has_no_records_is_parsed_as_it_is():
    assert flat_options(Plain) is Plain
    assert parse(Plain, ["--depth", "3"], program="p") == Plain(depth=3)
