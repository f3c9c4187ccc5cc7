import io
import math

import pytest
from rich.console import Console

from jaxlm import training
from jaxlm.cli import _progress
from jaxlm.cli._output import LINE_WIDTH, duration
from jaxlm.cli._progress import TrainDisplay

STARTED = training.Started("runs/x", 1234, 0, 100, 640, "1 x cpu", 2.5, ("a note [NEXT]",))


def progress(step, loss=3.0):
    return training.Progress(step, 100, loss, 0.5, 1e-3, 12_345.6, 0)


def test_without_a_terminal_there_are_plain_lines_and_few_of_them(capsys):
    with TrainDisplay() as display:
        display.show(STARTED)
        for step in range(1, 101):
            display.show(progress(step))
        display.show(training.Warned("two\nlines"))
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert lines[0] == "  a note [NEXT]"
    assert "1,234 parameters, on 1 x cpu; 100 steps of 640 tokens (2.5 epochs)" in lines[1]
    assert lines[2].startswith("step 5/100  loss 3.000  12,346 tokens/s  ")
    assert lines[-2].startswith("step 100/100")
    assert lines[-1] == "warning: two lines"
    assert len(lines) == 2 + 20 + 1


def test_a_resumed_run_says_where_it_goes_on(capsys):
    with TrainDisplay() as display:
        display.show(STARTED._replace(step=40))
    assert "going on from step 40" in capsys.readouterr().err


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, markup=False, highlight=False)
    monkeypatch.setattr(_progress, "Console", lambda **options: console)
    return screen


def test_on_a_terminal_there_is_a_bar_with_lines_above_it(terminal):
    scores = training.Evaluation(2.5, 12.2, 0.25, 0.5, 0.1, 9, 90, 0, 5.0, 148.4, 0.1)
    with TrainDisplay() as display:
        display.show(STARTED)
        display.show(progress(50, loss=3.25))
        display.show(training.Evaluated(50, "validation", scores))
        display.show(training.Evaluated(60, "validation", scores._replace(unigram_nll=math.nan)))
        display.show(progress(100))
    shown = terminal.getvalue()
    assert "a note [NEXT]" in shown
    assert "step 50  held-out loss 2.500 nats, accuracy 25.0%; unigram baseline 5.000 nats" in shown
    lone = next(line for line in shown.splitlines() if "step 60  held-out" in line)
    assert "accuracy 25.0%" in lone and "baseline" not in lone
    assert "100/100" in shown and "loss 3.000  12,346 tokens/s" in shown


def test_the_bar_is_taken_down_when_the_run_fails(terminal):
    with pytest.raises(ValueError, match="no more"), TrainDisplay() as display:
        display.show(STARTED)
        raise ValueError("no more")
    assert terminal.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is shown again


def test_durations_are_told_to_two_units():
    assert [duration(seconds) for seconds in (0.4, 59.4, 59.6, 3599, 3600, 86399)] == [
        "0 s",
        "59 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
        "23 h 59 min",
    ]


def test_a_line_of_an_evaluation_that_is_too_long_goes_on_in_the_next_one(capsys):
    scores = training.Evaluation(2.0, 7.39, 0.5, 0.8, 0.03, 100, 700, 0, 5.0, 148.41, 0.1)
    with TrainDisplay() as display:
        for step in (10, 1_000_000):
            display.show(training.Evaluated(step, "validation", scores))
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "  unigram baseline 5.000 nats"


def test_what_a_model_writes_is_a_line(capsys):
    with TrainDisplay() as display:
        display.show(training.Sampled(3, "To be,\nor"))
        display.show(training.Sampled(4, "x" * 300))
    short, long = capsys.readouterr().err.splitlines()
    assert short == "  it writes: To be,\\nor"
    assert len(long) == LINE_WIDTH and long.endswith("x…")
