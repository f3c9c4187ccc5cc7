import io

from rich.console import Console

from jaxlm import scoring
from jaxlm.cli import _score_progress
from jaxlm.cli._score_progress import ScoreDisplay, progress_line

HALF = scoring.JobProgress(
    documents=50,
    errors=2,
    tokens=4000,
    parts=1,
    position=50,
    estimate=100,
    seconds=10.0,
    seconds_left=10.0,
    padding_share=0.005,
)
DONE = scoring.JobFinished(HALF._replace(documents=100, position=100, seconds_left=0.2), 3, None)


def test_a_line():
    assert progress_line(HALF) == (
        "50 documents (2 without a score), 5.0/s, 400 tokens/s, 0.5 % padding, 10 s left"
    )
    unknown = HALF._replace(errors=0, tokens=0, seconds_left=None, padding_share=None)
    assert progress_line(unknown) == "50 documents, 5.0/s"


def test_plain_lines_come_now_and_then(capsys, monkeypatch):
    with ScoreDisplay() as display:
        display.show(HALF)
        monkeypatch.setattr(_score_progress, "LINE_SECONDS", 0.0)
        display.show(HALF)
        display.show(DONE)
    half, skipped, done = capsys.readouterr().err.splitlines()
    assert half == progress_line(HALF)
    assert skipped == "3 parts were there already"
    assert done.startswith("scored 100 documents") and "left" not in done


def test_a_terminal_has_a_bar(capsys):
    display, screen = ScoreDisplay(), io.StringIO()
    display._console = Console(file=screen, force_terminal=True, width=160)
    with display:
        display.show(HALF)
        display.show(HALF._replace(documents=60))
        display.show(DONE)
    assert "60 documents" in screen.getvalue()
    assert "scored 100 documents" in capsys.readouterr().err
