"""SIGTERM and SIGINT as a request to stop after the current step."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

# What `signal.signal` takes and returns.
Handler = Callable[[int, FrameType | None], Any] | int | None
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """A context that records the first SIGTERM or SIGINT, so that a loop can save and stop.

    Handlers are installed in the main thread only, as Python requires. The previous handlers are restored at
    the end of the context, or at the first signal: a second Ctrl-C has its usual effect.

    Attributes:
      number: number of the signal that was received; None: no signal was received.

    Example:
      >>> import signal
      >>> from jaxlm.training import StopRequest
      >>> with StopRequest() as stop:
      ...     signal.raise_signal(signal.SIGTERM)
      ...     stop.number == signal.SIGTERM
      True
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Handler] = {}

    def requested(self) -> bool:
        """Returns whether a signal was received."""
        return self.number is not None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        while self._before:
            number, handler = self._before.popitem()
            # A handler that was not installed from Python reads as None and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
