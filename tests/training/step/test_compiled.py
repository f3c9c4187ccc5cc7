"""A compiler is waited for only as long as somebody wants its program."""

import threading
import time

import jax
import pytest

from jaxlm.training.step._compiled import compile_unless_cancelled


class Slow:
    """A program whose compiler takes as long as it is told."""

    def __init__(self, until):
        self._until = until

    def __call__(self):
        raise AssertionError("it is lowered, not called")

    def lower(self, *arguments):
        self.thread = threading.current_thread()
        return self

    def compile(self, compiler_options):
        self.options = compiler_options
        assert self._until.wait(10)
        return len


def test_it_is_left_as_soon_as_it_is_cancelled():
    until, began = threading.Event(), time.monotonic()
    program = Slow(until)
    assert compile_unless_cancelled(lambda: time.monotonic() - began > 0.2, program) is None
    assert time.monotonic() - began < 5 and program.thread is threading.current_thread()
    until.set()


def test_it_returns_what_was_compiled_and_raises_what_was_raised():
    until = threading.Event()
    until.set()
    for options in ({}, {"xla_gpu_deterministic_ops": True}):
        program = Slow(until)
        assert (
            compile_unless_cancelled(lambda: False, program, options=options) is len
            and program.options == options
        )

    def wrong(number):
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        compile_unless_cancelled(lambda: False, jax.jit(wrong), 1)
