"""The enumeration that other tests compare with: identities that hold of any language model over bytes."""

import itertools

import numpy as np
import pytest

from tests.decoding.bytes import oracle

MERGES = ((b"a", b"b"), (b"ab", b"a"), (b"b", b"b"), (b"c", b"ab"))
TOKENS, ENCODE = oracle.bpe(b"abc", MERGES)
LM = oracle.SmallLM((*TOKENS, None), eos_ids=(len(TOKENS),), opening=(len(TOKENS),))
TEXTS = [bytes(text) for size in range(4) for text in itertools.product(b"abc", repeat=size)]


def test_byte_pairs_are_merged_by_rank():
    assert [TOKENS[id] for id in ENCODE(b"cababb")] == [b"cab", b"ab", b"b"]
    assert [TOKENS[id] for id in ENCODE(b"aba")] == [b"aba"]
    assert b"".join(TOKENS[id] for id in ENCODE(b"cababbac")) == b"cababbac"


def test_covers_of_a_text_by_hand():
    lm = oracle.SmallLM((b"a", b"ab", b"b", None, b"", b"ab"))
    assert sorted(oracle.covers(lm, b"ab")) == [(0, 2), (1,), (5,)]
    assert sorted(oracle.covers(lm, b"a")) == [(0,), (1,), (5,)]
    assert sorted(oracle.spellings(lm, b"a")) == [(0,)]
    assert list(oracle.covers(lm, b"")) == [()]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_next_bytes_and_the_end_share_the_mass_of_a_text(text):
    joint = oracle.next_byte_log_probs(
        lambda longer: oracle.prefix_log_prob(LM, longer), oracle.whole_log_prob(LM, text), text
    )
    np.testing.assert_allclose(oracle.log_sum(joint), oracle.prefix_log_prob(LM, text), atol=1e-12)


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_fewer_tokenizations_have_less_mass(text):
    canonical = oracle.canonical_log_prob(LM, text, ENCODE)
    stem = oracle.stem_log_prob(LM, text, ENCODE)
    assert canonical <= stem + 1e-12
    assert stem <= oracle.prefix_log_prob(LM, text) + 1e-12
