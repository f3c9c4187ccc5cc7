"""Heat maps in a terminal: as wide as it, every score once, in the colours of the scale."""

import io
import re

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from jaxlm.attribution.results._colours import colour_level, level_colour
from jaxlm.attribution.results._heat_map import heat_map
from jaxlm.attribution.results._terminal import TerminalHeatMap
from tests.attribution.results.examples import causal, translation


def printed(result, width, *, colours=None):
    console = Console(
        file=io.StringIO(),
        width=width,
        color_system=colours,
        force_terminal=colours is not None,
        legacy_windows=False,
    )
    console.print(TerminalHeatMap(result))
    return console.file.getvalue()


def long_text(size=30):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(size, size - 2)).astype(np.float32)
    scores[np.arange(size)[:, None] >= np.arange(2, size)[None]] = np.nan
    tokens = tuple(
        f" token{index}" if index % 7 else " antidisestablishmentarianism漢字" for index in range(size)
    )
    ids = np.arange(size, dtype=np.int32)
    return causal(
        tokens=tokens,
        token_ids=ids,
        positions=ids[2:],
        targets=ids[2:],
        target_tokens=tokens[2:],
        scores=scores,
        values=None,
        baseline_values=None,
        completeness_error=None,
        step_scores={"entropy": rng.random(size - 2).astype(np.float32)},
    )


@pytest.mark.parametrize("width", [80, 40, 132])
def test_panels_are_as_wide_as_the_terminal_and_hold_every_score(width):
    result = long_text()
    text = printed(result, width)
    assert max(map(cell_len, text.splitlines())) <= width
    drawn = heat_map(result)
    expected = sorted(drawn.shown(score) for score in result.scores[~np.isnan(result.scores)].tolist())
    _, _, tables = text.partition("not seen")
    assert sorted(re.findall(r"[+-]\d\.\d\d\b|(?<= )0\.00\b", tables)) == expected
    assert text.count("entropy") == text.count("───\n") + text.count("─── \n")


def test_the_map_of_a_translation_without_colours():
    lines = [line.rstrip() for line in printed(translation(), 80).splitlines()]
    assert lines[0] == "saliency of logit"
    assert lines[1].endswith("+1.00; empty: not seen") and lines[1].startswith("-1.00 ")
    rows = [line.split() for line in lines]
    for row in (
        ["source"],
        ["▁the", "+0.25", "+0.50"],
        ["▁do", "-0.25", "-0.75"],
        ["g", "+1.00", "+0.50"],
        ["target"],
        ["<pad>", "+0.50", "-0.25"],
        ["▁der", "+1.00"],
    ):
        assert row in rows
    assert ["▁der", "▁hund"] in rows
    assert "\x1b" not in "".join(lines)


def test_colours_are_those_of_the_scale():
    result = translation()
    text = printed(result, 80, colours="truecolor")
    for score in result.source_scores.ravel().tolist():
        colour = level_colour(colour_level(score, 1.0), is_signed=True)
        codes = [
            ";".join(str(int(own[i : i + 2], 16)) for i in (1, 3, 5))
            for own in (colour.text, colour.background)
        ]
        assert f"38;2;{codes[0]};48;2;{codes[1]}m" in text


def test_a_contrast_and_control_characters():
    result = causal(target_tokens=("\x1b[31m", "[red]", "b"), contrast_tokens=(" or", "", " so"))
    text = printed(result, 80)
    assert "\x1b" not in text and "\\x1b[31m" in text and "[red]" in text
    assert ["compared", "with", "▁or", "''", "▁so"] in [line.split() for line in text.splitlines()]


def test_a_terminal_too_narrow_for_a_column_still_gets_one():
    assert "+" in printed(causal(), 20)


def test_show_prints_to_stdout(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    causal().show()
    shown = capsys.readouterr().out
    assert shown.startswith("integrated_gradients of probability\n") and "\x1b" not in shown
    causal().show(width=40)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40
