"""Things made by a thread while those before them are used."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")
# How many are made and not used yet.
AHEAD = 2
# Seconds that a thread has to notice that nobody listens any more.
GRACE = 10.0


def prefetch(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yields the items, drawn by a thread that is a few of them ahead and stops when nobody listens.

    Example:
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

    thread = threading.Thread(target=draw, name="jaxlm-pieces", daemon=True)
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
        # A source that does not answer is left behind rather than waited for. Where this generator was
        # abandoned, the thread itself may be who lets go of it last.
        if thread is not threading.current_thread():
            thread.join(GRACE)
