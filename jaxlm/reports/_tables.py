"""Results as tables for a terminal or a log."""

import math

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jaxlm import decoding, training

BAR_WIDTH = 20


def evaluation_table(evaluation: training.Evaluation) -> Table:
    """Returns held-out loss, perplexity and accuracy beside those of the unigram baseline, with the
    difference.

    Differences are model minus baseline, so that a loss below the baseline's is negative. Without a baseline
    its columns are left out.

    Args:
        evaluation: the scores.

    Returns:
        A `rich` table.

    Example:
        >>> scores = training.Evaluation(2.0, 7.39, 0.5, 100, 700, 0, 5.0, 148.41, 0.1)
        >>> [str(cell) for column in evaluation_table(scores).columns for cell in column.cells][-3:]
        ['-3.000', '-141.02', '+40.0 %']
    """
    has_baseline = not math.isnan(evaluation.unigram_nll)
    table = Table(box=SIMPLE_HEAD)
    for heading in ("", "model", *(("unigram baseline", "difference") if has_baseline else ())):
        table.add_column(heading, justify="right" if heading else "left")
    rows = (
        ("loss (nats a token)", evaluation.nll, evaluation.unigram_nll, "{:.3f}", "{:+.3f}", 1),
        ("perplexity", evaluation.perplexity, evaluation.unigram_perplexity, "{:,.2f}", "{:+,.2f}", 1),
        ("accuracy", evaluation.accuracy, evaluation.unigram_accuracy, "{:.1f} %", "{:+.1f} %", 100),
    )
    for name, ours, theirs, shown, signed, scale in rows:
        compared = (
            (shown.format(scale * theirs), signed.format(scale * (ours - theirs))) if has_baseline else ()
        )
        table.add_row(name, shown.format(scale * ours), *compared)
    return table


def fill_table(filled: decoding.Filled) -> Table:
    """Returns the likeliest tokens at each mask of a filled text.

    Args:
        filled: from `decoding.fill`.

    Returns:
        A `rich` table: which mask, its offset in the tokens, and its candidates, the best first.

    Example:
        >>> import numpy as np
        >>> found = decoding.MaskPrediction(3, (decoding.Candidate(9, "self", 0.75),))
        >>> table = fill_table(decoding.Filled(np.array([1, 2, 3, 9]), "a b c self", (found,)))
        >>> [str(cell) for column in table.columns for cell in column.cells][:4]
        ['1', '3', 'self', '0.7500']
    """
    table = Table(box=SIMPLE_HEAD)
    for heading, justify in (
        ("mask", "right"),
        ("offset", "right"),
        ("token", "left"),
        ("probability", "right"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)
    table.add_column("", no_wrap=True)
    for number, prediction in enumerate(filled.predictions, start=1):
        for rank, candidate in enumerate(prediction.candidates):
            place = (str(number), str(prediction.position)) if rank == 0 else ("", "")
            bar = "█" * round(BAR_WIDTH * candidate.probability)
            table.add_row(*place, Text(visible(candidate.token)), f"{candidate.probability:.4f}", bar)
        table.add_section()
    return table


def visible(token: str) -> str:
    """Returns a token as a cell can show it: white space and control characters at its ends or inside spelled
    out.

    Example:
        >>> visible("self"), visible(" the"), visible("\\n")
        ('self', "' the'", "'\\\\n'")
    """
    return token if token and token.isprintable() and token == token.strip() else repr(token)
