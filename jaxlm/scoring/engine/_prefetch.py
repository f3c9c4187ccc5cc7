"""Items that threads make while those before them are used."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
MapResult = TypeVar("MapResult")
# How many items may be made and not used yet.
AHEAD = 2
# How many items `map_ahead` works on at the same time.
AT_ONCE = 2
# Seconds that the thread has to stop after its generator was closed.
GRACE = 10.0


def prefetch(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yields items that a thread draws, at most `AHEAD` of them before they are asked for.

    Closing the generator stops the thread. An exception in the thread is raised here.

    Args:
      items: what the thread draws from.

    Raises:
      BaseException: what drawing an item raised.

    Example:
      >>> from jaxlm.scoring.engine import prefetch
      >>> list(prefetch(iter("ab")))
      ['a', 'b']
    """
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(thing: tuple[str, Any]) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(thing, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def draw() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=draw, name="jaxlm-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, thing = waiting.get()
            if kind == "error":
                raise thing
            if kind == "end":
                return
            yield thing
    finally:
        stopped.set()
        # A thread that waits for a slow source is left behind after GRACE seconds. If this generator was
        # abandoned, the garbage collector may close it in the thread itself, which cannot join itself.
        if thread is not threading.current_thread():
            thread.join(GRACE)


def map_ahead(
    function: Callable[[Item], MapResult], items: Iterable[Item]
) -> Generator[MapResult, None, None]:
    """Yields `function(item)` for each item, in order; threads work on `AT_ONCE` items at the same time.

    It pays where the function spends a part of its time without Python's lock, as a tokenizer does: Python's
    part of one item then runs beside the other part of the next one.

    Args:
      function: what the threads compute.
      items: drawn in the caller's thread.

    Raises:
      BaseException: what the function raised for an item.

    Example:
      >>> from jaxlm.scoring.engine import map_ahead
      >>> list(map_ahead(str.upper, "ab"))
      ['A', 'B']
    """
    pool = ThreadPoolExecutor(AT_ONCE, "jaxlm-map-ahead")
    flying: deque[Future[MapResult]] = deque()
    try:
        for item in items:
            flying.append(pool.submit(function, item))
            if len(flying) == AT_ONCE:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
