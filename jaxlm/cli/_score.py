"""`jaxlm score MODEL CORPUS --out DIR`: a score a document into Parquet parts, resumable, exactly once."""

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxlm import pretrained, reports, scoring, training
from jaxlm.cli._cluster import own_shard
from jaxlm.cli._failures import NO_ROOM, UsageError, is_out_of_memory, say
from jaxlm.cli._models import model_folder, open_model
from jaxlm.cli._options import parse
from jaxlm.cli._output import show
from jaxlm.cli._score_options import Score, chosen_measure, options_of
from jaxlm.cli._score_progress import ScoreDisplay

HISTOGRAM, RANKING = "histogram.png", "ranking.json"
# Characters of a part, of measures that read a text a few times, and of those that read it once a token.
FEW, MANY = 1 << 22, 1 << 17
READ_ONCE = ("log-likelihood", "conditional", "single-pass")


def run(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    # Before anything that looks for devices, which asks what model there is.
    joined = own_shard() if "--distributed" in arguments else None
    measure = chosen_measure(arguments)
    options = parse(options_of(measure), arguments, program="jaxlm score")
    if joined is not None and options.shard != "1/1":
        raise UsageError("--distributed makes a shard of each process: leave --shard out")
    shard = joined or _shard(options.shard)
    training.enable_compilation_cache()
    source, wanted = _source(options)
    config = scoring.JobConfig(
        part_documents=options.part_documents,
        part_characters=options.part_characters or (FEW if measure in READ_ONCE else MANY),
        shard=shard,
        on_error=options.on_error,
        base=options.base,
    )
    make = functools.partial(make_scorer, _members(options), options.dtype, wanted, _engine(options))
    with _remedies():
        if options.engine == "ray":
            events = scoring.run_ray_job(make, source, options.out, config, actors=options.actors)
        else:
            events = scoring.run_job(make(), source, options.out, config)
        with ScoreDisplay() as display:
            for event in events:
                display.show(event)
        _finish(options, event, wanted, shard)
    return 0


@contextlib.contextmanager
def _remedies() -> Iterator[None]:
    """Says of a lack of room, on disk or in memory, what helps here."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = "" if error.filename is None else f": {error.filename}"
        raise RuntimeError(
            f"no room left on disk{where}; the parts that are written stay: free some, then the same command "
            f"goes on"
        ) from error
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise RuntimeError("out of memory: lower --rows, --row-length or --tile") from error


def make_scorer(
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


def _members(options: Score) -> tuple[str, ...]:
    if options.with_members and options.dtype is not None:
        raise UsageError("--dtype is for a single model: members of an ensemble stay as they are")
    if options.with_members:
        return tuple(str(model_folder(one)) for one in (options.model, *options.with_members))
    if (Path(options.model) / "member_00").is_dir():
        return (options.model,)
    return (str(model_folder(options.model)),)


def _engine(options: Score) -> scoring.EngineConfig:
    is_ensemble = options.with_members or (Path(options.model) / "member_00").is_dir()
    if options.combine is not None and not is_ensemble:
        raise UsageError("--combine is for several models: name the others by --with-members")
    return scoring.EngineConfig(
        row_length=options.row_length,
        rows=options.rows,
        buffer=options.buffer,
        tile=options.tile,
        combine=(options.combine or "probs") if is_ensemble else None,
    )


def _source(options: Score) -> tuple[scoring.Source, scoring.Measure]:
    """Returns the corpus and the measure, each with what it has to know of the other."""
    measure, field = options.settings, options.field
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
    fields = [getattr(measure, name, None) for name in ("context", "measured")]
    source = scoring.file_source(
        paths,
        options.format,
        document=options.document,
        field="text" if field is None else field,
        fields=[one for one in fields if isinstance(one, str)],
        keep=options.keep,
        on_error=options.on_error,
    )
    return source, measure


def _is_fasta(options: Score) -> bool:
    endings = (".fasta", ".fa", ".faa", ".txt")
    name = options.variants.lower().removesuffix(".gz").removesuffix(".zst")
    return options.format in ("fasta", "text") or (options.format is None and name.endswith(endings))


def _shard(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise UsageError(f"--shard is i/n with 1 <= i <= n, such as 3/64: got {text!r}")
    return int(i), int(n)


def _finish(
    options: Score, finished: scoring.JobFinished, measure: scoring.Measure, shard: tuple[int, int]
) -> None:
    """Draws and prints what the corpus has come to."""
    summary = finished.summary
    if summary is None:
        if options.json:
            print(json.dumps({"out": options.out, "finished": False, **_told(finished)}))
        else:
            print(f"shard {shard[0]}/{shard[1]} is done; parts of other shards are missing in {options.out}")
        return
    store = scoring.open_store(options.out)
    picture = reports.histogram_png(summary)
    if picture is not None:
        store.put(HISTOGRAM, picture)
    ranking = _ranking(options, measure)
    if ranking is not None:
        store.put(RANKING, (json.dumps(ranking, indent=2) + "\n").encode())
    if options.json:
        more = {} if ranking is None else {"spearman": ranking}
        print(json.dumps({"out": options.out, "finished": True, **_told(finished), **summary, **more}))
        return
    print(f"\n{reports.corpus_line(summary, base=options.base)}\n")
    show(reports.score_table(summary, base=options.base))
    if ranking is not None:
        show(reports.ranking_table(ranking))
    for error, count in list(summary["error_kinds"].items())[:3]:
        say("jaxlm score", f"warning: {count:,} without a score: {error}")
    print(f"scores: {store.place}/parts (Parquet)")
    if picture is not None:
        print(f"histogram: {store.place}/{HISTOGRAM}")


def _told(finished: scoring.JobFinished) -> dict[str, Any]:
    progress = finished.progress
    return {
        "scored_here": progress.documents,
        "parts_here": progress.parts,
        "parts_before": finished.skipped,
        "seconds": round(progress.seconds, 3),
        "padding_share": progress.padding_share,
    }


def _ranking(options: Score, measure: scoring.Measure) -> dict[str, dict[str, Any]] | None:
    """Returns Spearman's rho of each method with what was measured; None where nothing was."""
    if not getattr(measure, "is_measured", False):
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
