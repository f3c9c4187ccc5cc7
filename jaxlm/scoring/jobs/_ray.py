"""The same job on the actors of a Ray cluster: Ray Data hands out the parts and starts again what dies."""

import contextlib
import functools
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from jaxlm import data
from jaxlm.errors import JaxlmError, UsageError, WorkError
from jaxlm.io import open_store
from jaxlm.scoring.engine import WorkCounts
from jaxlm.scoring.jobs._finish import done_parts, finish_job
from jaxlm.scoring.jobs._job import make_job, score_part
from jaxlm.scoring.jobs._job_config import JobConfig, JobFinished, JobProgress, RowScorer
from jaxlm.scoring.jobs._kept_columns import with_kept_columns
from jaxlm.scoring.jobs._manifest import Job, begin_job, check_store
from jaxlm.scoring.jobs._part_files import part_name
from jaxlm.scoring.jobs._parts import Part, encode_part, plan_parts
from jaxlm.scoring.jobs._plan import SECONDS_BETWEEN_PLANS, Plan, read_plan, write_plan
from jaxlm.scoring.jobs._sources import OpenRecords, Source, read_first_document
from jaxlm.scoring.measures import ScoreError

MakeScorer = Callable[[], RowScorer]
# Errors whose words are meant for whoever asked.
REFUSALS = (JaxlmError, OSError)
PROGRESS_COUNTS = ("documents", "errors", "tokens", "read", "positions")
NO_PROGRESS = dict.fromkeys(PROGRESS_COUNTS, 0) | {"position": 0, "refused": ""}


def run_ray_job(
    make_scorer: MakeScorer,
    source: Source,
    out: str,
    config: JobConfig | None = None,
    *,
    actors: int | None = None,
) -> Iterator[JobProgress | JobFinished]:
    """Scores a corpus as `run_job` does, into the same files, on actors that each hold the model.

    One task reads the corpus and streams its parts; each actor scores a part at a time and writes it. An
    actor that dies is started again by Ray, and its part with it; whoever starts the job again goes on with
    it, with Ray or without.

    Args:
      make_scorer: makes a scorer; called on every actor, so that it is pickled and the model is not.
      source: the corpus; its files are where the reading task runs.
      out: a folder that all machines share, or a URL.
      config: how the corpus is cut; `shard` is (1, 1), as Ray divides the work.
      actors: how many; None: one a GPU of the cluster, or one.

    Yields:
      `JobProgress` a part, and `JobFinished`.

    Raises:
      UsageError: as `run_job`, or if there is no Ray, or a shard is asked for.

    Example:
      >>> events = run_ray_job(make_scorer, source, "gs://bucket/scores", actors=8)  # doctest: +SKIP
    """
    config = JobConfig() if config is None else config
    make_scorer = functools.partial(_keeping, make_scorer, source.kept)
    if config.shard != (1, 1):
        raise UsageError(f"Ray divides the work by itself: expected shard 1/1, got {config.shard}")
    ray = _ray()
    with _quiet(ray):
        gpus = int(ray.cluster_resources().get("GPU", 0))
        resources = {"num_cpus": 1, "num_gpus": 1 if gpus else 0}
        described = ray.remote(_DescribeActor).options(**resources)
        first = described.remote(make_scorer)
        scorer = _raised(ray.get(first.found.remote()))
        # It holds a place, and a device, that the others need.
        ray.kill(first)
        store, job = open_store(out), make_job(scorer, source, config)
        if not check_store(store, job):
            read_first_document(source)
        with store.one_process("shard-1-of-1"):
            begin_job(store, job)
            done = done_parts(store, job)
            keep = functools.partial(write_plan, store, job)
            read = functools.partial(
                _read,
                source.pieces(),
                source.check_of_pieces(),
                config,
                done,
                read_plan(store, job),
                keep,
            )
            parts = _parts_of(ray, read).map_batches(
                _PartScorer,
                fn_constructor_args=(make_scorer, out, job, config),
                batch_size=1,
                batch_format="pyarrow",
                concurrency=actors or gpus or 1,
                **resources,
            )
            told = _ActorProgress(source, config)
            yield from told.progresses(parts)
            source.check()
            progress = told.progress()
            counts = {"num_parts": told.planned, "num_documents": progress.position}
            yield JobFinished(progress, len(done), *finish_job(store, job, source, **counts))


def _keeping(make_scorer: MakeScorer, kept: pa.Schema) -> RowScorer:
    return with_kept_columns(make_scorer(), kept)


class ScorerDescription:
    """What is known of the scorers that actors hold."""

    work = None

    def __init__(self, schema: pa.Schema, description: dict[str, Any]) -> None:
        self.schema, self.description = schema, description

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]:
        """Raises: documents are scored by actors."""
        raise TypeError("documents are scored by actors")


class _DescribeActor:
    """Makes a scorer where it will be at work, as its defaults may be other ones here, and describes it."""

    def __init__(self, make_scorer: MakeScorer) -> None:
        self._make_scorer = make_scorer

    def found(self) -> ScorerDescription | str:
        try:
            scorer = self._make_scorer()
        except REFUSALS as error:
            return _line(error)
        return ScorerDescription(scorer.schema, scorer.description)


class _PartScorer:
    """An actor: from rows that hold a part to rows that tell what became of it."""

    def __init__(self, make_scorer: MakeScorer, out: str, job: Job, config: JobConfig) -> None:
        self._scorer, self._store, self._job, self._config = make_scorer(), open_store(out), job, config

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.Table.from_pylist([self._tried(pickle.loads(one)) for one in batch["part"].to_pylist()])

    def _tried(self, part: Part | str) -> dict[str, int | str]:
        """What became of a part; what refuses it is no failure that Ray should try again, but an answer."""
        try:
            return self._scored(_raised(part))
        except REFUSALS as error:
            return NO_PROGRESS | {"refused": _line(error)}

    def _scored(self, part: Part) -> dict[str, int | str]:
        found = NO_PROGRESS | {"position": part.first + part.size}
        if not part.documents:
            return found
        before = self._scorer.work or WorkCounts()
        rows = list(score_part(self._scorer, part, on_error=self._config.on_error))
        after = self._scorer.work or WorkCounts()
        payload = encode_part(self._scorer.schema, part, rows, job=self._job.id, base=self._config.base)
        self._store.put(part_name(part.number), payload)
        return found | {
            "documents": len(rows),
            "errors": sum(row.get("error") is not None for row in rows),
            "tokens": sum(row.get("num_tokens") or 0 for row in rows),
            "read": after.tokens - before.tokens,
            "positions": after.positions - before.positions,
        }


class _ActorProgress:
    """How far the actors are, by what they tell."""

    def __init__(self, source: Source, config: JobConfig) -> None:
        self.planned = 0
        self._estimate, self._began = source.estimate(), time.monotonic()
        self._counts = dict.fromkeys(PROGRESS_COUNTS, 0)
        self._written = self._position = 0

    def progresses(self, parts: Any) -> Iterator[JobProgress]:
        """Yields how far it is, a part."""
        for found in parts.iter_rows():
            if found["refused"]:
                raise ScoreError(found["refused"])
            self.planned += 1
            self._written += found["documents"] > 0
            self._counts = {name: count + found[name] for name, count in self._counts.items()}
            self._position = max(self._position, found["position"])
            yield self.progress()

    def progress(self) -> JobProgress:
        """Returns how far it is."""
        seconds = time.monotonic() - self._began
        documents, errors, tokens, read, positions = self._counts.values()
        left = padding = None
        if self._estimate is not None and documents:
            left = max(self._estimate - self._position, 0) * seconds / documents
        if positions:
            padding = WorkCounts(tokens=read, positions=positions).padding_share
        counts = (documents, errors, tokens, self._written, self._position)
        return JobProgress(*counts, self._estimate, seconds, left, padding)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(f"Ray is not installed ({error}): pip install 'jaxlm[ray]'") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    return ray


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """A block a part, no bars, and one line of what Ray says where it gives up."""
    context = ray.data.DataContext.get_current()
    before = context.target_max_block_size, context.enable_progress_bars
    context.target_max_block_size, context.enable_progress_bars = 1, False
    try:
        yield
    except ray.exceptions.RayError as error:
        raise WorkError(f"Ray gave up: {_line(error)[:400]}") from error
    finally:
        context.target_max_block_size, context.enable_progress_bars = before


def _read(
    pieces: Sequence[OpenRecords],
    check: Callable[[int], None],
    config: JobConfig,
    done: set[int],
    plan: Plan,
    keep: Callable[[Plan], int],
) -> Iterator[pa.Table]:
    known, kept_at = len(plan.stands), time.monotonic()
    how = {"plan": plan, "check": check, "wanted": lambda number: number not in done}
    cut = {"part_documents": config.part_documents, "part_characters": config.part_characters}
    try:
        for part in plan_parts(pieces, **how, **cut):
            yield _row(part)
            if len(plan.stands) > known and time.monotonic() - kept_at >= SECONDS_BETWEEN_PLANS:
                known, kept_at = keep(plan), time.monotonic()
        if len(plan.stands) > known:
            keep(plan)
    except REFUSALS as error:
        yield _row(_line(error))


def _row(part: Part | str) -> pa.Table:
    return pa.table({"part": pa.array([pickle.dumps(part)], pa.large_binary())})


def _raised(found: Any) -> Any:
    """What came from another machine, unless it is the line of an error."""
    if isinstance(found, str):
        raise ScoreError(found)
    return found


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _parts_of(ray: Any, read: Callable[[], Iterator[pa.Table]]) -> Any:
    """The parts as a dataset: a row each, in a block of its own; those that are done have no documents."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Parts(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *arguments: Any, **options: Any) -> list[Any]:
            del parallelism, arguments, options
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(read, unknown)]

    # Actors may take every CPU, and would wait for ever for what no CPU is left to read.
    return ray.data.read_datasource(Parts(), ray_remote_args={"num_cpus": 0})
