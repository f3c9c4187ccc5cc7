"""What holds of byte models of every kind of tokenizer: the enumeration of covers, by trees and by beams."""

import jax
import numpy as np
import pytest
import tokenizers as hf

from jaxlm import tokenizers
from jaxlm.decoding.bytes import BeamSettings, beam_state, make_byte_model, score_bytes, tree_state
from jaxlm.errors import UsageError
from tests.decoding.bytes import oracle
from tests.decoding.bytes.fakes import oracle_beam
from tests.decoding.bytes.small_models import MERGES, asked, byte_model, loaded_model, merges_tokenizer

# Each kind, and a text of a few tokens that ends inside one.
KINDS = {
    "byte-level": "a c",
    "whole words": " zz",
    "Llama, legacy": "the",
    "Llama": "é",
    "unigrams and bytes": "th",
    "bytes": "é",
    "residues": "MKT",
}
WIDE = BeamSettings(num_candidates=64)


def agrees(found, expected):
    """Float32 sums of log-probs of about 10 in two orders; what is impossible is so for both."""
    found = np.asarray(found, np.float64)
    np.testing.assert_array_equal(found == -np.inf, expected == -np.inf)
    possible = expected > -np.inf
    np.testing.assert_allclose(found[possible], expected[possible], rtol=4e-6, atol=2e-5)


def normalised(joint):
    return joint - np.logaddexp.reduce(joint)


def stem_of(model, lm):
    """log P_stem of a text with the tokenizer's prefix in front, by enumeration.

    A stem is the beginning of the canonical ids of a prefix; of the first `known` prefixes here.
    """

    def encode(data):
        return model.encoder.encode(data) if data else ()

    def stems(data, known):
        paths = [encode(data[:size]) or () for size in range(known + 1)]
        found = {path[:count] for path in paths for count in range(len(path) + 1)}
        return [stem for stem in found if len(oracle.spelled(lm, stem)) < len(data)]

    def log_prob(data, known=None):
        return oracle.log_sum(
            lm.log_prob((*stem, id))
            for stem in stems(data, len(data) if known is None else known)
            for id in lm.text_ids
            if lm.token_bytes[id].startswith(data[len(oracle.spelled(lm, stem)) :])
        )

    def whole(data):
        return lm.end_log_prob(encode(data)) if encode(data) is not None else -np.inf

    return log_prob, whole


def nexts(prefix, whole, data):
    """The joint log-probs of a text with each next byte, and with an end; few bytes are asked about."""
    joint = np.full(257, -np.inf)
    for letter in (*b"a t'KMz\n\xa9\x00", data[-1]):
        joint[letter] = prefix(data + bytes([letter]))
    joint[256] = whole(data)
    return joint


@pytest.mark.parametrize("name", KINDS)
def test_trees_are_enumerated(name):
    """Every prefix, and the shares of some next bytes and of the end."""
    model, text = byte_model(name), KINDS[name].encode()
    lm, before = asked(model), model.prefix
    log_prob, whole = stem_of(model, lm)
    base = log_prob(before) if before else 0.0
    (scores,) = score_bytes(model, text)
    expected = [log_prob(before + text[: size + 1]) - base for size in range(len(text))]
    agrees(np.cumsum(scores.log_probs), np.array(expected))
    # What the next byte will make canonical is not known before it.
    joint = nexts(lambda data: log_prob(data, len(data) - 1), whole, before + text) - base
    found = tree_state(model, text).joint_next()
    agrees(found[joint > -np.inf], joint[joint > -np.inf])
    assert (found[ord("\x00")] == -np.inf) == (joint[ord("\x00")] == -np.inf)
    agrees(scores.log_prob + scores.end_log_prob, np.array(joint[256]))


@pytest.mark.parametrize("name", KINDS)
def test_wide_beams_are_enumerated(name):
    """Over all tokenizations; and the canonical ones have no more."""
    model, text = byte_model(name), KINDS[name].encode()
    if not model.opening_ids:
        model = byte_model(name, opening=(0,))
    lm, before = asked(model), model.prefix
    base = oracle.prefix_log_prob(lm, before)
    state = beam_state(model, WIDE)
    for size, byte in enumerate(text, start=1):
        state = state << byte
        agrees(state.log_prob, np.array(oracle.prefix_log_prob(lm, before + text[:size]) - base))
    assert score_bytes(model, text)[0].log_prob <= state.log_prob + 1e-5
    whole = oracle.whole_log_prob(lm, before + text) - base
    agrees((state << 256).log_prob, np.array(whole))
    joint = nexts(lambda data: oracle.prefix_log_prob(lm, data), lambda data: whole + base, before + text)
    shares, exact = state.logp_next().log_probs.astype(np.float64), joint - base
    known = exact > -np.inf
    # Relative to each other, since only some of the bytes are asked about.
    agrees(normalised(shares[known]), normalised(exact[known]))


@pytest.mark.parametrize("name", KINDS)
def test_distributions_are_normalised_and_scores_are_their_chain(name):
    model, text = byte_model(name), KINDS[name].encode() * 2
    (scores,), state = score_bytes(model, text), tree_state(model)
    for size, byte in enumerate(text):
        if size or model.opening_ids:
            np.testing.assert_allclose(np.exp(np.asarray(state.logp_next(), np.float64)).sum(), 1, atol=1e-5)
            # Of the mass of the text, what is not canonical behind it is not followed.
            assert state.logp_next()[byte] >= scores.log_probs[size] - 2e-5
        longer = state << byte
        agrees(longer.log_prob - state.log_prob, scores.log_probs[size])
        state = longer


def test_tokens_of_128_bytes():
    """Doubled merges: as many tokens end at a byte as there are, and the longest goes on behind 127 bytes."""
    letters = [b"a" * (1 << power) for power in range(8)]
    merges = tuple((half, half) for half in letters[:-1])
    tokenizer = merges_tokenizer(b"ab", merges)
    model = make_byte_model(loaded_model(tokenizer, vocab_size=512, max_length=512), max_stems=200)
    assert model.longest_token == 128
    lm, (_, encode) = asked(model), oracle.bpe(b"ab", merges)
    text = b"a" * 131 + b"b"
    (scores,), sums = score_bytes(model, text), [0.0]
    sums += np.cumsum(scores.log_probs).tolist()
    for size in (1, 64, 127, 128, 129, 131, 132):
        agrees(sums[size], np.array(oracle.stem_log_prob(lm, text[:size], encode)))


def test_a_beam_through_a_token_of_128_bytes():
    """A place for each byte at which the long token may begin: every prefix is exact."""
    lm = oracle.SmallLM((None, b"a", b"b", b"ab" * 64, None), eos_ids=(4,), opening=(0,), scale=1.0, seed=9)
    text, state = b"ab" * 64 + b"a", oracle_beam(lm, num_candidates=70)
    for size, byte in enumerate(text, start=1):
        state = state << byte
        if size in (127, 128, 129):
            agrees(state.log_prob, np.array(oracle.prefix_log_prob(lm, text[:size])))


@pytest.mark.parametrize("seed", range(3))
def test_random_merges_are_enumerated_and_never_leave_a_text_without_probability(seed):
    rng = np.random.default_rng(seed)
    tokens, merges = [b"a", b"b", b"c"], []
    while len(merges) < 8:
        left, right = (tokens[index] for index in rng.integers(len(tokens), size=2))
        if left + right not in tokens:
            merges.append((left, right))
            tokens.append(left + right)
    tokenizer = merges_tokenizer(b"abc", tuple(merges))
    model = make_byte_model(loaded_model(tokenizer, vocab_size=512, max_length=512), max_stems=4)
    lm, (_, encode) = asked(model), oracle.bpe(b"abc", tuple(merges))
    texts = [bytes(rng.choice(list(b"abc"), size=12).tolist()) for _ in range(4)]
    for text, scores in zip(texts, score_bytes(model, texts), strict=True):
        assert np.isfinite(scores.log_probs).all() and (scores.log_probs <= 0).all()
        exact = oracle.stem_log_prob(lm, text, encode)
        assert scores.log_prob <= exact + 1e-5
        if not scores.dropped:
            agrees(scores.log_prob, np.array(exact))


def test_samples_of_trees_have_the_frequencies_of_the_model():
    """Chi-square of one byte behind a text against its exact shares."""
    model = byte_model()
    lm, (_, encode) = asked(model), oracle.bpe(b"abc", MERGES)

    def prefix(text):
        return oracle.stem_log_prob(lm, text, encode) if set(text) <= set(b"abc") else -np.inf

    joint = oracle.next_byte_log_probs(prefix, oracle.stem_whole_log_prob(lm, b"ab", encode), b"ab")
    probs = np.exp(normalised(joint))
    state, number = tree_state(model, b"ab"), 400
    drawn = [state.sample(b"", 1, rng=key) for key in jax.random.split(jax.random.key(8), number)]
    counts = {text: drawn.count(text) for text in (b"a", b"b", b"c", b"")}
    assert sum(counts.values()) == number
    means = {text: number * probs[text[0] if text else 256] for text in counts}
    statistic = sum((counts[text] - mean) ** 2 / mean for text, mean in means.items())
    assert statistic < 16.3  # 3 degrees of freedom: 99.9% lie below


@pytest.mark.parametrize(
    ("normalizer", "text", "told"),
    [(hf.normalizers.NFC(), "cafe\u0301", "NFC"), (hf.normalizers.Lowercase(), "The", "case")],
    ids=["composed", "lower case"],
)
def test_a_normalizer_that_changes_bytes_is_told(normalizer, text, told):
    backend = hf.Tokenizer(hf.models.BPE())
    backend.normalizer, backend.pre_tokenizer = normalizer, hf.pre_tokenizers.ByteLevel(False)
    backend.decoder = hf.decoders.ByteLevel()
    alphabet = sorted(hf.pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(
        ["the cat"], hf.trainers.BpeTrainer(vocab_size=258, initial_alphabet=alphabet, show_progress=False)
    )
    backend.add_special_tokens(["<|endoftext|>"])
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    model = make_byte_model(loaded_model(tokenizer, vocab_size=512, max_length=512))
    assert np.isfinite(score_bytes(model, "caf")[0].log_prob)
    with pytest.raises(UsageError, match=told) as caught:
        score_bytes(model, text)
    assert "\n" not in str(caught.value)
