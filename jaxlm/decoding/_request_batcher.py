"""One call of the device for many coroutines: requests that wait while the device is busy form a batch."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class RequestBatcher:
    """Collects the requests of coroutines into batches for one function of many requests, without a timer.

    The first request of an idle batcher waits until its event loop has run the other ready coroutines, so
    that requests made together form one batch. Later requests collect while the device is busy. Every request
    asks its own event loop to start the worker. A loop that stops or closes before that delays no other loop:
    the next request of any loop takes the left requests along.
    """

    def __init__(self, log_probs: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        """Makes a batcher.

        Args:
          log_probs: a function of many requests with a result for each, such as `CachedLM.log_probs`.
        """
        self._compute = log_probs
        self._lock = threading.Lock()
        self._waiting: list[tuple[Any, asyncio.Future]] = []
        self._is_working = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="jaxlm-gatherer")

    async def log_probs(self, request: Any) -> Any:
        """Returns the function's result for one request.

        Args:
          request: a context, or whatever the function takes many of.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            self._waiting.append((request, future))
        loop.call_soon(self._start)
        return await future

    def _start(self) -> None:
        """Starts the worker on the waiting requests, unless it is working and will take them."""
        with self._lock:
            if self._is_working or not self._waiting:
                return
            self._is_working = True
        try:
            self._worker.submit(self._drain)
        except Exception as error:  # no thread can be started when the interpreter ends
            for _, future in self._take():
                _resolve(future, error)
            with self._lock:
                self._is_working = False

    def _drain(self) -> None:
        while requests := self._take():
            try:
                results = self._compute([request for request, _ in requests])
            except BaseException as error:
                results = [error] * len(requests)
            for (_, future), outcome in zip(requests, results, strict=True):
                _resolve(future, outcome)

    def _take(self) -> list[tuple[Any, asyncio.Future]]:
        """Removes the waiting requests and returns those still awaited; without any the worker stops."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            requests = [(node, future) for node, future in taken if _is_awaited(future)]
            self._is_working = bool(requests)
        return requests


def _is_awaited(future: asyncio.Future) -> bool:
    return not (future.cancelled() or future.get_loop().is_closed())


def _resolve(future: asyncio.Future, outcome: Any) -> None:
    """Sets the future's result or exception in its own event loop, unless the loop or its waiter is gone."""

    def deliver() -> None:
        if future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(_raisable(outcome))
        else:
            future.set_result(outcome)

    try:
        future.get_loop().call_soon_threadsafe(deliver)
    except RuntimeError:  # the loop is closed, so no coroutine waits in it
        return


def _raisable(error: BaseException) -> BaseException:
    """The error; in place of a StopIteration, which no coroutine may raise, a RuntimeError that quotes it."""
    return RuntimeError(f"the call failed: {error!r}") if isinstance(error, StopIteration) else error
