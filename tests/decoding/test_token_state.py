"""States against forwards of their whole contexts; what is shared, what is bounded, what is counted."""

import asyncio
import pickle
import threading

import jax
import numpy as np
import pytest

from jaxlm import decoding, models
from jaxlm.decoding import _cached_lm, _token_tree
from tests.decoding.conftest import log_softmax

SCHEMES = {
    "learned": {},
    "rotary window": {"position": "rotary", "num_kv_heads": 2, "window": 4, "norm": "rms"},
    "instruction": {"position": models.Instruction(next_id=101)},
}
# Float32 sums in another order, of logits of order ten
CLOSE = {"rtol": 0, "atol": 1e-4}


def cached(case, **options):
    return decoding.CachedLM(case.model, case.params, **options)


@pytest.fixture(scope="module", params=SCHEMES.values(), ids=SCHEMES)
def case(request, writer):
    return writer(**request.param)


def extended(state, tokens):
    for token in tokens:
        state = state << token
    return state


def agrees(case, log_probs, context):
    assert log_probs.dtype == np.float32
    np.testing.assert_allclose(log_probs, log_softmax(case.logits(context)), **CLOSE)


def test_a_state_is_its_context(case):
    lm = cached(case)
    stem = decoding.initial_state(lm, [5, 101, 7])
    for tokens in ([], [101], [9, 9], [101, 101, 3], [9, 8]):
        state = extended(stem, tokens)
        assert state.context == (5, 101, 7, *tokens) and stem.context == (5, 101, 7)
        agrees(case, state.logp_next(), state.context)
    # 5 101 7 / 101 / 9 and 9 / 101 (again for its logits: no) 3 / 8
    assert lm.counters.tokens_read == 3 + 1 + 2 + 2 + 1


def test_prefixes_are_shared_whoever_made_them(writer):
    case = writer()
    lm = cached(case)
    first = decoding.initial_state(lm, [1, 2, 3, 4])
    first.logp_next()
    second = decoding.initial_state(lm, [1, 2, 3, 9])
    agrees(case, second.logp_next(), [1, 2, 3, 9])
    assert lm.counters.tokens_read == 5
    again = extended(decoding.initial_state(lm, [1]), [2, 3, 4])
    np.testing.assert_array_equal(again.logp_next(), first.logp_next())
    assert (lm.counters.calls, lm.counters.hits, lm.counters.requests) == (2, 2, 4)
    with pytest.raises(ValueError, match="read-only"):
        first.logp_next()[0] = 0


def test_the_window_is_kept_by_every_child(writer):
    """And sliding changes neither the parent nor what is read before the window is full."""
    case = writer()
    lm = cached(case)
    parent = decoding.initial_state(lm, [1, 2], max_context_length=3)
    child = extended(parent, [3, 4, 5, 6])
    assert child.max_context_length == 3 and child.context == (1, 2, 3, 4, 5, 6)
    agrees(case, child.logp_next(), [4, 5, 6])
    agrees(case, (child << 7).logp_next(), [5, 6, 7])
    agrees(case, parent.logp_next(), [1, 2])
    agrees(case, decoding.initial_state(lm, [1, 2, 3, 4], max_context_length=2).logp_next(), [3, 4])
    slid = cached(case)
    long = decoding.initial_state(slid, range(60), max_context_length=4)
    agrees(case, long.logp_next(), [56, 57, 58, 59])


def test_with_and_without_a_token_that_begins(writer):
    case = writer()
    assert decoding.initial_state(cached(case, bos_id=7)).context == (7,)
    empty = decoding.initial_state(cached(case))
    assert empty.context == ()
    agrees(case, (empty << 5).logp_next(), [5])
    with pytest.raises(ValueError, match="no token has been read"):
        empty.logp_next()


def test_what_is_forgotten_is_read_again(writer):
    """A cache of 48 slots, contexts of 20: the third makes room for itself, and results for 2 are kept."""
    case = writer()
    lm = cached(case, num_slots=48, max_results=2)
    contexts = [list(range(start, start + 20)) for start in (0, 30, 60, 0, 90, 60)]
    for context in contexts:
        agrees(case, decoding.initial_state(lm, context).logp_next(), context)
    assert len(lm._slots) <= 48 and len(lm._results) == 2
    held = [node.slot for node in lm._slots._held]
    assert len(set(held)) == len(held)


def test_more_than_fits_goes_in_several_calls(writer):
    case = writer()
    lm = cached(case, num_slots=48, max_batch=4)
    contexts = [[start] * 15 for start in range(6)]
    found = lm.log_probs([lm.node(context) for context in contexts])
    for context, log_probs in zip(contexts, found, strict=True):
        agrees(case, log_probs, context)
    assert lm.counters.batch_sizes == (3, 3)
    lm.log_probs([lm.node([start]) for start in range(100, 106)])
    assert lm.counters.batch_sizes == (3, 3, 4, 2)


def test_awaits_that_are_under_way_go_together(writer, monkeypatch):
    """Ten at once are one call; those that come while it runs are the next one."""
    case = writer()
    lm = cached(case)
    started, goes_on = threading.Event(), threading.Event()
    real = _cached_lm.read_tree

    def slow(*arguments):
        started.set()
        assert goes_on.wait(60)
        return real(*arguments)

    monkeypatch.setattr(_cached_lm, "read_tree", slow)
    root = decoding.initial_state(lm, [1, 2])

    async def all_of_them():
        first = [asyncio.ensure_future((root << token).logp_next_async()) for token in range(10)]
        await asyncio.to_thread(started.wait, 60)
        later = []
        for token in range(10, 15):
            later.append(asyncio.ensure_future((root << token).logp_next_async()))
            await asyncio.sleep(0)
        goes_on.set()
        return await asyncio.gather(*first, *later)

    for _ in range(2):  # another event loop is no hindrance
        found = asyncio.run(all_of_them())
        for token, log_probs in enumerate(found):
            agrees(case, log_probs, [1, 2, token])
    assert lm.counters.batch_sizes == (10, 5)
    assert lm.counters.hits == 15


def test_a_failed_call_reaches_who_awaits_and_leaves_a_working_cache(writer, monkeypatch):
    case = writer()
    lm = cached(case)
    state = decoding.initial_state(lm, [1, 2, 3])
    state.logp_next()
    with monkeypatch.context() as patch:
        patch.setattr(_cached_lm, "read_tree", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run((state << 4).logp_next_async())
    agrees(case, (state << 4).logp_next(), [1, 2, 3, 4])


def test_cancelled_awaits_are_left_out(writer):
    case = writer()
    lm = cached(case)
    root = decoding.initial_state(lm, [1])

    async def some():
        tasks = [asyncio.ensure_future((root << token).logp_next_async()) for token in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(some())
    assert isinstance(found[1], asyncio.CancelledError)
    agrees(case, found[2], [1, 2])


def test_nodes_die_with_their_states(writer):
    lm = cached(writer())
    state = extended(decoding.initial_state(lm, [1]), [2, 3])
    del state
    assert len(lm._root._children) == 0


def test_bfloat16_gives_float32_log_probs(writer):
    lm = cached(writer(dtype="bfloat16"))
    log_probs = decoding.initial_state(lm, [1, 2]).logp_next()
    assert log_probs.dtype == np.float32
    # Normalised in float32: a bfloat16 softmax would be off by a hundredth
    assert abs(np.exp(log_probs.astype(np.float64)).sum() - 1) < 1e-5


def test_refusals(writer):
    case = writer()
    lm = cached(case)
    with pytest.raises(ValueError, match=r"ids lie in 0..259: got 260"):
        decoding.initial_state(lm, [260])
    with pytest.raises(ValueError, match=r"ids lie in 0..259: got -1"):
        decoding.initial_state(lm, [2]) << -1
    for size in (49, 0, -1, True):
        with pytest.raises(ValueError, match=r"max_context_length lies in 1..48"):
            decoding.initial_state(lm, [2], max_context_length=size)
    for bounds in ({"max_results": True}, {"max_batch": True}, {"max_batch": 0}):
        with pytest.raises(ValueError, match="the cache holds a context of 48 tokens"):
            cached(case, **bounds)
    with pytest.raises(ValueError, match="50 tokens long and the model reads at most 48"):
        decoding.initial_state(lm, range(50)).logp_next()
    with pytest.raises(ValueError, match="got num_slots=47"):
        cached(case, num_slots=47)


def test_states_compare_by_what_they_are(writer):
    lm = cached(writer())
    state = decoding.initial_state(lm, [1]) << 2
    assert state == decoding.initial_state(lm, [1, 2]) and hash(state) == hash(
        decoding.initial_state(lm, [1, 2])
    )
    assert state != decoding.initial_state(lm, [1, 2], max_context_length=5)
    assert state != decoding.initial_state(cached(writer()), [1, 2]) and state != decoding.initial_state(
        lm, [2, 1]
    )
    assert repr(state) == "TokenState(context=(1, 2))"
    assert repr(decoding.initial_state(lm, [3], 5) << 4) == "TokenState(context=(3, 4), max_context_length=5)"
    with pytest.raises(AttributeError):
        state.context = (1,)
    assert jax.tree.leaves(lm._tree.cache)[0].shape[-2] == 96


def test_awaiting_a_state_gives_the_state(case):
    """`await (state << token)` and `state << token` are one; gathered, too, and nothing is read for it."""
    lm = cached(case)
    root = decoding.initial_state(lm, [1, 101])

    async def walk():
        state = await (root << 2)
        first, second = await asyncio.gather(state << 3, state << 4)
        assert first == root << 2 << 3
        assert lm.counters.calls == 0
        return second.context, await second.logp_next_async()

    context, log_probs = asyncio.run(walk())
    assert context == (1, 101, 2, 4) and isinstance(root, decoding.LMState)
    agrees(case, log_probs, context)


def test_a_step_touches_nothing_that_was_read_before(writer, monkeypatch):
    """No step looks at the path above it: the context is collected when it is asked for, once."""
    steps = []
    real = _token_tree.Node.path
    monkeypatch.setattr(_token_tree.Node, "path", lambda node: steps.append(node.depth) or real(node))
    state = extended(decoding.initial_state(cached(writer()), [0], max_context_length=3), [1, 2, 3] * 1000)
    assert steps == []
    assert len(state.context) == 3001 and steps == [3001]
    del state  # a long path goes as it came, without recursion


def test_a_batch_stays_on_the_device(case):
    """Many states at once, some of them twice: the rows that each gives alone, in their order."""
    lm, alone = cached(case, max_batch=4), cached(case)
    root = decoding.initial_state(lm, [5, 101])
    states = [root << 7 << 7, root, root << 8, *(root << token for token in range(20, 25)), root]
    for _ in range(2):  # the second time nothing is read
        found = decoding.logp_next_batch(states)
        assert isinstance(found, jax.Array) and found.dtype == np.float32
        for state, log_probs in zip(states, found, strict=True):
            agrees(case, log_probs, state.context)
            expected = decoding.initial_state(alone, state.context).logp_next()
            np.testing.assert_allclose(log_probs, expected, **CLOSE)
    assert lm.counters.tokens_read == 2 + 2 + 1 + 5 and lm.counters.batch_sizes == (4, 4) * 2
    windowed = [decoding.initial_state(lm, range(60), max_context_length=4), root << 9]
    found = decoding.logp_next_batch(windowed)
    agrees(case, found[0], [56, 57, 58, 59])
    agrees(case, found[1], [5, 101, 9])


def test_what_was_read_answers_again_without_reading(writer):
    """The distribution is forgotten and the node is not: one call, and no token."""
    case = writer()
    lm = cached(case, max_results=1)
    first, second = decoding.initial_state(lm, [1, 2]), decoding.initial_state(lm, [1, 3])
    for state in (first, second, first):
        agrees(case, state.logp_next(), state.context)
    assert (lm.counters.calls, lm.counters.tokens_read) == (3, 3)


def test_a_batch_is_of_one_model(writer):
    states = [decoding.initial_state(cached(writer()), [1]) for _ in range(2)]
    with pytest.raises(ValueError, match="states of one CachedLM: got 2 states of 2"):
        decoding.logp_next_batch(states)
    with pytest.raises(ValueError, match="got 0 states of 0"):
        decoding.logp_next_batch([])


def test_a_pickled_state_reads_anew(writer):
    case = writer()
    state = decoding.initial_state(cached(case, bos_id=9, num_slots=50), max_context_length=4) << 1 << 2
    copy = pickle.loads(pickle.dumps(state))
    assert (copy.context, copy.max_context_length) == (state.context, 4) == ((9, 1, 2), 4)
    assert (copy.lm.bos_id, copy.lm._slots.num_slots, copy.lm.counters.calls) == (9, 50, 0)
    agrees(case, copy.logp_next(), [9, 1, 2])
