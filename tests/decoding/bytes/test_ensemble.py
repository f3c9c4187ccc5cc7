"""Ensembles of byte states: pooled distributions by hand and in float64, and every way to ask for them."""

import asyncio
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.decoding import bytes as byte_models
from jaxlm.errors import UsageError
from tests.decoding.bytes import oracle, small_models

# The same bytes, in tokens that differ in number and order
TOKENIZERS = (
    (b"a", b"b", b"c", b"ab", b"bc", None),
    (b"c", b"abc", b"b", b"a", b"ba", b"bab", b"cc", None),
)
WEIGHTS = [0.3, 0.9]


class Enumerated(byte_models.StatefulByteLM):
    """The exact byte distribution of a small model over tokens, with 257 slots or 258."""

    def __init__(self, lm, context=b"", num_slots=257):
        self.lm, self.read, self.num_slots = lm, context, num_slots

    @property
    def context(self):
        return self.read

    def __lshift__(self, symbol):
        return type(self)(self.lm, self.read + bytes([symbol]), self.num_slots)

    def logp_next(self):
        joint = oracle.next_byte_log_probs(
            lambda text: oracle.prefix_log_prob(self.lm, text),
            oracle.whole_log_prob(self.lm, self.read),
            self.read,
        )
        if self.num_slots == 258:
            joint = np.insert(joint, 256, -np.inf)
        return byte_models.ByteLogProbs(joint - oracle.log_sum(joint))


class Awaited(Enumerated):
    """The same, as coroutine functions."""

    async def __lshift__(self, symbol):
        return super().__lshift__(symbol)

    async def logp_next(self):
        return super().logp_next()


class Waiting(Enumerated):
    """Counts how many distributions are waited for at the same time."""

    now, most = 0, 0

    def logp_next(self):
        view = super().logp_next()
        return byte_models.ByteLogProbs(lambda: view.log_probs, lambda: self.wait(view))

    async def wait(self, view):
        Waiting.now += 1
        Waiting.most = max(Waiting.most, Waiting.now)
        await asyncio.sleep(0)
        Waiting.now -= 1
        return view.log_probs


def members(*kinds, **options):
    kinds = kinds or (Enumerated, Enumerated)
    lms = [oracle.SmallLM(tokens, eos_ids=(len(tokens) - 1,), seed=5) for tokens in TOKENIZERS]
    return [kind(lm, **options) for kind, lm in zip(kinds, lms, strict=True)]


def pooled_by_hand(rows, weights, pooling):
    """In float64, one slot after the other."""
    rows, weights = np.exp(np.asarray(rows, np.float64)), np.asarray(weights)
    values = np.prod(rows ** weights[:, None], 0) if pooling == "product" else weights @ rows
    return values / values.sum()


@pytest.mark.parametrize("pooling", ["mixture", "product"])
@pytest.mark.parametrize("text", [b"", b"ab", b"cab"])
def test_models_with_different_tokenizers_are_pooled(pooling, text):
    state = byte_models.ensemble_state(members(), WEIGHTS, pooling=pooling)
    for byte in text:
        state = state << byte
    assert state.context == text
    rows = [member.logp_next().log_probs for member in state.members]
    pooled = state.logp_next()
    assert pooled.num_slots == 257
    np.testing.assert_allclose(
        np.exp(pooled.log_probs), pooled_by_hand(rows, WEIGHTS, pooling), rtol=1e-5, atol=0
    )
    assert pooled[ord("z")] == -np.inf


def test_an_ensemble_of_one_is_its_member():
    (member, _) = members()
    for pooling in ("mixture", "product"):
        alone = byte_models.ensemble_state([member], pooling=pooling).prefill(b"ab")
        expected = member.prefill(b"ab").logp_next().log_probs
        np.testing.assert_allclose(alone.logp_next().log_probs, expected, atol=1e-6)


def test_the_slot_for_the_end_of_a_token_is_left_out():
    few, many = (byte_models.ensemble_state(members(num_slots=slots)) for slots in (257, 258))
    np.testing.assert_array_equal(few.logp_next().log_probs, many.logp_next().log_probs)


@pytest.mark.parametrize("pooling", ["mixture", "product"])
def test_coroutines_give_what_plain_methods_give(pooling):
    plain = byte_models.ensemble_state(members(), WEIGHTS, pooling=pooling)
    mixed = byte_models.ensemble_state(members(Awaited, Enumerated), WEIGHTS, pooling=pooling)
    expected = plain.greedy(b"a", steps=5)
    assert mixed.greedy(b"a", steps=5) == expected
    assert asyncio.run(mixed.greedy_async(b"a", steps=5)) == expected
    assert asyncio.run(plain.greedy_async(b"a", steps=5)) == expected
    rng = jax.random.key(0)
    assert plain.sample(b"a", steps=6, rng=rng) == mixed.sample(b"a", steps=6, rng=rng)


def test_members_are_asked_at_the_same_time():
    Waiting.most = 0
    state = byte_models.ensemble_state(members(Waiting, Waiting))
    view = asyncio.run(state.logp_next_async())
    assert Waiting.most == 2
    np.testing.assert_array_equal(view.log_probs, state.logp_next().log_probs)


def test_members_prefill_and_prune_in_their_own_way():
    class Own(Enumerated):
        def prefill(self, context):
            return Own(self.lm, b"own " + bytes(context))

        async def prefill_async(self, context):
            return self.prefill(context)

        def prune(self):
            return Own(self.lm, b"pruned")

    state = byte_models.ensemble_state(members(Own, Enumerated))
    assert [member.context for member in state.prefill("a").members] == [b"own a", b"a"]
    waited = asyncio.run(state.prefill_async(b"a"))
    assert [member.context for member in waited.members] == [b"own a", b"a"]
    assert [member.context for member in state.prune().members] == [b"pruned", b""]


@pytest.mark.parametrize("pooling", ["mixture", "product"])
def test_a_tree_and_a_beam_with_different_tokenizers(pooling):
    """What each of them says is held by its own tests; here they read the same bytes in their own tokens."""
    other = small_models.merges_tokenizer(b"cab", ((b"c", b"a"), (b"ca", b"b")))
    second = byte_models.make_byte_model(small_models.loaded_model(other))
    states = [
        byte_models.tree_state(small_models.byte_model()),
        byte_models.beam_state(second, byte_models.BeamSettings(num_candidates=8)),
    ]
    first = byte_models.ensemble_state(states, WEIGHTS, pooling=pooling)
    state, stepped = first.prefill("abcab"), first
    for byte in b"abcab":
        stepped = stepped << byte
    rows = [member.prefill("abcab").logp_next().log_probs for member in states]
    expected = pooled_by_hand(rows, WEIGHTS, pooling)
    np.testing.assert_allclose(np.exp(state.logp_next().log_probs), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.exp(stepped.logp_next().log_probs), expected, rtol=1e-4, atol=1e-7)
    text = first.greedy(b"ab", steps=6)
    assert text.startswith(b"ab") and asyncio.run(first.greedy_async(b"ab", steps=6)) == text


def test_states_are_pickled_and_print_themselves():
    state = byte_models.ensemble_state(members(), WEIGHTS, pooling="product")
    copy = pickle.loads(pickle.dumps(state))
    np.testing.assert_array_equal(copy.logp_next().log_probs, state.logp_next().log_probs)
    assert repr(copy) == "EnsembleByteState(product of 2, weights 0.3, 0.9)"


@pytest.mark.parametrize("pooling", ["mixture", "product"])
def test_pooling_of_many_axes_of_impossible_slots_and_of_small_probabilities(pooling):
    logits = np.random.default_rng(0).normal(size=(3, 2, 4, 9)) * 8
    logits[:, 0, 0] = -np.inf
    logits[0, 1, :, 2:5] = -np.inf
    logits[1, 0, 1] = -np.inf
    weights = np.array([0.2, 0.5, 1.5], np.float32)
    log_probs = np.asarray(jax.nn.log_softmax(jnp.asarray(logits, jnp.float32)))
    log_probs = np.where(np.isnan(log_probs), -np.inf, log_probs).astype(np.float32)
    pooled = np.asarray(byte_models.pool_log_probs(log_probs, weights, pooling=pooling))
    for row in np.ndindex(2, 4):
        expected = np.zeros(9)
        if row != (0, 0) and not (row == (0, 1) and pooling == "product"):
            expected = pooled_by_hand(log_probs[:, *row], weights, pooling)
        np.testing.assert_allclose(np.exp(pooled[row]), expected, rtol=2e-5, atol=1e-30)
        assert not np.isnan(pooled[row]).any()

    def total(log_probs):
        pooled = byte_models.pool_log_probs(log_probs, weights, pooling=pooling)
        return jnp.where(jnp.isfinite(pooled), pooled, 0.0).sum()

    assert np.isfinite(jax.grad(total)(jnp.asarray(log_probs))).all()


def test_a_product_that_leaves_no_byte_is_told():
    class Only(Enumerated):
        letter = b"a"

        def logp_next(self):
            log_probs = np.full(257, -np.inf)
            log_probs[self.letter[0]] = 0
            return byte_models.ByteLogProbs(log_probs)

    class Other(Only):
        letter = b"b"

    state = byte_models.ensemble_state(members(Only, Other), pooling="product")
    assert (state.logp_next().log_probs == -np.inf).all()
    with pytest.raises(UsageError, match="no byte can follow"):
        state.greedy(b"", steps=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": []}, "at least one member: got none"),
        ({"members": iter(["gpt2"])}, "got str"),  # an iterator, into which the type hook does not look
        ({"weights": [1.0]}, "each of the 2 members has a weight above 0"),
        ({"weights": [1.0, 0.0]}, "each of the 2 members has a weight above 0"),
        ({"weights": [1.0, float("nan")]}, "each of the 2 members has a weight above 0"),
        ({"pooling": "mean"}, "a mixture or a product: got 'mean'"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_bad_ensembles_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        byte_models.ensemble_state(**({"members": members()} | changes))


def test_a_member_whose_distribution_is_of_another_size_is_refused():
    class Narrow(Enumerated):
        def logp_next(self):
            return np.zeros(10)

    state = byte_models.ensemble_state(members(Narrow, Enumerated))
    with pytest.raises(UsageError, match="257 slots, or 258: got shape"):
        state.logp_next().log_probs  # noqa: B018
