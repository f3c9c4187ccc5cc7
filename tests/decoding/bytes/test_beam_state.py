"""Beams against the enumeration of all covers of a text, and what holds of any beam."""

import asyncio
import itertools

import jax
import numpy as np
import pytest

from jaxlm import decoding
from jaxlm.decoding.bytes import BeamSettings, StatefulByteLM
from tests.decoding.bytes.fakes import oracle_beam
from tests.decoding.bytes.oracle import (
    SmallLM,
    covers,
    log_sum,
    next_byte_log_probs,
    prefix_log_prob,
    spellings,
    whole_log_prob,
)

# Float32 sums of a few terms, relative to their own sum; of large numbers the last bits are lost
CLOSE = {"rtol": 3e-7, "atol": 1e-5}
END = 256
LETTERS = (b"a", b"b", b"c")
VOCABULARIES = {
    "bytes": SmallLM((b"<s>", *LETTERS, None), eos_ids=(4,), opening=(0,)),
    "duplicates": SmallLM((None, *LETTERS, b"ab", b"a", b"ba", b"abc", b"ab", b"ab"), opening=(0,), seed=1),
    "empty and special": SmallLM(
        (None, *LETTERS, b"", b"ab", None, b"cab", None), eos_ids=(6, 8), opening=(0, 6), seed=2
    ),
    "a byte is missing": SmallLM(
        (None, b"a", b"ab", b"bb", b"cab", None), eos_ids=(5,), opening=(0,), seed=3
    ),
    "long, peaked": SmallLM((None, *LETTERS, b"abc" * 42, b"aab"), opening=(0,), scale=30.0, seed=5),
}


@pytest.fixture(params=VOCABULARIES.values(), ids=VOCABULARIES)
def lm(request):
    return request.param


def read(state, text):
    for byte in text:
        state = state << byte
    return state


def texts_up_to(length):
    return [bytes(text) for size in range(length + 1) for text in itertools.product(b"abc", repeat=size)]


def exact_next(lm, text):
    return next_byte_log_probs(lambda longer: prefix_log_prob(lm, longer), whole_log_prob(lm, text), text)


def agrees(found, expected):
    possible = expected > -np.inf
    np.testing.assert_array_equal(np.isfinite(found), possible)
    np.testing.assert_allclose(found[possible], expected[possible], **CLOSE)


def test_with_room_for_all_tokenizations_a_beam_is_exact(lm):
    """Every text of up to four letters: its probability, the next byte's, and that of its end."""
    first = oracle_beam(lm)
    for text in texts_up_to(4):
        state, expected = read(first, text), prefix_log_prob(lm, text)
        joint = exact_next(lm, text)
        if expected == -np.inf:
            assert state.log_prob == -np.inf and not np.isfinite(state.logp_next().log_probs).any()
            continue
        assert abs(state.log_prob - expected) < 1e-5 and state.dropped == 0
        agrees(state.logp_next().log_probs, joint - np.logaddexp.reduce(joint))
        whole = whole_log_prob(lm, text)
        ended = (state << END).log_prob
        assert ended == whole == -np.inf or abs(ended - whole) < 1e-5


@pytest.mark.parametrize("text", [b"abcabcab", b"aabcbcab", b"bbbbbbbb"])
def test_longer_texts_are_exact(text):
    lm = VOCABULARIES["duplicates"]
    state = oracle_beam(lm, num_candidates=600)
    for size, byte in enumerate(text, start=1):
        state = state << byte
        assert abs(state.log_prob - prefix_log_prob(lm, text[:size])) < 1e-5


def test_probability_is_conserved(lm):
    """The martingale identity: a text's probability is that of all ways on, and of its end.

    Where a model has other special tokens, theirs is missing; these models have none but the openings.
    """
    specials = [id for id, data in enumerate(lm.token_bytes) if not data and id not in lm.eos_ids]
    first = oracle_beam(lm)
    for text in (b"", b"a", b"ab", b"abc", b"cab"):
        state = read(first, text)
        if state.log_prob == -np.inf:
            continue
        parts = [(state << byte).log_prob for byte in b"abc<"] + [(state << END).log_prob]
        total = np.logaddexp.reduce(parts)
        if specials:
            assert total < state.log_prob + 1e-5
        else:
            assert abs(total - state.log_prob) < 1e-5


def test_the_chain_rule(lm):
    """What the distributions give the bytes adds up to the log-prob, if nothing is left out."""
    state, total = oracle_beam(lm), 0.0
    specials = [id for id, data in enumerate(lm.token_bytes) if not data and id not in lm.eos_ids]
    for byte in b"ababa":
        total += state.logp_next()[byte]
        state = state << byte
    # Without special tokens the distributions lose nothing; with them they are relative to the rest.
    if not specials:
        assert abs(total - state.log_prob) < 1e-4
    else:
        assert total > state.log_prob - 1e-4


@pytest.mark.parametrize("num_candidates", [1, 2, 3, 5])
def test_a_beam_is_a_lower_bound(num_candidates):
    lm = VOCABULARIES["duplicates"]
    for text in (b"ab", b"abab", b"abcab", b"babcab"):
        state = read(oracle_beam(lm, num_candidates=num_candidates), text)
        exact = prefix_log_prob(lm, text)
        assert state.log_prob <= exact + 1e-5
        assert 0 <= state.dropped <= 1
        if state.log_prob < exact - 1e-3:
            assert state.dropped > 0


def test_every_candidate_holds_its_own_weight(lm):
    """The log-prob of the tokens plus the mass of the partial bytes, after every byte."""
    state = oracle_beam(lm, num_candidates=3)
    for byte in b"abcab":
        state = state << byte
        for candidate in state.candidates:
            spelled = b"".join(lm.token_bytes[id] for id in candidate.tokens)
            assert spelled + candidate.partial == state.context
            log_probs = lm.log_probs(candidate.tokens)
            mass = np.logaddexp.reduce(
                [log_probs[id] for id in lm.text_ids if lm.token_bytes[id].startswith(candidate.partial)]
            )
            assert abs(lm.log_prob(candidate.tokens) + mass - candidate.log_prob) < 1e-5
        total = np.logaddexp.reduce([candidate.log_prob for candidate in state.candidates] or [-np.inf])
        assert total == state.log_prob == -np.inf or abs(total - state.log_prob) < 1e-5


def random_lm(rng):
    """All of three bytes are tokens, and some long ones, which lead a beam astray."""
    long = [bytes(rng.choice(list(b"abc"), size=rng.integers(2, 7))) for _ in range(rng.integers(1, 9))]
    return SmallLM((None, *LETTERS, *long), opening=(0,), scale=4.0, seed=int(rng.integers(1 << 30)))


@pytest.mark.parametrize("seed", range(6))
def test_a_reserved_candidate_never_lets_the_beam_die(seed):
    """Random vocabularies and texts, with few candidates and a threshold, without healing."""
    rng = np.random.default_rng(seed)
    lm, size = random_lm(rng), int(rng.integers(1, 4))
    state = oracle_beam(lm, num_candidates=size, heal=False, prune_threshold=float(rng.choice([0, 0.3])))
    for byte in rng.choice(list(b"abc"), size=40).tolist():
        state = state << byte
    assert state.log_prob > -np.inf
    assert np.isfinite(state.logp_next().log_probs[list(b"abc")]).all()


# With one candidate and none in reserve, "abca" is followed as if it were the long token.
TRAP = SmallLM((None, *LETTERS, b"abcab"), opening=(0,), scale=0.0)


def test_without_reserve_a_beam_dies_and_healing_revives_it():
    options = {"num_candidates": 1, "reserve": False, "max_extensions": 1}
    dead = read(oracle_beam(TRAP, heal=False, **options), b"abcc")
    assert dead.log_prob == -np.inf and dead.candidates == []
    healed = read(oracle_beam(TRAP, **options), b"abcc")
    assert healed.log_prob > -np.inf
    (candidate,) = healed.candidates
    assert candidate.partial == b"c" and candidate.tokens == (1, 2, 3)
    # Four tokens of a uniform model of five
    assert abs(healed.log_prob - 4 * np.log(1 / 5)) < 1e-5


@pytest.mark.parametrize(
    ("limits", "dies"), [({"heal_max_splits": 0}, True), ({"heal_max_backoff": 1}, True), ({}, False)]
)
def test_healing_has_limits(limits, dies):
    state = oracle_beam(TRAP, num_candidates=1, reserve=False, max_extensions=1, **limits)
    assert (read(state, b"abcc").log_prob == -np.inf) == dies


def test_a_text_that_no_token_can_write():
    state = oracle_beam(VOCABULARIES["bytes"]) << ord("z")
    assert state.log_prob == -np.inf
    with pytest.raises(ValueError, match="no byte can follow"):
        state.greedy(b"", 3)
    assert repr(state.logp_next()) == "ByteLogProbs()"


ENDS = SmallLM((None, *LETTERS, b"!", b"!!", b"a!", None), eos_ids=(4, 7), opening=(0,), seed=8)


def test_an_id_that_ends_a_text_is_text_in_a_prompt_only():
    """In a prompt `!` is a byte like any other; behind it, the token `!` ends the text, and `!!` does not."""
    as_text = ENDS._replace(eos_ids=())
    first = oracle_beam(ENDS)
    for prompt in (b"", b"a", b"a!", b"!", b"!!a", b"a!!"):
        state = first.prefill(prompt)
        assert state.context == prompt
        assert abs(state.log_prob - prefix_log_prob(as_text, prompt)) < 1e-5
        # Tokens that end with the prompt or before are text, whatever they are; tokens behind it are not.
        end = log_sum(ENDS.end_log_prob(tokens) for tokens in spellings(as_text, prompt))
        bang = log_sum(
            as_text.log_prob(cover)
            for cover in covers(as_text, prompt + b"!")
            if cover[-1] not in ENDS.eos_ids
        )
        log_probs = state.logp_next()
        assert abs(log_probs[END] - log_probs[ord("!")] - (end - bang)) < 1e-5
    assert (first << ord("!")).log_prob == pytest.approx(prefix_log_prob(ENDS, b"!"), abs=1e-5)


def test_without_ids_that_end_a_text_it_never_ends():
    state = oracle_beam(VOCABULARIES["long, peaked"]) << ord("a")
    assert state.logp_next()[END] == -np.inf and (state << END).log_prob == -np.inf


def test_nothing_follows_the_end():
    state = oracle_beam(VOCABULARIES["bytes"]) << ord("a") << END
    assert state.has_ended and state.context == b"a" and repr(state) == "BeamByteState(b'a', ended)"
    assert not np.isfinite(state.logp_next().log_probs).any()
    with pytest.raises(ValueError, match="the text has ended"):
        state << ord("a")


def test_states_are_immutable_and_lazy():
    first = oracle_beam(VOCABULARIES["duplicates"])
    lm = first._engine.beam.lm
    left, right = first << ord("a") << ord("b"), first << ord("a") << ord("c")
    assert lm.batches == [] and isinstance(left, (decoding.LMState, StatefulByteLM))
    assert (left.context, right.context, first.context) == (b"ab", b"ac", b"")
    before = left.logp_next().log_probs
    (left << ord("a")).logp_next().log_probs  # noqa: B018
    np.testing.assert_array_equal(left.logp_next().log_probs, before)
    calls = len(lm.batches)
    left.logp_next().materialize()
    assert len(lm.batches) == calls and left.prune() is left


def test_many_states_awaited_together_share_calls():
    """Eight texts of five bytes: as many calls as one of them needs, and the distributions of each alone."""
    lm = VOCABULARIES["duplicates"]
    texts = [bytes(text) for text in itertools.islice(itertools.product(b"ab", repeat=5), 0, 32, 4)]
    together = oracle_beam(lm, num_candidates=3)

    async def next_of(text):
        state = together
        for byte in text:
            state = await (state << byte)
        return await state.logp_next()

    async def all_of_them():
        return await asyncio.gather(*map(next_of, texts))

    found = asyncio.run(all_of_them())
    counts = []
    for text, log_probs in zip(texts, found, strict=True):
        alone = oracle_beam(lm, num_candidates=3)
        np.testing.assert_allclose(
            log_probs.log_probs, read(alone, text).logp_next().log_probs, rtol=0, atol=1e-6
        )
        counts.append(len(alone._engine.beam.lm.batches))
    assert len(together._engine.beam.lm.batches) == max(counts)


def test_more_states_than_fit_are_computed_in_parts(monkeypatch):
    """A pool with room for one state: each of five evicts the others, and every number stays."""
    from jaxlm.decoding.bytes import _beam_engine

    lm = VOCABULARIES["duplicates"]
    texts = [b"abc", b"ab", b"ba", b"c", b"aba"]
    expected = [read(oracle_beam(lm, num_candidates=4), text).logp_next().log_probs for text in texts]
    monkeypatch.setattr(_beam_engine, "_POOL_BYTES", 1)
    first = oracle_beam(lm, num_candidates=4)
    assert first._engine.beam._num_rows == 9
    states = [read(first, text) for text in texts]
    for found, log_probs in zip(first._engine.distributions(states), expected, strict=True):
        np.testing.assert_array_equal(found, log_probs)


def test_a_text_longer_than_the_model_reads():
    state = oracle_beam(VOCABULARIES["bytes"], max_length=4)
    read(state, b"abc").logp_next().log_probs  # noqa: B018
    with pytest.raises(ValueError, match="5 tokens long and the model reads at most 4"):
        read(state, b"abca").logp_next().log_probs  # noqa: B018


class Unopened(SmallLM):
    """Nothing tells the first id: each with bytes is equally likely."""

    def log_probs(self, context):
        if context:
            return super().log_probs(context)
        is_text = np.isin(np.arange(len(self.token_bytes)), self.text_ids)
        return np.where(is_text, -np.log(is_text.sum()), -np.inf)


@pytest.mark.parametrize("name", ["bytes", "duplicates", "a byte is missing"])
def test_without_an_opening_the_first_token_is_an_even_choice(name):
    lm = Unopened(*VOCABULARIES[name]._replace(opening=()))
    first = oracle_beam(lm)
    with pytest.raises(ValueError, match="no token that begins texts"):
        first.logp_next().log_probs  # noqa: B018
    for text in texts_up_to(3):
        state, expected = read(first, text), prefix_log_prob(lm, text)
        assert state.log_prob == expected == -np.inf or abs(state.log_prob - expected) < 1e-5
        if text and expected > -np.inf:
            joint = exact_next(lm, text)
            agrees(state.logp_next().log_probs, joint - np.logaddexp.reduce(joint))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_candidates": 0}, "num_candidates is at least 1: got 0"),
        ({"num_candidates": 2, "max_extensions": 0}, "max_extensions is at least 1: got 0"),
        ({"num_candidates": 2, "prune_threshold": -0.1}, r"a share in \[0, 1\): got -0.1"),
        ({"num_candidates": 2, "prune_threshold": 1.0}, r"a share in \[0, 1\): got 1.0"),
        ({"num_candidates": 2, "heal_max_backoff": -1}, "heal_max_backoff is at least 0: got -1"),
        ({"num_candidates": 2, "heal_max_splits": -1}, "heal_max_splits is at least 0: got -1"),
        ({"num_candidates": 2, "token_sampling": decoding.Sampling(top_p=2.0)}, "top_p is in"),
        (
            {"num_candidates": 2, "token_sampling": decoding.Sampling(repetition_penalty=2.0)},
            "a beam has no repetition penalty",
        ),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        BeamSettings(**settings)


@pytest.mark.parametrize("symbol", [-1, 257, True])
def test_symbols_are_checked(symbol):
    with pytest.raises(ValueError, match="bytes lie in"):
        oracle_beam(VOCABULARIES["bytes"]) << symbol


def test_samples_have_the_frequencies_of_the_model():
    """Texts of at most two bytes: chi-square against their exact probabilities."""
    lm = SmallLM((b"a", b"b", b"ab", None, None), eos_ids=(3, 4), opening=(0,), scale=1.0, seed=4)
    first, number = oracle_beam(lm), 400
    keys = jax.random.split(jax.random.key(3), number)
    drawn = [first.sample(b"", 2, rng=key) for key in keys]
    texts = [text for text in texts_up_to(2) if b"c" not in text]
    expected = {
        text: number * np.exp((prefix_log_prob if len(text) == 2 else whole_log_prob)(lm, text))
        for text in texts
    }
    assert abs(sum(expected.values()) - number) < 1e-6
    statistic = sum((drawn.count(text) - mean) ** 2 / mean for text, mean in expected.items())
    assert set(drawn) <= set(texts) and statistic < 22.5  # 6 degrees of freedom: 99.9% lie below


def test_sampling_of_tokens_changes_the_model_beneath():
    """The likeliest two tokens, of a colder model: as a model whose distributions are changed so."""
    lm = VOCABULARIES["duplicates"]

    class Warped(SmallLM):
        def log_probs(self, context):
            scaled = lm.log_probs(context) / 0.5
            kept = np.where(scaled >= np.sort(scaled)[-2], scaled, -np.inf)
            return kept - np.logaddexp.reduce(kept)

    sampling = decoding.Sampling(temperature=0.5, top_k=2)
    first = oracle_beam(lm, token_sampling=sampling)
    for text in (b"a", b"ab", b"b", b"ba"):
        exact = prefix_log_prob(Warped(*lm), text)
        found = read(first, text).log_prob
        assert found == exact == -np.inf or abs(found - exact) < 1e-5


def test_what_stands_before_every_text_is_certain():
    """A tokenizer that begins texts with a space: probabilities are those of what follows it."""
    lm = VOCABULARIES["duplicates"]
    first = oracle_beam(lm, prefix=b"a")
    assert first.log_prob == 0 and first.context == b""
    state = first << ord("b")
    assert abs(state.log_prob - (prefix_log_prob(lm, b"ab") - prefix_log_prob(lm, b"a"))) < 1e-5
    with pytest.raises(ValueError, match="can write b'z', with which its texts begin"):
        oracle_beam(lm, prefix=b"z")
