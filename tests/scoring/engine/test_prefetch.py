import threading

import pytest

from jaxlm.scoring.engine._prefetch import AHEAD, AT_ONCE, map_ahead, prefetch


def test_items_come_in_order_and_few_are_made_before_they_are_used():
    made = []
    coming = prefetch(made.append(number) or number for number in range(50))
    for number in range(50):
        assert next(coming) == number
        # Those that wait, the one that waits for room, and one on its way.
        assert len(made) <= number + AHEAD + 3
    with pytest.raises(StopIteration):
        next(coming)


def test_an_error_of_the_source_is_the_callers():
    def failing():
        yield 1
        raise KeyError("source")

    coming = prefetch(failing())
    assert next(coming) == 1
    with pytest.raises(KeyError, match="source"):
        next(coming)


def test_the_thread_itself_may_let_go_of_it():
    """An abandoned generator is closed by whoever drops it last, and no thread waits for itself."""
    drawn, dropped = threading.Event(), threading.Event()
    held, threads = [], []

    def items():
        threads.append(threading.current_thread())
        yield 1
        assert drawn.wait(60)
        held.clear()
        dropped.set()
        yield 2

    held.append(prefetch(items()))
    assert next(held[0]) == 1
    drawn.set()
    assert dropped.wait(60)
    threads[0].join(60)
    assert not threads[0].is_alive()


def test_a_function_works_on_several_items_at_once_and_their_order_stays():
    met, drawn = threading.Barrier(AT_ONCE), []

    def function(item):
        # Passed only if as many threads are in here at the same time.
        met.wait(60)
        return -item

    results = map_ahead(function, (drawn.append(number) or number for number in range(3 * AT_ONCE)))
    assert next(results) == 0
    assert len(drawn) == AT_ONCE
    assert list(results) == [-number for number in range(1, 3 * AT_ONCE)]


def test_an_error_of_the_function_is_the_callers_at_its_item():
    results = map_ahead(lambda item: 1 // item, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_function_that_is_not_waited_for_ends_when_the_results_are_dropped():
    begun, ended = [], threading.Event()
    results = map_ahead(lambda item: begun.append(item) or (item == 1 and ended.wait(60)), range(50))
    next(results)
    results.close()
    ended.set()
    assert len(begun) <= AT_ONCE
