"""The same job on the actors of a Ray cluster: Ray Data hands out the parts and restarts actors that die."""

import contextlib
import dataclasses
import functools
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

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
Answer = TypeVar("Answer")
# Errors whose words are meant for the user.
REFUSALS = (JaxlmError, OSError)
PROGRESS_COUNTS = ("documents", "errors", "tokens", "read", "positions")
NO_PROGRESS = dict.fromkeys(PROGRESS_COUNTS, 0) | {"position": 0, "refused": ""}


def start_ray() -> None:
    """Connects to a Ray cluster, or starts Ray on this machine; does nothing if Ray runs already.

    Ray forks processes, which may hang once JAX has started its threads: call this function before anything
    asks JAX for its devices.

    Raises:
      UsageError: if Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(f"Ray is not installed ({error}): pip install 'jaxlm[ray]'") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)


def run_ray_job(
    make_scorer: MakeScorer,
    source: Source,
    out: str,
    config: JobConfig | None = None,
    *,
    actors: int | None = None,
) -> Iterator[JobProgress | JobFinished]:
    """Scores a corpus as `run_job` does, into the same files, on Ray actors that each hold the model.

    One task reads the corpus and streams its parts; each actor scores one part at a time and writes it. Ray
    restarts an actor that dies, and another actor, or the restarted one, scores its part again. A job that
    was stopped goes on when it is run again, with Ray or without.

    Args:
      make_scorer: a function without arguments that makes a scorer. The function is pickled and every actor
        calls it, so that the model is never pickled.
      source: the corpus; its files must exist on the machine where the reading task runs.
      out: a folder that all machines share, or a URL.
      config: how the corpus is divided into parts; `shard` must be (1, 1), because Ray divides the work.
        None: `JobConfig()`.
      actors: how many actors score parts; None: one for each GPU of the cluster, or a single one if the
        cluster has no GPU.

    Yields:
      `JobProgress` after each part, and at the end one `JobFinished`.

    Raises:
      UsageError: if Ray is not installed, `shard` is not (1, 1), there is no document, `out` holds another
        job, or another process is writing to it.
      ScoreError: if no scorer can be made, or a document cannot be scored and `on_error` is "stop".
      WorkError: if Ray gives up, `out` is removed while the job runs, or a part is missing or damaged at the
        end.

    Example:
      >>> from jaxlm.scoring import run_ray_job
      >>> events = run_ray_job(make_scorer, source, "gs://bucket/scores", actors=8)  # doctest: +SKIP
    """
    config = JobConfig() if config is None else config
    if config.shard != (1, 1):
        raise UsageError(f"Ray divides the work by itself: expected shard 1/1, got {config.shard}")
    start_ray()
    import ray

    with _quiet():
        gpus = int(ray.cluster_resources().get("GPU", 0))
        gpus_each = 1 if gpus else 0
        description = _described(make_scorer, config, num_gpus=gpus_each)
        config = description.config
        scorer = with_kept_columns(description, source.kept)
        store, job = open_store(out), make_job(scorer, source, config)
        if not check_store(store, job):
            read_first_document(source)
        with store.one_process("shard-1-of-1"):
            begin_job(store, job)
            done = done_parts(store, job)
            make_on_actor = functools.partial(_with_kept, make_scorer, source.kept)
            save_plan = functools.partial(write_plan, store, job)
            plan, check = read_plan(store, job), source.file_check()
            read = functools.partial(_read, source.readers(), check, config, done, plan, save_plan)
            parts = _parts_dataset(read).map_batches(
                _PartScorer,
                fn_constructor_args=(make_on_actor, out, job, config),
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=actors or gpus or 1),
                num_cpus=1,
                num_gpus=gpus_each,
            )
            sums = _ActorProgress(source)
            yield from sums.progresses(parts)
            source.check()
            progress = sums.progress()
            outcome = finish_job(
                store, job, source, num_parts=sums.num_parts, num_documents=progress.position
            )
            yield JobFinished(progress, len(done), *outcome, num_parts=sums.num_parts)


def _with_kept(make_scorer: MakeScorer, kept: pa.Schema) -> RowScorer:
    return with_kept_columns(make_scorer(), kept)


@dataclasses.dataclass
class ScorerDescription:
    """What is known of the scorers that actors hold.

    Attributes:
      schema: the columns of a row.
      description: JSON values: everything that the numbers depend on.
      config: of the job, with everything filled in that depends on the scorer.
    """

    schema: pa.Schema
    description: dict[str, Any]
    config: JobConfig

    @property
    def work(self) -> WorkCounts | None:
        """None: the engines are the actors'."""
        return None

    def __call__(self, records: Iterable[data.Record]) -> Iterator[dict[str, Any]]:
        """Raises TypeError: actors score the documents."""
        raise TypeError("documents are scored by actors")


def _described(make_scorer: MakeScorer, config: JobConfig, *, num_gpus: int) -> ScorerDescription:
    """Returns the description of the scorer that an actor makes: its defaults may differ from those here."""
    import ray

    actor = ray.remote(_DescribeActor).options(num_cpus=1, num_gpus=num_gpus).remote(make_scorer, config)
    description = _unless_refused(ray.get(actor.describe.remote()))
    # The actor occupies a CPU, and a device, that the others need.
    ray.kill(actor)
    return description


class _DescribeActor:
    """Makes a scorer on a machine of the cluster and describes it."""

    def __init__(self, make_scorer: MakeScorer, config: JobConfig) -> None:
        self._make_scorer, self._config = make_scorer, config

    def describe(self) -> ScorerDescription | str:
        """Returns the description, or the line of the error that the scorer was refused with."""
        try:
            scorer = self._make_scorer()
        except REFUSALS as error:
            return _line(error)
        return ScorerDescription(scorer.schema, scorer.description, self._config.resolved(scorer))


class _PartScorer:
    """An actor: takes rows that hold a part each and returns rows of counts."""

    def __init__(self, make_scorer: MakeScorer, out: str, job: Job, config: JobConfig) -> None:
        self._scorer, self._store, self._job, self._config = make_scorer(), open_store(out), job, config

    def __call__(self, batch: pa.Table) -> pa.Table:
        parts = map(pickle.loads, batch["part"].to_pylist())
        return pa.Table.from_pylist([self._tried(part) for part in parts])

    def _tried(self, part: Part | str) -> dict[str, int | str]:
        """Returns the counts of a part, or the line of a refusal: an exception would make Ray try again."""
        try:
            return self._scored(_unless_refused(part))
        except REFUSALS as error:
            return NO_PROGRESS | {"refused": _line(error)}

    def _scored(self, part: Part) -> dict[str, int | str]:
        counts = NO_PROGRESS | {"position": part.first + part.size}
        if not part.documents:
            return counts
        before = self._scorer.work or WorkCounts()
        rows = list(score_part(self._scorer, part, on_error=self._config.on_error))
        after = self._scorer.work or WorkCounts()
        payload = encode_part(self._scorer.schema, part, rows, job=self._job.id, base=self._config.base)
        self._store.put(part_name(part.number), payload)
        return counts | {
            "documents": len(rows),
            "errors": sum(row.get("error") is not None for row in rows),
            "tokens": sum(row.get("num_tokens") or 0 for row in rows),
            "read": after.tokens - before.tokens,
            "positions": after.positions - before.positions,
        }


class _ActorProgress:
    """The progress of all actors together: the sum of the counts that they return."""

    def __init__(self, source: Source) -> None:
        self.num_parts = 0
        self._estimate, self._began = source.estimate(), time.monotonic()
        self._counts = dict.fromkeys(PROGRESS_COUNTS, 0)
        self._written = self._position = 0

    def progresses(self, parts: Any) -> Iterator[JobProgress]:
        """Yields the progress after each part of a dataset of counts."""
        for row in parts.iter_rows():
            if row["refused"]:
                raise ScoreError(row["refused"])
            self.num_parts += 1
            self._written += row["documents"] > 0
            self._counts = {name: count + row[name] for name, count in self._counts.items()}
            self._position = max(self._position, row["position"])
            yield self.progress()

    def progress(self) -> JobProgress:
        """Returns how far the job is."""
        seconds = time.monotonic() - self._began
        documents, errors, tokens, read, positions = self._counts.values()
        left = padding = None
        if self._estimate is not None and documents:
            left = max(self._estimate - self._position, 0) * seconds / documents
        if positions:
            padding = WorkCounts(tokens=read, positions=positions).padding_share
        return JobProgress(
            documents=documents,
            errors=errors,
            tokens=tokens,
            parts=self._written,
            position=self._position,
            estimate=self._estimate,
            seconds=seconds,
            seconds_left=left,
            padding_share=padding,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Makes each part a block of its own, shows no bars, and turns Ray's errors into one line."""
    import ray

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
    readers: Sequence[OpenRecords],
    check: Callable[[int], None],
    config: JobConfig,
    done: set[int],
    plan: Plan,
    save_plan: Callable[[Plan], int],
) -> Iterator[pa.Table]:
    """Yields the parts of the corpus, pickled, a table of one row each; or the line of what refused them."""
    written, written_at = len(plan.cuts), time.monotonic()
    parts = plan_parts(
        readers,
        part_documents=config.part_documents,
        part_characters=config.characters,
        wanted=lambda number: number not in done,
        plan=plan,
        check=check,
    )
    try:
        for part in parts:
            yield _row(part)
            if len(plan.cuts) > written and time.monotonic() - written_at >= SECONDS_BETWEEN_PLANS:
                written, written_at = save_plan(plan), time.monotonic()
        if len(plan.cuts) > written:
            save_plan(plan)
    except REFUSALS as error:
        yield _row(_line(error))


def _row(part: Part | str) -> pa.Table:
    return pa.table({"part": pa.array([pickle.dumps(part)], pa.large_binary())})


def _unless_refused(answer: Answer | str) -> Answer:
    """Returns what another machine sent; raises `ScoreError` if that is the line of an error."""
    if isinstance(answer, str):
        raise ScoreError(answer)
    return answer


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _parts_dataset(read: Callable[[], Iterator[pa.Table]]) -> Any:
    """Returns a Ray dataset with a part in each row and block; parts that are done have no documents."""
    import ray
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Parts(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *arguments: Any, **options: Any) -> list[Any]:
            del parallelism, arguments, options
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(read, unknown)]

    # Actors may take every CPU: the reading task has to run without one, or both would wait for ever.
    return ray.data.read_datasource(Parts(), num_cpus=0)
