"""Many awaits, one call: what is waiting when the device is free goes together."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxlm.decoding._token_tree import Node


class Gatherer:
    """Collects the requests of any number of coroutines for one function of many contexts; it has no timer.

    The first request of an idle gatherer waits until its event loop has run what else is ready, so that
    awaits that are started together go together; while the device is busy the next ones collect.
    """

    def __init__(self, log_probs: Callable[[Sequence[Node]], list[np.ndarray]]) -> None:
        """Takes `CachedLM.log_probs`."""
        self._compute = log_probs
        self._lock = threading.Lock()
        self._waiting: list[tuple[Node, asyncio.Future]] = []
        self._busy = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jaxlm-gatherer")

    async def log_probs(self, node: Node) -> np.ndarray:
        """Returns what the function returns for one context."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            self._waiting.append((node, future))
            idle, self._busy = not self._busy, True
        if idle:
            loop.call_soon(self._worker.submit, self._drain)
        return await future

    def _drain(self) -> None:
        while True:
            with self._lock:
                taken, self._waiting = self._waiting, []
                if not taken:
                    self._busy = False
                    return
            wanted = [(node, future) for node, future in taken if not future.cancelled()]
            try:
                results = self._compute([node for node, _ in wanted]) if wanted else []
            except BaseException as error:
                for _, future in wanted:
                    _settle(future, error)
            else:
                for (_, future), log_probs in zip(wanted, results, strict=True):
                    _settle(future, log_probs)


def _settle(future: asyncio.Future, outcome: np.ndarray | BaseException) -> None:
    """Hands the outcome to the future in its own event loop, unless either is gone."""

    def deliver() -> None:
        if future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(deliver)
