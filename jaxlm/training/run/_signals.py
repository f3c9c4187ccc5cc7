"""SIGTERM and SIGINT as a request to stop after the step at hand."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

# What `signal.signal` takes and returns.
Handler = Callable[[int, FrameType | None], Any] | int | None
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Notes the first SIGTERM or SIGINT while it is entered, so that a loop can save and leave.

    The handlers are installed in the main thread only (Python allows no other) and those from before come
    back at the end, or at the first signal, so that an impatient second Ctrl-C does what it always did.

    Attributes:
      number: the signal that came, or None.

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
        """Returns whether a signal came."""
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
