"""States that define two methods, the view of a distribution, and the names of `genlm-bytes` for tokens."""

import asyncio

import jax
import numpy as np
import pytest

from jaxlm import decoding
from jaxlm.decoding.bytes import (
    END_OF_TEXT,
    ByteLogProbs,
    LazyLogProbs,
    StatefulByteLM,
    StatefulTokenizedLM,
    sample_dict,
)


def certain(symbol, num_slots=257):
    log_probs = np.full(num_slots, -np.inf)
    log_probs[symbol] = 0
    return ByteLogProbs(log_probs)


class Counting(StatefulByteLM):
    """After a byte comes the next one; after `e` the text ends."""

    def __init__(self, last=96, num_slots=257):
        self.last, self.num_slots = last, num_slots

    def __lshift__(self, byte):
        return type(self)(byte, self.num_slots)

    def logp_next(self):
        return certain(self.num_slots - 1 if self.last == ord("e") else self.last + 1, self.num_slots)


class AsyncCounting(Counting):
    """The same with coroutine functions, as in `genlm-bytes`."""

    async def __lshift__(self, byte):
        return AsyncCounting(byte, self.num_slots)

    async def logp_next(self):
        return Counting.logp_next(self)


class Waiting(AsyncCounting):
    async def logp_next(self):
        await asyncio.sleep(0)
        return await super().logp_next()

    async def __lshift__(self, byte):
        await asyncio.sleep(0)
        return Waiting(byte)


class Fair(StatefulByteLM):
    """Three symbols of given probabilities, always."""

    def __lshift__(self, byte):
        return self

    def logp_next(self):
        log_probs = np.full(257, -np.inf)
        log_probs[[ord("a"), ord("b"), END_OF_TEXT]] = np.log([0.5, 0.3, 0.2])
        return ByteLogProbs(log_probs)


@pytest.mark.parametrize("kind", [Counting, AsyncCounting])
@pytest.mark.parametrize("num_slots", [257, 258])
def test_two_methods_are_enough(kind, num_slots):
    state = kind(num_slots=num_slots)
    assert state.greedy(b"ab", 2) == b"abcd"
    assert state.greedy("ab", 100) == state.greedy([97, 98], 3) == b"abcde"
    assert state.greedy(b"", 0) == b"" and state.sample(b"c", 5, rng=jax.random.key(0)) == b"cde"
    assert state.prefill(b"abc").last == ord("c") and state.prune() is state
    assert kind.are_full([state]) == [False] and isinstance(state, decoding.LMState)


@pytest.mark.parametrize("kind", [Counting, AsyncCounting, Waiting])
def test_all_of_it_can_be_awaited(kind):
    async def walk():
        state = await (await (kind() << 97) << 98)
        log_probs = await state.logp_next()
        assert log_probs.argmax() == 99 and (await state.logp_next_async()).argmax() == 99
        assert (await state.prefill_async(b"cd")).last == 100
        return await asyncio.gather(
            state.greedy_async(b"ab", 2), state.sample_async(b"c", 9, rng=jax.random.key(0))
        )

    assert asyncio.run(walk()) == [b"abcd", b"cde"]


def test_many_at_once_with_and_without_an_event_loop():
    states = [Waiting(97), Waiting(98)]
    found = Waiting.logp_next_many(states)
    assert [log_probs.argmax() for log_probs in found] == [98, 99]

    async def inside():
        return Waiting.logp_next_many(states)

    assert [log_probs.argmax() for log_probs in asyncio.run(inside())] == [98, 99]


def test_a_method_that_waits_needs_an_event_loop():
    with pytest.raises(ValueError, match="use prefill_async, greedy_async or sample_async"):
        Waiting().greedy(b"", 3)


def test_states_without_the_two_methods_are_none():
    class Half(StatefulByteLM):
        def logp_next(self):
            return certain(97)

    with pytest.raises(TypeError, match="abstract"):
        Half()
    with pytest.raises(AttributeError, match="does not store the bytes"):
        Counting().context  # noqa: B018


def test_samples_have_the_frequencies_of_the_probabilities():
    drawn = [Fair().sample(b"", 1, rng=key) for key in jax.random.split(jax.random.key(1), 500)]
    counts = [drawn.count(text) for text in (b"a", b"b", b"")]
    expected = [250, 150, 100]
    assert sum(counts) == 500
    statistic = sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))
    assert statistic < 13.8  # 2 degrees of freedom: 99.9% lie below


def test_a_key_makes_the_same_text_and_draws_of_ones_own_get_probabilities():
    first, second = (Fair().sample(b"x", 30, rng=jax.random.key(5)) for _ in range(2))
    assert first == second and first.startswith(b"x")
    seen = []

    def likeliest(probs):
        seen.append(probs)
        return max(probs, key=probs.get)

    assert Fair().sample(b"", 2, draw=likeliest) == b"aa"
    assert len(seen[0]) == 257 and seen[0][97] == pytest.approx(0.5) and seen[0][0] == 0
    keyed = Fair().sample(b"", 2, draw=lambda probs, key: 98, rng=jax.random.key(0))
    assert keyed == b"bb"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda state: state.sample(b"", 1), "a draw needs a key"),
        (lambda state: state.greedy(b"", -1), "steps is a whole number from 0: got -1"),
        (lambda state: state.greedy("\udcc3", 1), "half a surrogate pair cannot be written in UTF-8"),
        (lambda state: state.greedy([256], 1), r"bytes lie in 0\.\.255: got 256"),
        (lambda state: state.sample(b"", 1, draw=lambda probs: 300), "one of the keys"),
        (lambda state: state.sample(b"", 1, draw=lambda probs: None), "one of the keys"),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call(Fair())


def test_a_draw_from_a_dict():
    key = jax.random.key(0)
    assert sample_dict({97: 0.0, 98: 2.0, 99: 0.0}, key) == 98
    for weights in ({97: 0.0}, {97: -1.0, 98: 2.0}, {97: np.nan}, {}):
        with pytest.raises(ValueError, match="weights of a draw"):
            sample_dict(weights, key)


def test_a_view_computes_when_it_is_looked_at_and_once():
    calls = []

    def compute():
        calls.append(1)
        return np.log(np.full(257, 1 / 257))

    view = ByteLogProbs(compute)
    assert len(view) == 257 and view.end == 256 and calls == []
    assert view[0] == view[256] == pytest.approx(-np.log(257)) and len(view.materialize()) == 257
    assert np.asarray(view).dtype == np.float32 and len(list(view)) == 257 and calls == [1]
    with pytest.raises(ValueError, match="read-only"):
        view.log_probs[0] = 0
    assert sum(view.probs().values()) == pytest.approx(1)


def test_a_view_is_awaited_once():
    calls = []

    async def compute():
        calls.append(1)
        return np.zeros(3)

    async def look():
        view = LazyLogProbs(lambda: np.ones(3), compute, num_slots=3)
        assert await view is view and await view is view
        plain = await LazyLogProbs(lambda: np.ones(3), num_slots=3)
        return view[0], plain[0]

    assert asyncio.run(look()) == (0, 1) and calls == [1]


def test_258_slots_hold_the_end_of_a_token_too():
    log_probs = np.full(258, -np.inf)
    log_probs[[97, 256, 257]] = np.log([0.5, 0.25, 0.25])
    view = ByteLogProbs(log_probs)
    assert view.end == 257 and len(view) == 258
    values = view.materialize()
    assert values[None] == view[256] and values[257] == view[257] and 256 not in values
    assert repr(view) == "ByteLogProbs(b'a': 0.5, end of token: 0.25, end: 0.25)"
    assert view.pretty(1) == "b'a'  0.5000"
    assert list(view.top(2)) == [97, 256]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ByteLogProbs(np.zeros(256)), "has 257 slots, or 258: got 256"),
        (lambda: ByteLogProbs(np.zeros(257))[257], r"lie in 0\.\.256: got 257"),
        (lambda: ByteLogProbs(np.zeros(257))[-1], r"lie in 0\.\.256: got -1"),
        (lambda: ByteLogProbs(np.zeros(257))[True], "a whole number: got True"),
        (lambda: ByteLogProbs(lambda: np.zeros(256))[0], "a view of 257 slots"),
        (lambda: LazyLogProbs(lambda: np.zeros(256)), "needs its num_slots"),
    ],
)
def test_a_view_checks_its_slots(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_tokens_under_the_names_of_genlm(writer):
    case = writer()
    lm = decoding.CachedLM(case.model, case.params, bos_id=7)
    first = StatefulTokenizedLM.initial(lm, max_context_length=3)
    assert (first.model, first.context, first.n_calls, first.max_context_length) == (lm, [7], 0, 3)
    state = first
    for token in (1, 2, 3, 4):
        state = state << token
    assert state.context == [7, 1, 2, 3, 4] and first.context == [7] and state.max_context_length == 3
    expected = decoding.initial_state(lm, [2, 3, 4]).logp_next()
    np.testing.assert_array_equal(np.asarray(state.logp_next()), expected)
    assert (state.n_calls, first.n_calls, (state << 5).n_calls) == (1, 0, 1)

    async def awaited():
        longer = await (state << 5)
        return (await longer.logp_next()).log_probs, await longer.logp_next_async()

    for found in asyncio.run(awaited()):
        np.testing.assert_array_equal(found, decoding.initial_state(lm, [3, 4, 5]).logp_next())
    assert isinstance(state, decoding.LMState) and state.token_state.context == (7, 1, 2, 3, 4)
    assert repr(StatefulTokenizedLM(lm, [1], n_calls=2)) == (
        "StatefulTokenizedLM(TokenState(context=(1,)), n_calls=2)"
    )
    assert StatefulTokenizedLM.initial(decoding.CachedLM(case.model, case.params)).context == []
    assert StatefulTokenizedLM.initial(lm, [4, 5]).context == [4, 5]
    for call, message in (
        (lambda: StatefulTokenizedLM(lm, [1], n_calls=-1), "n_calls is a whole number"),
        (lambda: first << 1000, "ids lie in"),
        (lambda: StatefulTokenizedLM.initial(lm, max_context_length=0), "max_context_length lies in"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
