"""Computations that ask a model what it says behind contexts: finished now, many together, or awaited."""

import asyncio
import contextlib
from collections.abc import Generator, Sequence
from typing import Any

from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._forecasts import Forecast, LMNode, check_depths, forecasts

# Asks for the forecasts behind contexts, and is sent them.
Asking = Generator[Sequence[LMNode], list[Forecast], Any]


def run_asking(byte_model: ByteModel, asking: Asking) -> Any:
    """Returns the result of a computation, whose questions are answered here and now.

    Args:
      byte_model: the model that it asks.
      asking: the computation.
    """
    try:
        nodes = next(asking)
        while True:
            nodes = asking.send(forecasts(byte_model, nodes, None))
    except StopIteration as ended:
        return ended.value


def run_askings(askings: Sequence[tuple[ByteModel, Asking]]) -> None:
    """Finishes computations, whose questions to one model are asked together.

    Args:
      askings: each with the model that it asks.
    """
    asked = [(byte_model, asking, None) for byte_model, asking in askings]
    while asked:
        waiting: dict[ByteModel, list[tuple[Asking, Sequence[LMNode]]]] = {}
        for byte_model, asking, answer in asked:
            with contextlib.suppress(StopIteration):
                nodes = next(asking) if answer is None else asking.send(answer)
                waiting.setdefault(byte_model, []).append((asking, nodes))
        asked = []
        for byte_model, own in waiting.items():
            answers = iter(forecasts(byte_model, [node for _, nodes in own for node in nodes], None))
            asked += [(byte_model, asking, [next(answers) for _ in nodes]) for asking, nodes in own]


async def run_asking_async(byte_model: ByteModel, asking: Asking) -> Any:
    """Returns the result of a computation; coroutines that wait together share calls of the device.

    Args:
      byte_model: the model that it asks.
      asking: the computation.
    """
    try:
        nodes = next(asking)
        while True:
            check_depths(byte_model, nodes)
            rows = await asyncio.gather(
                *(byte_model.lm.log_probs_async(node) for node in nodes if node.depth)
            )
            nodes = asking.send(forecasts(byte_model, nodes, rows))
    except StopIteration as ended:
        return ended.value
