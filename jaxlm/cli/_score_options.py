"""The options of `jaxlm score`: its own, and those of the measure."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import data, pretrained, scoring
from jaxlm.cli._arguments import (
    Arguments,
    Option,
    asks_for_help,
    known_options,
    read_arguments,
    without_help,
)
from jaxlm.cli._byte_models import Unit
from jaxlm.cli._failures import UsageError, did_you_mean
from jaxlm.cli._models import DType, model_folder
from jaxlm.cli._values import takes_many

SCORE_PROGRAM = "jaxlm score"
DEFAULT_MEASURES = {"next_token": "log-likelihood", "fill": "pseudo-log-likelihood"}
# What --variants may say instead of a file.
ALL_VARIANTS = "all"
VARIANT_MEASURE, STEP_MEASURE = "variant-effect", "step-scores"
BYTE_MEASURE = scoring.ByteLogLikelihood.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Score every document of a corpus: DIR/parts/*.parquet get a row for each document, in order.

    If a job was stopped or killed, the same command goes on with it, and the files are those of a job that
    was not. Several processes share the work by --shard or --distributed. The options after --json are the
    measure's; --measure NAME --help shows those of another measure.

    Attributes:
      model: a run folder that jaxlm train wrote, or a Hugging Face folder or name
      corpus: files, folders or globs, here or at URLs: text, JSONL, CSV, Parquet, FASTA; plain, .gz or .zst
      out: a folder for this job alone, or a URL: s3://, gs://, or what fsspec opens
      measure: log-likelihood, byte-log-likelihood or conditional for a causal model, pseudo-log-likelihood,
        single-pass or instruction-ratio for a masked one, variant-effect or step-scores for both, embedding
        and prediction as in jaxlm embed and jaxlm predict; None: the first of these for the model
      unit: byte scores the bytes of texts instead of their tokens, so that models with different tokenizers
        can be compared; the measure is byte-log-likelihood, and special tokens in a text are plain bytes
      variants: instead of CORPUS, a file of mutants of --wild-type (FASTA, or a table with a column of
        mutants), or the word all: every single mutant, with a heat map; the measure is variant-effect
      step_scores: step functions of every token, such as entropy top_p_size=0.9 kl_divergence; the measure
        is step-scores
      format: how to read every file; None takes it from each ending
      document: of a text file, whether a line or the whole file is one document
      field: the JSONL field or the column (CSV, Parquet) with the text; None: text, and for variants the
        column with a usual name (mutant, mutation, ...)
      keep: columns of JSONL, CSV or Parquet to write beside the scores, with their types; a column id is
        the documents' id anyway
      on_error: row writes a row that says why for a document that cannot be read or scored; stop ends the
        job there
      max_document: the most bytes of a document, decompressed (of JSONL and CSV, of a line); a longer one
        cannot be scored
      base: of the logarithms in the files, e (nats) or 2 (bits)
      shard: i/n scores every n-th part from the i-th on
      distributed: make each process that jax.distributed finds a shard
      engine: score here, or on the actors of a Ray cluster
      actors: how many actors; None: one for each GPU of the cluster, or one
      part_documents: the most documents of a part
      part_characters: a part ends with the document that brings it to this many characters, the most that a
        killed job loses; None: 4,194,304, and 131,072 for measures that read each text once a token
      dtype: type of the parameters and of the computation
      row_length: tokens of a row, and the most that are read at once
      rows: of a batch, over all devices
      buffer: pieces of text that are packed into rows together; None: 1,024, and 16,384 for a masked LM
      tile: positions whose logits are computed at once
      with_members: further models of the same kind, which form an ensemble with MODEL
      combine: what an ensemble averages; None: probs
      json: print one JSON object
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    corpus: Annotated[Positional[tuple[str, ...]], arg(metavar="CORPUS")] = ()
    out: str
    measure: str | None = None
    unit: Unit = "token"
    variants: str | None = None
    step_scores: tuple[str, ...] = ()
    format: data.Format | None = None
    document: Literal["line", "file"] = "line"
    field: str | None = None
    keep: tuple[str, ...] = ()
    on_error: Literal["row", "stop"] = "row"
    max_document: int = data.MAX_DOCUMENT
    base: Literal["e", "2"] = "e"
    shard: str = "1/1"
    distributed: FlagCreatePairsOff[bool] = False
    engine: Literal["local", "ray"] = "local"
    actors: int | None = None
    part_documents: int = 1 << 16
    part_characters: int | None = None
    dtype: DType | None = None
    row_length: int | None = None
    rows: int | None = None
    buffer: int | None = None
    tile: int | None = None
    with_members: tuple[str, ...] = ()
    combine: Literal["probs", "log_probs", "scores"] | None = None
    json: FlagCreatePairsOff[bool] = False


def options_of(measure: str) -> type[ScoreOptions]:
    """Returns `ScoreOptions` with a measure's own options in the field `settings`.

    Args:
      measure: name of the measure.

    Example:
      >>> from jaxlm.cli._arguments import known_options
      >>> from jaxlm.cli._score_options import options_of
      >>> sorted(set(known_options(options_of("log-likelihood"))) & {"--window", "--out", "--wild-type"})
      ['--out', '--window']
    """
    kind = scoring.MEASURES[measure]
    required = any(
        field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        for field in dataclasses.fields(kind)
    )
    default: dict[str, Any] = {} if required else {"default_factory": kind}
    settings = ("settings", Annotated[kind, arg(name="")], dataclasses.field(**default))
    made = dataclasses.make_dataclass("Score", [settings], bases=(ScoreOptions,), frozen=True, kw_only=True)
    made.__doc__ = ScoreOptions.__doc__
    return made


def measure_settings(options: ScoreOptions) -> scoring.Measure:
    """Returns the measure that options of a class from `options_of` hold.

    Args:
      options: of the command line.

    Raises:
      TypeError: if their class is not from `options_of`.
    """
    settings = vars(options).get("settings")
    if not isinstance(settings, scoring.Measure):
        raise TypeError("expected options of a class from options_of: got none of a measure")
    return settings


def read_leniently(arguments: Sequence[str]) -> Arguments:
    """Returns the arguments of `jaxlm score`, read before the measure is known: all measures' options count.

    If two measures have the same option with different types, its value is not checked.

    Args:
      arguments: what follows `jaxlm score`.

    Raises:
      UsageError: for what is wrong with every measure.

    Example:
      >>> from jaxlm.cli._score_options import read_leniently
      >>> read_leniently(["./gpt2", "a.txt", "--distributed=yes"]).flag("--distributed")
      True
    """
    known: dict[str, Option] = {}
    for measure in scoring.MEASURES:
        for name, option in known_options(options_of(measure)).items():
            known[name] = _either(known.get(name, option), option)
    return read_arguments(arguments, known, program=SCORE_PROGRAM)


def chosen_measure(arguments: Sequence[str]) -> str:
    """Returns the name of the measure: that of `--measure`, or the default of the model's kind.

    Args:
      arguments: what follows `jaxlm score`.

    Raises:
      UsageError: if there is no such measure or no model, or the model predicts no tokens.

    Example:
      >>> from jaxlm.cli._score_options import chosen_measure
      >>> chosen_measure(["./gpt2", "a.txt", "--measure", "conditional"])
      'conditional'
    """
    is_help = asks_for_help(arguments)
    given = read_leniently(without_help(arguments) if is_help else arguments)
    wanted = given.value("--measure")
    if wanted is None and given.value("--variants") is not None:
        wanted = VARIANT_MEASURE
    if "--step-scores" in given.given:
        wanted = _agreed("--step-scores", STEP_MEASURE, wanted)
    if given.value("--unit") == "byte":
        wanted = _agreed("--unit byte", BYTE_MEASURE, wanted)
    if wanted is not None and wanted not in scoring.MEASURES:
        there = ", ".join(scoring.MEASURES)
        raise UsageError(
            f"--measure is one of {there}: got {wanted!r}{did_you_mean(wanted, scoring.MEASURES)}"
        )
    if wanted is not None or not given.positionals or is_help:
        return wanted or DEFAULT_MEASURES["next_token"]
    model = given.positionals[0]
    kind = pretrained.inspect(model_folder(_first_member(model))).kind
    if kind.head is None:
        raise UsageError(pretrained.without_head(model))
    if kind.question is None:
        remedy = f"; its predictions: jaxlm predict {model}" if kind.sequence_outputs else ""
        raise UsageError(f"{model} is a {kind.name}: tokens are scored by a causal or a masked LM{remedy}")
    return DEFAULT_MEASURES[kind.question]


def _agreed(option: str, measure: str, wanted: str | None) -> str:
    """Returns the measure that an option stands for, unless another one is asked for, too."""
    if wanted not in (None, measure):
        raise UsageError(f"{option} is the measure {measure}: got the measure {wanted}, too")
    return measure


def _either(first: Option, second: Option) -> Option:
    """Returns an option that two measures have, with the type Any if their types differ."""
    if first.hint == second.hint:
        return first
    many = takes_many(first.hint) or takes_many(second.hint)
    return first._replace(hint=tuple[Any, ...] if many else Any)


def _first_member(model: str) -> str:
    members = pretrained.member_folders(Path(model))
    return str(members[0]) if members else model
