"""SIGTERM and SIGINT end a command within seconds, whatever it is doing.

A handler written in Python runs in the main thread, and not before that is back from the compiler or from a
computation; and an exception that it raises is lost where a library has called back into Python. So the
handlers here do next to nothing: the system's own part writes the signal's number into a pipe, and a thread
that reads it ends the process from outside, by `os._exit`, which runs nothing that could crash under the
threads that still compute. Files are whole or not there at any moment, so that there is nothing to undo.

A loop that has something to save says so by `defers_signals` and looks for the signal on its own.
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
# Seconds: what is being written when a signal comes has the first, streams that nobody reads the second.
FILE_SECONDS, STREAM_SECONDS = 10.0, 1.0
# A Ctrl-C that follows another one sooner is the same one, which reached the process twice.
SAME_SECONDS = 1.0
SHOW_CURSOR = "\x1b[?25h"


class _SignalState:
    """What is known of the signals of this process."""

    def __init__(self) -> None:
        self.is_on = self.is_deferred = False
        self.program, self.remedy = "jaxlm", ""
        self.number: int | None = None
        self.at = 0.0
        self.finishing: list[Callable[[], object]] = []
        self.leaving = threading.Lock()


_watch = _SignalState()


def watch_signals() -> None:
    """Ends this process by SIGTERM and SIGINT from now on, with 143 and 130.

    Off the main thread it does nothing. Processes that are forked from this one have the system's own
    handlers.
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
    """Sets what the last line calls this process, and what it says after the word "interrupted"."""
    _watch.program, _watch.remedy = program, remedy


def register_cleanup(finish: Callable[[], object]) -> None:
    """Calls `finish` before a signal ends this process, in a thread of its own; it has some seconds."""
    _watch.finishing.append(finish)


@contextlib.contextmanager
def defers_signals() -> Iterator[None]:
    """Leaves the signals to the block, which has handlers of its own and ends soon after one has come.

    A Ctrl-C that is repeated after a second ends the process at once; other signals that follow change
    nothing.
    """
    _watch.is_deferred = True
    try:
        yield
    except BaseException:
        # It did not come to save: that is what is to be told.
        _watch.number = None
        raise
    finally:
        _watch.is_deferred = False


def exit_if_signalled(said: str | None = None, number: int | None = None) -> None:
    """Ends this process if a signal has come; called when the command's work is done, or has failed.

    Args:
      said: the line that tells of the signal, where the command has one of its own.
      number: of the signal, where the command knows of it, maybe before the thread that waits for signals.
    """
    number = _watch.number if number is None else number
    if _watch.is_on and number is not None:
        _leave(number, said)


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
        _leave(number if is_impatient else _watch.number)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Does what the thread does, where the pipe has been taken from it."""
    if not _watch.is_deferred:
        _leave(number)


def _leave(number: int, said: str | None = None) -> None:
    """Ends the process; whoever comes second waits for the end that the first one brings."""
    while not _watch.leaving.acquire(blocking=False):
        time.sleep(FILE_SECONDS)
    number = signal.Signals(number)
    line = f"{_watch.program}: {SIGNAL_WORDS[number]}{_watch.remedy}" if said is None else said
    _within(FILE_SECONDS, _finish)
    _within(STREAM_SECONDS, lambda: _say(line))
    os._exit(128 + number)


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Does something in a thread that is waited for only so long."""
    thread = threading.Thread(target=work, daemon=True)
    with contextlib.suppress(RuntimeError):  # the interpreter is ending, and starts no thread any more
        thread.start()
        thread.join(seconds)


def _finish() -> None:
    for finish in _watch.finishing:
        with contextlib.suppress(Exception):
            finish()
    # Whoever has not imported it has started none.
    if processes := sys.modules.get("multiprocessing"):
        for child in processes.active_children():
            child.kill()


def _say(line: str) -> None:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    with contextlib.suppress(Exception):
        # A progress bar that is not there to the end leaves the terminal without its cursor.
        line = f"{SHOW_CURSOR}\r{line}" if os.isatty(2) else line
        # Where it was closed, the number may be that of another file by now.
        if sys.stderr is not None:
            os.write(2, f"{line}\n".encode())


def _forget() -> None:
    if _watch.is_on:
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
