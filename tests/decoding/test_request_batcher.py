"""Every await ends, whatever becomes of the loop, the task or the device call that it waits for."""

import asyncio
import random
import threading

import numpy as np
import pytest

from jaxlm import decoding
from jaxlm.decoding import _cached_lm
from jaxlm.decoding._request_batcher import RequestBatcher
from jaxlm.decoding._token_tree import Node
from tests.decoding.conftest import log_softmax

SOON = 20  # seconds: far longer than a call takes, and an end of what would wait for ever


def agrees(case, log_probs, context):
    np.testing.assert_allclose(log_probs, log_softmax(case.logits(context)), rtol=0, atol=1e-4)


def awaited(state):
    """The log-probs by an await in a loop of its own, which a thread that hangs does not hold up."""
    return asyncio.run(asyncio.wait_for(state.logp_next_async(), SOON))


async def begin_only(state, tasks):
    """Starts an await and ends: the loop has no round left for what the await asks of it."""
    tasks.append(asyncio.ensure_future(state.logp_next_async()))


@pytest.mark.parametrize("closes", [True, False])
def test_a_loop_that_ends_holds_up_no_other(writer, closes):
    case = writer()
    root = decoding.initial_state(decoding.CachedLM(case.model, case.params), [1, 2])
    loop, tasks = asyncio.new_event_loop(), []
    loop.run_until_complete(begin_only(root << 3, tasks))
    if closes:
        loop.close()
    for token in (4, 5):
        agrees(case, awaited(root << token), [1, 2, token])
    if not closes:  # what it began is there when it goes on
        agrees(case, loop.run_until_complete(asyncio.wait_for(tasks[0], SOON)), [1, 2, 3])
        loop.close()


def test_a_loop_that_closes_during_the_call_holds_up_no_other(writer, monkeypatch):
    case = writer()
    root = decoding.initial_state(decoding.CachedLM(case.model, case.params), [1, 2])
    started, goes_on, real = threading.Event(), threading.Event(), _cached_lm.read_tree

    def slow(*arguments):
        started.set()
        assert goes_on.wait(SOON)
        return real(*arguments)

    monkeypatch.setattr(_cached_lm, "read_tree", slow)
    loop, tasks = asyncio.new_event_loop(), []

    async def begun():
        await begin_only(root << 3, tasks)
        await asyncio.to_thread(started.wait, SOON)

    loop.run_until_complete(begun())
    loop.close()
    goes_on.set()
    agrees(case, awaited(root << 4), [1, 2, 4])


def test_cancelled_tasks_and_failures_end_every_await():
    """Threads with loops of their own: some cancel, some stop at once, some calls fail; none waits on."""
    draws = random.Random(0)

    def compute(nodes):
        if draws.random() < 0.3:
            raise draws.choice([ZeroDivisionError("device"), MemoryError(), StopIteration()])
        return [np.full(1, node.token, np.float32) for node in nodes]

    gatherer, ends, root = RequestBatcher(compute), [], Node(None, -1)
    nodes = [root.child(number) for number in range(6)]

    async def some(seed):
        own = random.Random(seed)
        tasks = [asyncio.ensure_future(gatherer.log_probs(node)) for node in nodes[: own.randrange(1, 6)]]
        for task in tasks:
            if own.random() < 0.3:
                task.cancel()
            if own.random() < 0.5:
                await asyncio.sleep(0)
        if own.random() < 0.2:
            return  # the loop closes on what is left
        found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), SOON)
        for number, one in enumerate(found):
            is_failure = isinstance(one, (ZeroDivisionError, RuntimeError, MemoryError))
            assert isinstance(one, asyncio.CancelledError) or is_failure or one == number
        ends.append(seed)

    def loops(first):
        for seed in range(first, first + 40):
            asyncio.run(some(seed))

    threads = [threading.Thread(target=loops, args=(1000 * number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()
    assert len(ends) > 80


def test_a_worker_that_cannot_start_is_an_error_of_the_awaits():
    gatherer, node = RequestBatcher(lambda nodes: []), Node(None, -1)
    gatherer._worker.shutdown()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="after shutdown"):
            asyncio.run(asyncio.wait_for(gatherer.log_probs(node), SOON))


@pytest.mark.parametrize("when", ["before the call", "in it", "and no cache can be made"])
def test_after_a_call_that_failed_every_later_one_is_right(writer, monkeypatch, when):
    """What was given a slot and never read is not believed to have been."""
    case = writer()
    lm = decoding.CachedLM(case.model, case.params)
    state = decoding.initial_state(lm, [1, 2, 3])
    state.logp_next()
    real = _cached_lm.read_tree

    def failing(*arguments):
        if when != "before the call":
            real(*arguments)
        raise ZeroDivisionError

    def nothing(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(_cached_lm, "read_tree", failing)
        with pytest.raises(ZeroDivisionError):
            awaited(state << 4)
        if when == "and no cache can be made":
            patch.setattr(_cached_lm, "empty_tree", nothing)
            for _ in range(2):
                with pytest.raises(MemoryError):
                    (state << 5).logp_next()
    agrees(case, (state << 4).logp_next(), [1, 2, 3, 4])
    agrees(case, awaited((state << 4) << 5), [1, 2, 3, 4, 5])


def test_sixteen_prompts_compile_few_programs(writer):
    """Waves of sizes that no power of two divides, as prompts of many lengths make them."""
    case = writer(max_length=49)  # a model of its own: what others compiled is not counted
    lm = decoding.CachedLM(case.model, case.params, num_slots=400)
    draws = np.random.default_rng(0)
    before = _cached_lm.read_tree._cache_size()
    states = [decoding.initial_state(lm, draws.integers(0, 200, size).tolist()) for size in range(3, 19)]

    async def wave(chosen):
        return await asyncio.gather(*(states[number].logp_next_async() for number in chosen))

    for _ in range(12):
        chosen = draws.choice(16, draws.integers(1, 17), replace=False)
        found = asyncio.run(wave(chosen))
        for number, log_probs in zip(chosen, found, strict=True):
            assert log_probs.base is None and log_probs.shape == (case.config.vocab_size,)
            states[number] = states[number] << int(log_probs.argmax())
    agrees(case, states[0].logp_next(), states[0].context)
    assert _cached_lm.read_tree._cache_size() - before <= 5
