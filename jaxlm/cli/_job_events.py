"""What commands that write a row for each document share: shards, progress, and what is told at the end."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jaxlm import scoring
from jaxlm.cli._failures import FAILED, UsageError, say
from jaxlm.cli._score_progress import ScoreDisplay

# Options that make parts smaller, so that more processes have some.
SMALLER_PARTS = "--part-characters or --part-documents"


def shard_of(text: str) -> tuple[int, int]:
    """Returns the shard (i, n) of `--shard i/n`.

    Args:
      text: the option's value.

    Raises:
      UsageError: if it names no shard.

    Example:
      >>> from jaxlm.cli._job_events import shard_of
      >>> shard_of("3/64")
      (3, 64)
    """
    # ASCII digits alone, which `int` does not ask for, and no more than any number of processes has.
    match = re.fullmatch(r"([0-9]{1,18})/([0-9]{1,18})", text)
    i, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= i <= n:
        raise UsageError(f"--shard is i/n with 1 <= i <= n, such as 3/64: got {text[:60]!r}")
    return i, n


def shown_job(events: Iterator[scoring.JobProgress | scoring.JobFinished]) -> scoring.JobFinished:
    """Shows the events of a job as they come, and returns the last one."""
    finished: scoring.JobFinished | None = None
    with ScoreDisplay() as display:
        for event in events:
            display.show(event)
            finished = event if isinstance(event, scoring.JobFinished) else None
    if finished is None:
        raise AssertionError("the last event of a job is JobFinished")
    return finished


def tell_of_shards(program: str, out: str, finished: scoring.JobFinished, shard: tuple[int, int]) -> None:
    """Warns on stderr of shards without a part, with the option that makes more, and of files of no job.

    Args:
      program: the command, for messages: "jaxlm score".
      out: the job's folder or URL.
      finished: the end of this process's share.
      shard: (i, n) of this process.
    """
    (i, n), num_parts = shard, finished.num_parts
    if 0 < num_parts < n:
        parts = "1 part" if num_parts == 1 else f"{num_parts:,} parts"
        own = f"this one, {i}/{n}, among them; " if i > num_parts else ""
        say(
            program,
            f"{n - num_parts:,} of {n:,} shards have nothing to score, {own}the corpus has {parts}: give "
            f"smaller ones with {SMALLER_PARTS} to all shards, and another --out",
        )
    for name in finished.strays[:3]:
        say(program, f"warning: {out}/{name} is no part of this job: skip it when you read parts/")


def tell_missing(out: str, finished: scoring.JobFinished, shard: tuple[int, int], *, as_json: bool) -> None:
    """Prints that this process's share is done, and which parts other processes have still to write.

    Args:
      out: the job's folder or URL.
      finished: the end of this process's share.
      shard: (i, n) of this process.
      as_json: whether one JSON object is printed.
    """
    if as_json:
        print(json.dumps({"out": out, "finished": False, **job_counts(finished)}))
        return
    i, n = shard
    missing = len(finished.missing)
    parts = "1 part of another shard is" if missing == 1 else f"{missing:,} parts of other shards are"
    print(
        f"shard {i}/{n} is done; {parts} missing in {out}, "
        f"the first of shard {finished.missing[0] % n + 1}/{n}"
    )


def job_counts(finished: scoring.JobFinished) -> dict[str, Any]:
    """Returns how much this process has done, as JSON values.

    Args:
      finished: the end of its share.
    """
    progress = finished.progress
    return {
        "scored_here": progress.documents,
        "parts_here": progress.parts,
        "parts_before": finished.skipped,
        "seconds": round(progress.seconds, 3),
        "padding_share": progress.padding_share,
    }


def exit_code_of(program: str, summary: Mapping[str, Any]) -> int:
    """Returns the exit code of a finished job: it failed, and is told so, if no document has a row of values.

    Args:
      program: the command, for the message: "jaxlm score".
      summary: of the job.
    """
    if summary["errors"] < summary["documents"]:
        return 0
    kind = next(iter(summary["error_kinds"]))
    say(program, f"none of the {summary['documents']:,} documents could be scored: {kind}")
    return FAILED
