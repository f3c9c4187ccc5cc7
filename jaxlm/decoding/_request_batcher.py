"""Many awaits, one call: what is waiting when the device is free goes together."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxlm.decoding._token_tree import Node


class RequestBatcher:
    """Collects the requests of any number of coroutines for one function of many contexts; it has no timer.

    The first request of an idle gatherer waits until its event loop has run what else is ready, so that
    awaits that are started together go together; while the device is busy the next ones collect. Every
    request asks its own loop to start the worker: a loop that stops or closes before its next round holds up
    nobody else's, and another loop's request takes along what it left behind.
    """

    def __init__(self, log_probs: Callable[[Sequence[Node]], list[np.ndarray]]) -> None:
        """Takes `CachedLM.log_probs`."""
        self._compute = log_probs
        self._lock = threading.Lock()
        self._waiting: list[tuple[Node, asyncio.Future]] = []
        self._is_working = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jaxlm-gatherer")

    async def log_probs(self, node: Node) -> np.ndarray:
        """Returns what the function returns for one context."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            self._waiting.append((node, future))
        loop.call_soon(self._start)
        return await future

    def _start(self) -> None:
        """Sets the worker to what is waiting, unless it is at work and will see it."""
        with self._lock:
            if self._is_working or not self._waiting:
                return
            self._is_working = True
        try:
            self._worker.submit(self._drain)
        except Exception as error:  # no thread can be started: the interpreter ends
            for _, future in self._taken():
                _settle(future, error)
            with self._lock:
                self._is_working = False

    def _drain(self) -> None:
        while wanted := self._taken():
            try:
                results = self._compute([node for node, _ in wanted])
            except BaseException as error:
                results = [error] * len(wanted)
            for (_, future), outcome in zip(wanted, results, strict=True):
                _settle(future, outcome)

    def _taken(self) -> list[tuple[Node, asyncio.Future]]:
        """Takes what is waiting, and returns what is still awaited; where nothing is, the worker rests."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            wanted = [(node, future) for node, future in taken if _is_awaited(future)]
            self._is_working = bool(wanted)
        return wanted


def _is_awaited(future: asyncio.Future) -> bool:
    return not (future.cancelled() or future.get_loop().is_closed())


def _settle(future: asyncio.Future, outcome: np.ndarray | BaseException) -> None:
    """Hands the outcome to the future in its own event loop, unless either is gone."""

    def deliver() -> None:
        if future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(_raisable(outcome))
        else:
            future.set_result(outcome)

    try:
        future.get_loop().call_soon_threadsafe(deliver)
    except RuntimeError:  # the loop is closed, and nobody waits in it
        return


def _raisable(error: BaseException) -> BaseException:
    """The error, or another one that says it: no coroutine may raise a StopIteration."""
    return RuntimeError(f"the call failed: {error!r}") if isinstance(error, StopIteration) else error
