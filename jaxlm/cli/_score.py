"""`jaxlm score MODEL CORPUS --out DIR`: a score a document into Parquet parts, resumable, exactly once."""

import dataclasses
import functools
import json
import math
import re
from collections.abc import Sequence
from typing import Any

from jaxlm import io, pretrained, reports, scoring
from jaxlm.cli._arguments import asks_for_help
from jaxlm.cli._cluster import cluster_shard
from jaxlm.cli._failures import FAILED, UsageError, say
from jaxlm.cli._models import model_folder, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.cli._score_options import SCORE_PROGRAM, ScoreOptions, chosen_measure, options_of, read_leniently
from jaxlm.cli._score_progress import ScoreDisplay
from jaxlm.cli._signals import register_cleanup
from jaxlm.devices import enable_compilation_cache

HISTOGRAM, RANKING = "histogram.png", "ranking.json"
# Characters of a part, of measures that read a text a few times, and of those that read it once a token.
FEW, MANY = 1 << 22, 1 << 17


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    # Before anything that looks for devices, which asks what model there is.
    is_joined = not asks_for_help(arguments) and read_leniently(arguments).flag("--distributed")
    joined = cluster_shard() if is_joined else None
    measure = chosen_measure(arguments)
    options = parse(options_of(measure), arguments, program=SCORE_PROGRAM)
    _refuse_unread(options)
    if joined is not None and options.shard != "1/1":
        raise UsageError("--distributed makes a shard of each process: leave --shard out")
    shard = joined or _shard(options.shard)
    enable_compilation_cache()
    source, wanted = _source(options)
    config = scoring.JobConfig(
        part_documents=options.part_documents,
        part_characters=_part_characters(options, measure),
        shard=shard,
        on_error=options.on_error,
        base=options.base,
    )
    make = functools.partial(scorer_from_options, _members(options), options.dtype, wanted, _engine(options))
    # What is computed is not lost.
    register_cleanup(scoring.finish_writing)
    if options.engine == "ray":
        events = scoring.run_ray_job(make, source, options.out, config, actors=options.actors)
    else:
        events = scoring.run_job(make(), source, options.out, config)
    with ScoreDisplay() as display:
        for event in events:
            display.show(event)
    return _finish(options, event, wanted, shard)


def scorer_from_options(
    members: tuple[str, ...],
    dtype: str | None,
    measure: scoring.Measure,
    config: scoring.EngineConfig,
) -> scoring.Scorer:
    """Returns the scorer of a model, or of several together; what an actor on another machine calls.

    Args:
        members: folders or names; several, or one folder of several, are an ensemble.
        dtype: of the parameters of a single model.
        measure: what is asked.
        config: how the work is cut.
    """
    if config.combine is None:
        return scoring.make_scorer(open_model(members[0], dtype=dtype), measure, config)
    loaded = pretrained.load_ensemble(members[0] if len(members) == 1 else members)
    return scoring.make_scorer(loaded, measure, config)


def _refuse_unread(options: ScoreOptions) -> None:
    """Refuses an option that would change nothing, before anything is opened."""
    if options.engine != "ray" and options.actors is not None:
        raise UsageError("--actors is of a Ray cluster: add --engine ray, or leave it out")
    if options.actors is not None and options.actors < 1:
        raise UsageError(f"--actors is at least 1: got {options.actors}")
    if _is_ensemble(options) and options.dtype is not None:
        raise UsageError("--dtype is for a single model: members of an ensemble stay as they are")
    if not 1 <= options.max_document < 2**31:
        raise UsageError(f"--max-document is from 1 and below 2**31: got {options.max_document}")
    if options.combine is not None and not _is_ensemble(options):
        raise UsageError("--combine is for several models: name the others by --with-members")


def _part_characters(options: ScoreOptions, measure: str) -> int:
    usual = MANY if scoring.MEASURES[measure].reads_each_token else FEW
    return usual if options.part_characters is None else options.part_characters


def _is_ensemble(options: ScoreOptions) -> bool:
    return bool(options.with_members or pretrained.member_folders(options.model))


def _members(options: ScoreOptions) -> tuple[str, ...]:
    if options.with_members:
        return tuple(str(model_folder(one)) for one in (options.model, *options.with_members))
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
    """Returns the corpus and the measure, each with what it has to know of the other."""
    measure, field = _settings(options), options.field
    if options.variants is not None:
        if options.corpus:
            raise UsageError("--variants takes the place of CORPUS: give one of them")
        measure = dataclasses.replace(measure, wild_type=scoring.read_wild_type(measure.wild_type))
        paths = (options.variants,)
        if field is None and not _is_fasta(options):
            field = scoring.find_variant_column(options.variants)
    elif not options.corpus:
        raise UsageError("CORPUS is missing: name files, folders or globs, or --variants FILE")
    else:
        paths = options.corpus
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


def _settings(options: ScoreOptions) -> scoring.Measure:
    """The measure with its options, and its step functions where they stand apart."""
    if not options.step_scores:
        return options.settings
    if options.settings.functions:
        raise UsageError("--step-scores and --functions say the same: give one of them")
    return dataclasses.replace(options.settings, functions=options.step_scores)


def _is_fasta(options: ScoreOptions) -> bool:
    endings = (".fasta", ".fa", ".faa", ".txt")
    name = options.variants.lower().removesuffix(".gz").removesuffix(".zst")
    return options.format in ("fasta", "text") or (options.format is None and name.endswith(endings))


def _shard(text: str) -> tuple[int, int]:
    # In ASCII digits, no more than any number of processes has: `int` would take others, or break.
    found = re.fullmatch(r"([0-9]{1,18})/([0-9]{1,18})", text)
    i, n = map(int, found.groups()) if found else (0, 0)
    if not 1 <= i <= n:
        raise UsageError(f"--shard is i/n with 1 <= i <= n, such as 3/64: got {text[:60]!r}")
    return i, n


def _finish(
    options: ScoreOptions, finished: scoring.JobFinished, measure: scoring.Measure, shard: tuple[int, int]
) -> int:
    """Draws and prints what the corpus has come to, and returns the exit code."""
    for name in finished.strays[:3]:
        say(
            "jaxlm score",
            f"warning: {options.out}/{name} is no part of this job: leave it out if you read all of parts/",
        )
    summary = finished.summary
    if summary is None:
        _tell_missing(options, finished, shard)
        return 0
    store = io.open_store(options.out)
    picture = reports.histogram_png(summary)
    if picture is not None:
        store.put(HISTOGRAM, picture)
    ranking = _ranking(options, measure)
    if ranking is not None:
        store.put(RANKING, (json.dumps(ranking, indent=2) + "\n").encode())
    if options.json:
        more = {} if ranking is None else {"spearman": ranking}
        print(json.dumps({"out": options.out, "finished": True, **_told(finished), **summary, **more}))
    else:
        _show(options, store.place, summary, ranking, picture is not None)
    if summary["errors"] < summary["documents"]:
        return 0
    kind = next(iter(summary["error_kinds"]))
    say("jaxlm score", f"none of the {summary['documents']:,} documents could be scored: {kind}")
    return FAILED


def _tell_missing(options: ScoreOptions, finished: scoring.JobFinished, shard: tuple[int, int]) -> None:
    if options.json:
        print(json.dumps({"out": options.out, "finished": False, **_told(finished)}))
        return
    i, n = shard
    print(
        f"shard {i}/{n} is done; parts of other shards are missing in {options.out}: "
        f"{len(finished.missing):,}, the first of them of shard {finished.missing[0] % n + 1}/{n}"
    )


def _show(
    options: ScoreOptions, place: str, summary: dict[str, Any], ranking: dict[str, Any] | None, is_drawn: bool
) -> None:
    """Prints tables of the scores, and where they lie."""
    print(f"\n{reports.corpus_line(summary, base=options.base)}\n")
    show(reports.score_table(summary, base=options.base))
    if ranking is not None:
        show(reports.ranking_table(ranking))
    for error, count in list(summary["error_kinds"].items())[:3]:
        say("jaxlm score", f"warning: {count:,} without a score: {error}")
    print(f"scores: {place}/parts (Parquet)")
    if is_drawn:
        print(f"histogram: {place}/{HISTOGRAM}")


def _told(finished: scoring.JobFinished) -> dict[str, Any]:
    progress = finished.progress
    return {
        "scored_here": progress.documents,
        "parts_here": progress.parts,
        "parts_before": finished.skipped,
        "seconds": round(progress.seconds, 3),
        "padding_share": progress.padding_share,
    }


def _ranking(options: ScoreOptions, measure: scoring.Measure) -> dict[str, dict[str, Any]] | None:
    """Returns Spearman's rho of each method with what was measured; None where nothing was."""
    if not measure.is_measured:
        return None
    tables = list(scoring.read_parts(options.out))
    values = {name: [one for table in tables for one in table[name].to_pylist()] for name in _ranked(tables)}
    measured, variants = values.pop("measured"), values.pop("variant")
    found = scoring.rank_variants(values, measured, variants)
    return {name: _finite(interval._asdict()) for name, interval in found.items()}


def _ranked(tables: Sequence[Any]) -> list[str]:
    """The columns of variants' rows that are scores, and those that name and measure them."""
    unit = (b"nats", b"bits")
    scores = [one.name for one in tables[0].schema if (one.metadata or {}).get(b"unit") in unit]
    return ["variant", "measured", *scores]


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
