"""SIGTERM and SIGINT end a command within seconds, whatever it is doing.

A signal handler in Python runs in the main thread, once that thread is back from the compiler or from a
computation, and an exception that it raises is lost if a library has called back into Python. So the handlers
here do nearly nothing: Python's C handler writes the signal's number into a pipe, a thread reads it, and ends
the process by `os._exit`, which runs no code that could crash under the threads that still compute. Nothing
has to be undone, because files are whole or not there at any moment.

A loop that saves its state runs in `defers_signals` and has handlers of its own.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNAL_WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
# Seconds that files have to be written to their end, and streams that perhaps nobody reads.
FILE_SECONDS, STREAM_SECONDS = 10.0, 1.0
# A second Ctrl-C that comes sooner is the first one, which has reached the process twice.
SAME_SECONDS = 1.0
SHOW_CURSOR = "\x1b[?25h"


class _SignalState:
    """The signal that has come to this process, and what is to be done about it."""

    def __init__(self) -> None:
        self.is_on = self.is_deferred = False
        self.program, self.remedy = "jaxlm", ""
        self.number: int | None = None
        self.at = 0.0
        self.finishing: list[Callable[[], object]] = []
        self.leaving = threading.Lock()


_watch = _SignalState()


def watch_signals() -> None:
    """Makes SIGTERM and SIGINT end this process from now on, with exit code 143 and 130.

    Does nothing in a thread other than the main one. Processes that are forked from this one have the
    system's own handlers.
    """
    if _watch.is_on or threading.current_thread() is not threading.main_thread():
        return
    _watch.is_on = True
    coming, going = os.pipe()
    os.set_blocking(going, False)
    threading.Thread(target=_read, args=(coming,), name="jaxlm-signals", daemon=True).start()
    signal.set_wakeup_fd(going, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    os.register_at_fork(after_in_child=_forget)


def describe_command(program: str, remedy: str = "") -> None:
    """Sets the last line of this process after a signal: "PROGRAM: interrupted", and the remedy behind it."""
    _watch.program, _watch.remedy = program, remedy


def register_cleanup(finish: Callable[[], object]) -> None:
    """Has `finish` called in a thread before a signal ends this process, for `FILE_SECONDS` at most."""
    _watch.finishing.append(finish)


@contextlib.contextmanager
def defers_signals() -> Iterator[None]:
    """A block that handles the signals itself: it has its own handlers and ends soon after a signal.

    A second Ctrl-C, more than a second later, ends the process at once; other later signals change nothing.
    """
    _watch.is_deferred = True
    try:
        yield
    except BaseException:
        # The block has failed before it could save: the error is told, not the signal.
        _watch.number = None
        raise
    finally:
        _watch.is_deferred = False


def exit_if_signalled(line: str | None = None, number: int | None = None) -> None:
    """Ends this process if a signal has come; called when the command's work is done or has failed.

    Args:
      line: the command's own last line; None: that of `describe_command`.
      number: the signal's number, if the command knows it, perhaps before the thread that waits for signals.
    """
    number = _watch.number if number is None else number
    if _watch.is_on and number is not None:
        _leave(number, line)


def _read(coming: int) -> None:
    while True:
        for number in os.read(coming, 64):
            if number in SIGNALS:
                _arrived(signal.Signals(number))


def _arrived(number: signal.Signals) -> None:
    is_first, now = _watch.number is None, time.monotonic()
    if is_first:
        _watch.number, _watch.at = number, now
    is_impatient = not is_first and number == signal.SIGINT and now - _watch.at > SAME_SECONDS
    if is_impatient or not _watch.is_deferred:
        _leave(number if is_impatient or _watch.number is None else _watch.number)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Does what the thread does, in case a library has set another wakeup pipe."""
    if not _watch.is_deferred:
        _leave(number)


def _leave(number: int, own_line: str | None = None) -> None:
    """Ends the process; a second thread waits here for the end that the first one brings."""
    while not _watch.leaving.acquire(blocking=False):
        time.sleep(FILE_SECONDS)
    number = signal.Signals(number)
    usual_line = f"{_watch.program}: {SIGNAL_WORDS[number]}{_watch.remedy}"
    line = usual_line if own_line is None else own_line
    _within(FILE_SECONDS, _finish)
    _within(STREAM_SECONDS, lambda: _say(line))
    os._exit(128 + number)


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Runs `work` in a thread and waits for it at most so many seconds."""
    thread = threading.Thread(target=work, daemon=True)
    with contextlib.suppress(RuntimeError):  # at its end the interpreter starts no more threads
        thread.start()
        thread.join(seconds)


def _finish() -> None:
    for finish in _watch.finishing:
        with contextlib.suppress(Exception):
            finish()
    # A process that has not imported the module has no children from it.
    if processes := sys.modules.get("multiprocessing"):
        for child in processes.active_children():
            child.kill()


def _say(line: str) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(Exception):
        # A progress bar that is interrupted leaves the terminal's cursor hidden.
        line = f"{SHOW_CURSOR}\r{line}" if os.isatty(2) else line
        # If stderr was closed, another file may have its number by now.
        if sys.stderr is not None:
            os.write(2, f"{line}\n".encode())


def _forget() -> None:
    if _watch.is_on:
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
