"""Runs a method over texts: batches of few shapes, on all devices, within a limit of memory.

Letters: `B` rows, `L` positions of a row, `S` positions of an encoder's row, `M` explained predictions of a
row, `P` points of a path.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm import ops, pretrained, steps
from jaxlm.attribution._batches import ExplainedBatch, ExplainedText, RowShape, fill_explained, group_items
from jaxlm.attribution._method import Method
from jaxlm.attribution._predictions import InputScores
from jaxlm.attribution._program import Program, ProgramSpec, compile_explanation
from jaxlm.devices import Layout
from jaxlm.errors import UsageError

# Positions that are computed at once on a CPU and elsewhere, for models up to this width; fewer for wider
# ones. More of them left a core's cache: a chunk of 64 took three times as long as one of 8.
_CPU_POSITIONS, _POSITIONS, _WIDTH = 1024, 65_536, 1024
MOST_IN_CHUNK = {"cpu": 16}
# Batches in flight: so many are dispatched before the results of the first one are fetched.
_MAX_IN_FLIGHT = 4


class AttributionJob(NamedTuple):
    """What is computed of every text.

    Attributes:
      loaded: the model.
      method: the method.
      settings: its settings.
      step: the explained step function; None: the method explains none.
      is_span: whether the predictions of a text are explained as one.
      is_granular: whether there is a score for each dimension.
      memory: the most bytes that a program may need on a device, beside the parameters; None: no limit.
      rng: a key; None: nothing is drawn.
      layout: the devices.
      longest: the most positions of a row.
    """

    loaded: pretrained.Loaded
    method: Method
    settings: Any
    step: steps.StepFunction | None
    is_span: bool
    is_granular: bool
    memory: int | None
    rng: jax.Array | None
    layout: Layout
    longest: int


def run_attribution(
    job: AttributionJob, items: Sequence[ExplainedText], num_points: int | None = None
) -> Iterator[tuple[ExplainedText, InputScores]]:
    """Yields each text with its scores, without padding, as NumPy arrays.

    Args:
      job: what is computed.
      items: the texts.
      num_points: for a method that adds up points of a path, how many; a multiple of the settings' steps.
        None: as many as the settings say.
    """
    if not items:
        return
    replicated: dict[Layout, tuple[Any, Any]] = {}
    paths = _paths(job, num_points)
    in_flight: deque[tuple[list[list[ExplainedText]], list[InputScores]]] = deque()
    for shape, members in group_items(items, job.longest):
        # Other devices would get the parameters and no batch.
        layout = Layout(job.layout.devices[: len(members)])
        if layout not in replicated:
            replicated[layout] = layout.replicate((job.loaded.params, job.rng))
        shared = replicated[layout]
        num_rows, program = _plan(job._replace(layout=layout), shape, members, (*shared, paths[0]))
        for parts, stacked in _device_batches(members, shape, num_rows, len(layout.devices)):
            results = [program.run(*shared, path, stacked) for path in paths]
            in_flight.append((parts, results))
            if len(in_flight) == _MAX_IN_FLIGHT:
                yield from _fetch(*in_flight.popleft())
    while in_flight:
        yield from _fetch(*in_flight.popleft())


def _paths(job: AttributionJob, num_points: int | None) -> list[Any]:
    """The points of the path in parts of one size, so that any number of them takes one program."""
    if job.method.path is None:
        return [None]
    size = job.settings.steps
    points, weights = job.method.path(job.settings, size if num_points is None else num_points)
    arrays = [np.asarray(array, np.float32).reshape(-1, size) for array in (points, weights)]
    return list(zip(*arrays, strict=True))


def _plan(
    job: AttributionJob, shape: RowShape, items: Sequence[ExplainedText], shared: tuple[Any, ...]
) -> tuple[int, Program]:
    """The number of rows and the program of a group of texts, within the limit of memory."""
    chunk, num_rows = _sizes(job, shape, len(items))
    while True:
        spec = ProgramSpec(
            job.loaded.model,
            job.method,
            job.settings,
            job.step,
            chunk,
            job.is_span,
            job.is_granular,
            job.layout,
        )
        batch = fill_explained(items[:num_rows], shape, num_rows)
        stacked = jax.tree.map(lambda array: np.stack([array] * len(job.layout.devices)), batch)
        program = compile_explanation(spec, (*shared, stacked))
        if job.memory is None or program.num_bytes <= job.memory:
            return num_rows, program
        if chunk == 1 and num_rows == 1:
            raise UsageError(
                f"text {items[0].number}: one position of a text of {shape.length} tokens takes "
                f"{program.num_bytes:,} bytes: got memory={job.memory:,}; give memory={program.num_bytes} "
                "or more, or a shorter text"
            )
        share = job.memory / program.num_bytes
        if num_rows > 1:
            num_rows = max(min(int(num_rows * share), num_rows // 2), 1)
        else:
            chunk = max(min(int(chunk * share), chunk - 1), 1)


def _sizes(job: AttributionJob, shape: RowShape, num_items: int) -> tuple[int, int]:
    """The chunk and the number of rows that are fast where memory is no limit."""
    platform = job.layout.target.platform
    positions = _CPU_POSITIONS if platform == "cpu" else _POSITIONS
    positions = positions * _WIDTH // max(job.loaded.config.width, _WIDTH)
    length = max(shape.length, shape.source_length)
    chunked = job.method.chunked
    num = 1 if chunked is None else length if chunked == "copies" else shape.predictions
    if chunked == "predictions" and job.is_span:
        num = 1
    if job.method.path is not None or chunked is None:
        # What is left of a chunk after all predictions is filled with points of the path.
        num = max(num, MOST_IN_CHUNK.get(platform, num))
    fitting = max(positions // length, 1)
    chunk = min(fitting, num, MOST_IN_CHUNK.get(platform, fitting))
    chunk = -(-num // -(-num // chunk))  # groups of even size, so that the last one is full, too
    each = -(-num_items // len(job.layout.devices))
    return chunk, max(min(positions // (length * chunk), ops.bucket(each)), 1)


def _device_batches(
    items: Sequence[ExplainedText], shape: RowShape, num_rows: int, num_devices: int
) -> Iterator[tuple[list[list[ExplainedText]], ExplainedBatch]]:
    """Yields the texts of each device's batch, and the batches with a leading axis of devices."""
    for start in range(0, len(items), num_rows * num_devices):
        parts = [
            list(items[first : first + num_rows])
            for first in range(start, start + num_rows * num_devices, num_rows)
        ]
        # A device without texts computes the first batch again, so that all have real numbers.
        batches = [fill_explained(part or parts[0], shape, num_rows) for part in parts]
        yield parts, jax.tree.map(lambda *arrays: np.stack(arrays), *batches)


def _fetch(
    parts: list[list[ExplainedText]], results: list[InputScores]
) -> Iterator[tuple[ExplainedText, InputScores]]:
    """Waits for the results of the batches of all devices, adds up those of a path's parts, and cuts them."""
    fetched = [jax.tree.map(np.asarray, result) for result in results]
    total = fetched[0]
    if len(fetched) > 1:
        total = total._replace(
            target=np.sum([one.target for one in fetched], 0, np.float64).astype(np.float32),
            source=None
            if total.source is None
            else np.sum([one.source for one in fetched], 0, np.float64).astype(np.float32),
        )
    for device, members in enumerate(parts):
        for row, item in enumerate(members):
            yield item, _cut(item, jax.tree.map(lambda array: array[device, row], total))  # noqa: B023


def _cut(item: ExplainedText, scores: InputScores) -> InputScores:
    """The scores of one text without those of padding."""
    text = item.pair.text
    num = min(len(text.positions), scores.target.shape[1])
    source = None if scores.source is None or text.source is None else scores.source[: len(text.source), :num]
    values, baseline_values = (
        None if array is None else array[:num] for array in (scores.values, scores.baseline_values)
    )
    return InputScores(scores.target[: len(text.tokens), :num], source, values, baseline_values)
