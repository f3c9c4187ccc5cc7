"""`jaxlm score MODEL CORPUS --out DIR`: a score for each document, in Parquet parts; resumable."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from jaxlm import data, io, pretrained, reports, scoring, tokenizers
from jaxlm.cli._arguments import asks_for_help
from jaxlm.cli._byte_models import naming_unknown_bytes, refuse_model_without_bytes
from jaxlm.cli._cluster import cluster_shard
from jaxlm.cli._failures import UsageError, say
from jaxlm.cli._job_events import (
    exit_code_of,
    job_counts,
    shard_of,
    shown_job,
    tell_missing,
    tell_of_shards,
)
from jaxlm.cli._models import DType, model_folder, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import finite_or_none, show
from jaxlm.cli._score_options import (
    ALL_VARIANTS,
    SCORE_PROGRAM,
    ScoreOptions,
    chosen_measure,
    measure_settings,
    options_of,
    read_leniently,
)
from jaxlm.cli._signals import register_cleanup
from jaxlm.devices import enable_compilation_cache

HISTOGRAM, RANKING, HEAT_MAP = "histogram.png", "ranking.json", "variants.png"


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Args:
      arguments: what follows the command.

    Raises:
      UsageError: if the request cannot be met.
    """
    # Both come before the model is looked at, which starts JAX: the cluster says which devices there are, and
    # Ray forks, which JAX's threads may not survive.
    early = None if asks_for_help(arguments) else read_leniently(arguments)
    joined = cluster_shard() if early is not None and early.flag("--distributed") else None
    if early is not None and early.value("--engine") == "ray":
        scoring.start_ray()
    measure = chosen_measure(arguments)
    options = parse(options_of(measure), arguments, program=SCORE_PROGRAM)
    _refuse_unread(options)
    if joined is not None and options.shard != "1/1":
        raise UsageError("--distributed makes a shard of each process: leave --shard out")
    shard = joined or shard_of(options.shard)
    enable_compilation_cache()
    source, wanted = _source(options)
    config = scoring.JobConfig(
        part_documents=options.part_documents,
        part_characters=options.part_characters,
        shard=shard,
        on_error=options.on_error,
        base=options.base,
    )
    make = functools.partial(scorer_from_options, _members(options), options.dtype, wanted, _engine(options))
    # Parts that are computed when a signal comes are written before the process ends.
    register_cleanup(scoring.finish_writing)
    if options.engine == "ray":
        events = scoring.run_ray_job(make, source, options.out, config, actors=options.actors)
    else:
        events = scoring.run_job(make(), source, options.out, config)
    return _finish(options, shown_job(events), wanted, shard)


def scorer_from_options(
    members: tuple[str, ...],
    dtype: DType | None,
    measure: scoring.Measure,
    config: scoring.EngineConfig,
) -> scoring.Scorer:
    """Returns the scorer of a model or an ensemble; actors on other machines call it, too.

    Args:
      members: folders or names; several, or one folder of several models, are an ensemble.
      dtype: type of the parameters, for a single model.
      measure: what is scored.
      config: how the work is cut into batches.
    """
    if isinstance(measure, scoring.ByteLogLikelihood):
        with naming_unknown_bytes(members[0]):
            return scoring.make_scorer(open_model(members[0], dtype=dtype), measure, config)
    if config.combine is None:
        needs_head = "vectors" not in measure.questions
        loaded = open_model(members[0], dtype=dtype, needs_head=needs_head)
        return scoring.make_scorer(loaded, measure, config)
    loaded = pretrained.load_ensemble(members[0] if len(members) == 1 else members)
    return scoring.make_scorer(loaded, measure, config)


def _refuse_unread(options: ScoreOptions) -> None:
    """Raises `UsageError` for an option that would change nothing, before anything is opened."""
    if options.engine != "ray" and options.actors is not None:
        raise UsageError("--actors is for a Ray cluster: add --engine ray, or leave it out")
    if options.actors is not None and options.actors < 1:
        raise UsageError(f"--actors is at least 1: got {options.actors}")
    if _is_ensemble(options) and options.dtype is not None:
        raise UsageError("--dtype is for a single model: the members of an ensemble keep their own")
    if not 1 <= options.max_document < 2**31:
        raise UsageError(f"--max-document is from 1 and below 2**31: got {options.max_document}")
    if isinstance(measure_settings(options), scoring.ByteLogLikelihood):
        _refuse_of_tokens(options)
    if options.combine is not None and not _is_ensemble(options):
        raise UsageError("--combine is for several models: name the others by --with-members")


def _refuse_of_tokens(options: ScoreOptions) -> None:
    """Raises `UsageError` for an option that is of no use for the bytes of texts, and for several models."""
    if _is_ensemble(options):
        raise UsageError(
            "bytes are scored under one model: name one; an ensemble of models of bytes is "
            "jaxlm.decoding.bytes.ByteEnsemble in Python"
        )
    refuse_model_without_bytes(options.model, pretrained.inspect(model_folder(options.model)).kind)
    for name in ("row_length", "rows", "buffer", "tile"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is of rows of tokens, and bytes have none: leave it out"
            )


def _is_ensemble(options: ScoreOptions) -> bool:
    return bool(options.with_members or pretrained.member_folders(options.model))


def _members(options: ScoreOptions) -> tuple[str, ...]:
    if options.with_members:
        return tuple(str(model_folder(name)) for name in (options.model, *options.with_members))
    return (options.model,) if _is_ensemble(options) else (str(model_folder(options.model)),)


def _engine(options: ScoreOptions) -> scoring.EngineConfig:
    return scoring.EngineConfig(
        row_length=options.row_length,
        rows=options.rows,
        buffer=options.buffer,
        tile=options.tile,
        combine=(options.combine or "probs") if _is_ensemble(options) else None,
    )


def _source(options: ScoreOptions) -> tuple[scoring.Source, scoring.Measure]:
    """Returns the corpus and the measure; each needs something of the other's options."""
    measure, field = _measure(options), options.field
    if options.variants is not None:
        if options.corpus:
            raise UsageError("--variants takes the place of CORPUS: give one of them")
        if isinstance(measure, scoring.VariantEffect):
            measure = dataclasses.replace(measure, wild_type=scoring.read_wild_type(measure.wild_type))
            if options.variants == ALL_VARIANTS:
                return _single_mutants(options, measure), measure
        paths = (options.variants,)
        if field is None and not _is_fasta(options.variants, options.format):
            field = scoring.find_variant_column(options.variants)
    elif not options.corpus:
        raise UsageError("CORPUS is missing: name files, folders or globs, or --variants FILE")
    else:
        paths = options.corpus
    if isinstance(measure, scoring.Conditional):
        _check_context(paths, options.format, measure.context)
    source = scoring.file_source(
        paths,
        options.format,
        document=options.document,
        field="text" if field is None else field,
        fields=measure.fields,
        keep=options.keep,
        on_error=options.on_error,
        max_document=options.max_document,
    )
    return source, measure


def _single_mutants(options: ScoreOptions, measure: scoring.VariantEffect) -> scoring.Source:
    """Returns all single mutants of the wild type as a corpus."""
    if not measure.wild_type:
        raise UsageError(
            f"--variants {ALL_VARIANTS} are those of a protein: add --wild-type FILE or SEQUENCE"
        )
    if measure.is_measured or options.keep:
        name = "--measured" if measure.is_measured else "--keep"
        raise UsageError(f"{name} reads a file, and --variants {ALL_VARIANTS} has none: leave it out")
    return scoring.Source(
        functools.partial(scoring.single_mutants, measure.wild_type, first=measure.first),
        {"single_mutants": measure.wild_type, "first": measure.first},
        functools.partial(int, (len(tokenizers.AMINO_ACIDS) - 1) * len(measure.wild_type)),
    )


def _draw_mutants(options: ScoreOptions, measure: scoring.VariantEffect, store: io.Store) -> None:
    """Writes a heat map of all single mutants by the first method."""
    table = pa.concat_tables(scoring.read_parts(options.out))
    column = next(field.name for field in table.schema if b"unit" in (field.metadata or {}))
    known = table.filter(table["error"].is_null())
    wild_type, names = measure.wild_type, known["variant"].to_pylist()
    scores = known[column].to_pylist()
    if not scores:
        return
    grid = scoring.single_mutant_scores(names, scores, wild_type, first=measure.first)
    label = f"{column.replace('_', '-')} ({'bits' if options.base == '2' else 'nats'})"
    picture = reports.mutant_heat_map_png(grid, wild_type, first=measure.first, label=label)
    store.put(HEAT_MAP, picture)


def _check_context(paths: Sequence[str], format: data.Format | None, context: str) -> None:
    """Raises `CorpusError` with the remedy if the corpus has no column with the contexts of its texts."""
    remedy = "conditional reads the context of each text from a column: name it, --context COLUMN"
    data.check_fields(data.find_files(list(paths), format), (context,), f"{remedy} (JSONL, CSV or Parquet)")
    try:
        next(data.open_source(paths, format, field=context), None)
    except data.CorpusError as error:
        raise data.CorpusError(f"{error}; {remedy}") from error


def _measure(options: ScoreOptions) -> scoring.Measure:
    """Returns the measure with its options; --step-scores gives its functions."""
    measure = measure_settings(options)
    if not options.step_scores or not isinstance(measure, scoring.StepScores):
        return measure
    if measure.functions:
        raise UsageError("--step-scores and --functions say the same: give one of them")
    return dataclasses.replace(measure, functions=options.step_scores)


def _is_fasta(path: str, format: data.Format | None) -> bool:
    endings = (".fasta", ".fa", ".faa", ".txt")
    name = path.lower().removesuffix(".gz").removesuffix(".zst")
    return format in ("fasta", "text") or (format is None and name.endswith(endings))


def _finish(
    options: ScoreOptions, finished: scoring.JobFinished, measure: scoring.Measure, shard: tuple[int, int]
) -> int:
    """Draws and prints the results, and returns the exit code."""
    tell_of_shards(SCORE_PROGRAM, options.out, finished, shard)
    summary = finished.summary
    if summary is None:
        tell_missing(options.out, finished, shard, as_json=options.json)
        return 0
    store = io.open_store(options.out)
    picture = reports.histogram_png(summary)
    if picture is not None:
        store.put(HISTOGRAM, picture)
    if options.variants == ALL_VARIANTS and isinstance(measure, scoring.VariantEffect):
        _draw_mutants(options, measure, store)
    ranking = _ranking(options, measure)
    if ranking is not None:
        store.put(RANKING, (json.dumps(ranking, indent=2) + "\n").encode())
    if options.json:
        more = {} if ranking is None else {"spearman": ranking}
        print(json.dumps({"out": options.out, "finished": True, **job_counts(finished), **summary, **more}))
    else:
        _show(options, store.place, summary, ranking, picture is not None)
    return exit_code_of(SCORE_PROGRAM, summary)


def _show(
    options: ScoreOptions, place: str, summary: dict[str, Any], ranking: dict[str, Any] | None, is_drawn: bool
) -> None:
    """Prints tables of the scores, and the names of the files that hold them."""
    print(f"\n{reports.corpus_line(summary, base=options.base)}\n")
    show(reports.score_table(summary, base=options.base))
    if ranking is not None:
        show(reports.ranking_table(ranking))
    for error, count in list(summary["error_kinds"].items())[:3]:
        say("jaxlm score", f"warning: {count:,} without a score: {error}")
    print(f"scores: {place}/parts (Parquet)")
    if is_drawn:
        print(f"histogram: {place}/{HISTOGRAM}")
    if options.variants == ALL_VARIANTS:
        print(f"heat map: {place}/{HEAT_MAP}")


def _ranking(options: ScoreOptions, measure: scoring.Measure) -> dict[str, dict[str, Any]] | None:
    """Returns Spearman's rho of each method with the measured values; None if there are none."""
    if not measure.is_measured:
        return None
    table = pa.concat_tables(scoring.read_parts(options.out))
    units = {field.name: (field.metadata or {}).get(b"unit") for field in table.schema}
    scores = {name: table[name].to_pylist() for name, unit in units.items() if unit in (b"nats", b"bits")}
    ranking = scoring.rank_variants(scores, table["measured"].to_pylist(), table["variant"].to_pylist())
    return {name: finite_or_none(interval._asdict()) for name, interval in ranking.items()}
