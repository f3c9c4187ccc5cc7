"""Results as tables for a terminal or a log."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jaxlm import decoding, models, scoring
from jaxlm.decoding.bytes import ByteLogProbs

BAR_WIDTH = 20


def evaluation_table(evaluation: models.Evaluation | models.SequenceEvaluation) -> Table:
    """Returns a table of a model's held-out scores, a baseline's scores, and their differences.

    A difference is the model's score minus the baseline's score: it is negative if the model's loss is lower.
    If the evaluation has no baseline, the table has no columns for one. The baseline of a language model
    knows only the frequencies of tokens; the baseline of a model of sequences, such as a classifier, knows
    only the labels of the training split.

    Args:
      evaluation: the scores of the model and, if there is one, of the baseline.

    Returns:
      A `rich` table.

    Example:
      >>> from jaxlm import models, reports
      >>> scores = models.Evaluation(2.0, 7.39, 0.5, 0.8, 0.03, 100, 700, 0, 5.0, 148.41, 0.1)
      >>> [str(cell) for column in reports.evaluation_table(scores).columns for cell in column.cells][-5:]
      ['-3.000', '-141.02', '+40.0 %', '', '']
    """
    is_of_tokens = isinstance(evaluation, models.Evaluation)
    rows = _token_rows(evaluation) if is_of_tokens else _sequence_rows(evaluation)
    baseline = "unigram baseline" if is_of_tokens else "labels only"
    has_baseline = not math.isnan(rows[0].theirs)
    table = Table(box=SIMPLE_HEAD)
    for heading in ("", "model", *((baseline, "difference") if has_baseline else ())):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        table.add_row(row.name, row.shown(row.ours), *(row.compared() if has_baseline else ()))
    return table


class _Row(NamedTuple):
    name: str
    ours: float
    theirs: float
    form: str
    scale: float = 1

    def shown(self, value: float, sign: str = "") -> str:
        return f"{{:{sign}{self.form}}}".format(self.scale * value) + (" %" if self.scale == 100 else "")

    def compared(self) -> tuple[str, str]:
        if math.isnan(self.theirs):
            return "", ""
        return self.shown(self.theirs), self.shown(self.ours - self.theirs, "+")


def _token_rows(scores: models.Evaluation) -> list[_Row]:
    nothing = math.nan
    rows = [
        _Row("loss (nats a token)", scores.nll, scores.unigram_nll, ".3f"),
        _Row("perplexity", scores.perplexity, scores.unigram_perplexity, ",.2f"),
        _Row("accuracy", scores.accuracy, scores.unigram_accuracy, ".1f", 100),
        _Row("among the top 5", scores.top_5_accuracy, nothing, ".1f", 100),
        _Row("calibration error", scores.calibration_error, nothing, ".1f", 100),
    ]
    if not math.isnan(scores.bits_per_byte):
        rows.append(_Row("bits per byte", scores.bits_per_byte, nothing, ".3f"))
    return [rows[0], *(row for row in rows[1:] if not math.isnan(row.ours))]


def _sequence_rows(scores: models.SequenceEvaluation) -> list[_Row]:
    if math.isnan(scores.accuracy):
        return [_Row("squared error (1 = labels' variance)", scores.loss, scores.baseline_loss, ".3f")]
    return [
        _Row("loss (nats a record)", scores.loss, scores.baseline_loss, ".3f"),
        _Row("accuracy", scores.accuracy, math.nan, ".1f", 100),
    ]


def byte_evaluation_table(evaluations: Mapping[str, scoring.ByteEvaluation]) -> Table:
    """Returns a table of models beside each other, by how likely the bytes of a corpus are for them.

    Args:
      evaluations: of each model, by its name, as `scoring.evaluate_bytes` returns them.

    Returns:
      A `rich` table with one row for each model, in the given order.

    Example:
      >>> from jaxlm import reports, scoring
      >>> evaluation = scoring.ByteEvaluation(2, 0, 100, -69.3147, 0.0, "stem")
      >>> table = reports.byte_evaluation_table({"./gpt2": evaluation})
      >>> [str(cell) for column in table.columns for cell in column.cells]
      ['./gpt2', '1.0000', '-69.31', 'P_stem', '0']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    for heading in ("bits per byte", "log P (nats)", "P", "left out of P"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in evaluations.items():
        dropped = f"{one.dropped:.1e}" if one.dropped else "0"
        table.add_row(
            Text(name),
            f"{one.bits_per_byte:.4f}",
            f"{one.log_likelihood:,.2f}",
            f"P_{one.probability}",
            dropped,
        )
    return table


def level_table(levels: Sequence[models.LevelSummary]) -> Table:
    """Returns a table of scores by the share of an example that was corrupted.

    Args:
      levels: the scores for each range of shares (level), in ascending order.

    Returns:
      A `rich` table with one row for each level.

    Example:
      >>> from jaxlm import models, reports
      >>> level = models.LevelSummary(0.1, 0.2, 1.5, 4.48, 0.5, 0.9, 0.01, 300.0)
      >>> [str(cell) for column in reports.level_table([level]).columns for cell in column.cells][:3]
      ['10 to 20 %', '300', '1.500']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("corrupted")
    for heading in ("positions", "loss", "perplexity", "accuracy", "top 5", "calibration error"):
        table.add_column(heading, justify="right")
    for level in levels:
        table.add_row(
            f"{100 * level.low:.0f} to {100 * level.high:.0f} %",
            f"{level.weight:,.0f}",
            f"{level.nll:.3f}",
            f"{level.perplexity:,.2f}",
            f"{level.accuracy:.1%}",
            f"{level.top_k_accuracy:.1%}",
            f"{level.calibration_error:.1%}",
        )
    return table


def fill_table(filled: decoding.FilledText) -> Table:
    """Returns a table of the likeliest tokens at each mask of a text.

    Args:
      filled: a filled text, as `decoding.fill` returns it.

    Returns:
      A `rich` table with the number of each mask (from 1), its index among the tokens (from 0), and its
      candidates, likeliest first.

    Example:
      >>> import numpy as np
      >>> from jaxlm import decoding, reports
      >>> found = decoding.MaskPrediction(3, (decoding.Candidate(9, "self", 0.75),))
      >>> table = reports.fill_table(decoding.FilledText(np.array([1, 2, 3, 9]), "a b c self", (found,)))
      >>> [str(cell) for column in table.columns for cell in column.cells][:4]
      ['1', '3', 'self', '0.7500']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("mask", justify="right", no_wrap=True)
    table.add_column("offset", justify="right", no_wrap=True)
    table.add_column("token", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for number, prediction in enumerate(filled.predictions, start=1):
        for rank, candidate in enumerate(prediction.candidates):
            where = (str(number), str(prediction.position)) if rank == 0 else ("", "")
            bar = "█" * round(BAR_WIDTH * candidate.probability)
            table.add_row(*where, Text(printable_token(candidate.token)), f"{candidate.probability:.4f}", bar)
        table.add_section()
    return table


def next_table(prediction: decoding.NextTokens) -> Table:
    """Returns a table of the likeliest next tokens after a text.

    Args:
      prediction: the prediction for one text, as `decoding.next_tokens` returns it.

    Returns:
      A `rich` table with the text, the id and the probability of each candidate, likeliest first.

    Example:
      >>> import numpy as np
      >>> from jaxlm import decoding, reports
      >>> found = decoding.NextTokens(np.array([7]), (decoding.NextToken(9, "self", 0.75),))
      >>> [str(cell) for column in reports.next_table(found).columns for cell in column.cells][:3]
      ['self', '9', '0.7500']
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("next token", overflow="fold")
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for candidate in prediction.candidates:
        bar = "█" * round(BAR_WIDTH * candidate.probability)
        token, id = Text(printable_token(candidate.token)), str(candidate.token_id)
        table.add_row(token, id, f"{candidate.probability:.4f}", bar)
    return table


def next_bytes_table(view: ByteLogProbs, count: int = 5) -> Table:
    """Returns a table of the likeliest next bytes after a text, or of the end of the text.

    Args:
      view: the log-probs of each next byte, as `logp_next` of a state over bytes returns them.
      count: the most bytes; bytes of probability 0 are left out.

    Returns:
      A `rich` table with the name and the probability of each byte, likeliest first. A byte is named by its
      ASCII character if that is printable, else by its value, `\\x0a`.

    Example:
      >>> import numpy as np
      >>> from jaxlm import reports
      >>> from jaxlm.decoding.bytes import ByteLogProbs
      >>> probs = np.full(257, 1e-9)
      >>> probs[[ord("e"), 10, 256]] = 0.5, 0.3, 0.2
      >>> table = reports.next_bytes_table(ByteLogProbs(np.log(probs)), 3)
      >>> print(*list(table.columns[0].cells), *list(table.columns[1].cells), sep="|")
      e|\\x0a|end of text|0.5000|0.3000|0.2000
    """
    table = Table(box=SIMPLE_HEAD)
    table.add_column("next byte", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for slot, log_prob in view.top(count).items():
        probability = math.exp(log_prob)
        name = "end of text" if slot == view.end else byte_name(slot)
        table.add_row(Text(name), f"{probability:.4f}", "█" * round(BAR_WIDTH * probability))
    return table


def byte_name(byte: int) -> str:
    """Returns how a table shows a byte: its ASCII character, a space quoted, or its value.

    Args:
      byte: 0 to 255.

    Example:
      >>> from jaxlm.reports._tables import byte_name
      >>> print(byte_name(101), byte_name(32), byte_name(10), byte_name(0xC3))
      e ' ' \\x0a \\xc3
    """
    if 0x20 < byte < 0x7F:
        return chr(byte)
    return "' '" if byte == 0x20 else f"\\x{byte:02x}"


def printable_token(token: str) -> str:
    """Returns a token as a table shows it: quoted, if it has white space or control characters to be seen.

    Args:
      token: as the tokenizer names it.

    Example:
      >>> from jaxlm.reports import printable_token
      >>> printable_token("self"), printable_token(" the"), printable_token("\\n")
      ('self', "' the'", "'\\\\n'")
    """
    return token if token and token.isprintable() and token == token.strip() else repr(token)
