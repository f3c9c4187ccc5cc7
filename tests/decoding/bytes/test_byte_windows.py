"""Texts in windows: with bytes as tokens those of tokens, with merges those of the enumeration."""

import numpy as np
import pytest

from jaxlm import scoring
from jaxlm.decoding.bytes import make_byte_model, score_bytes
from jaxlm.decoding.bytes._byte_windows import WindowSettings, windows_of
from jaxlm.decoding.bytes._stem_tree import stem_tree
from jaxlm.errors import UsageError
from tests.decoding.bytes import oracle
from tests.decoding.bytes.small_models import MERGES, asked, byte_model, loaded_model, merges_tokenizer

TOKENS, ENCODE = oracle.bpe(b"abc", MERGES)
LETTERS = b"abacabbacababbcabaabcbacabbabaca"


def answers(lm, tokens):
    """The log-probs `[V]` behind each token, of a model that reads these alone."""
    alone = type(lm)(*lm)._replace(opening=())
    return [alone.log_probs(tokens[: size + 1]) for size in range(len(tokens))]


@pytest.mark.parametrize(("length", "context"), [(4, 3), (5, 2), (6, 6), (7, 2)])
@pytest.mark.parametrize("bos", ["document", "window"])
def test_with_bytes_as_tokens_windows_are_those_of_tokens(length, context, bos):
    model = byte_model("bytes", opening=(258,), eos_ids=(257,))
    text = b"to be or not to be"
    stream = [258, *text, 257]
    expected = np.zeros(len(stream))
    for window in scoring.windows(len(stream), length, context, opened=bos == "window"):
        lead = [258] if window.opened else []
        read = tuple(lead + stream[window.start : window.end])
        log_probs = answers(asked(model), read)
        for token in range(window.first, window.end + 1):
            expected[token] = log_probs[len(lead) + token - 1 - window.start][stream[token]]
    (scores,) = score_bytes(model, text, window=length, context=context, bos=bos)
    np.testing.assert_allclose(scores.log_probs, expected[1:-1], atol=1e-5)
    np.testing.assert_allclose(scores.end_log_prob, expected[-1], atol=1e-5)


@pytest.mark.parametrize(("length", "context"), [(8, 4), (6, 3), (12, 6)])
@pytest.mark.parametrize("bos", ["document", "window"])
def test_windows_of_merges_are_enumerated(length, context, bos):
    """Behind its first token, a window is a text of its own."""
    model = byte_model()
    opening = model.opening_ids if bos == "window" else ()
    tree = stem_tree(model.encoder, LETTERS, model.opening_ids)
    windows = list(windows_of(tree, len(LETTERS), WindowSettings(length, context, opening)))
    assert [window.first for window in windows[1:]] == [window.stop for window in windows[:-1]]
    assert windows[-1].has_end and windows[-1].stop == len(LETTERS) and len(windows) > 1
    (scores,) = score_bytes(model, LETTERS, window=length, context=context, bos=bos)
    assert scores.num_windows == len(windows)
    for window in windows:
        assert window.tree.depths.max() < length
        first = window.tree.tokens[: window.tree.root + 1].tolist()
        lm = asked(model)._replace(opening=tuple(first))
        ends = range(window.first, window.stop + 1)
        joint = [oracle.stem_log_prob(lm, LETTERS[window.start : end], ENCODE) for end in ends]
        np.testing.assert_allclose(scores.log_probs[window.first : window.stop], np.diff(joint), atol=1e-5)
    whole = oracle.stem_whole_log_prob(lm, LETTERS[window.start :], ENCODE)
    np.testing.assert_allclose(scores.end_log_prob, whole - joint[-1], atol=1e-5)


@pytest.mark.parametrize("name", ["byte-level", "Llama", "unigrams and bytes"])
def test_every_byte_has_one_window(name):
    model = byte_model(name)
    text = "the cats' hats, naïve café 漢字 👩‍👩‍👧 12345\n\n  def f(self):\n  return it's\t zzz"
    (whole,) = score_bytes(model, text)
    for length, context in ((12, 6), (24, 1), (100, 50)):
        (scores,) = score_bytes(model, text, window=length, context=context)
        assert scores.log_probs.shape == whole.log_probs.shape == (len(text.encode()),)
        assert np.isfinite(scores.log_probs).all() and (scores.log_probs <= 0).all()
        assert (scores.num_windows > 1) == (length < 100)
    (same,) = score_bytes(model, text, window=500)
    np.testing.assert_array_equal(same.log_probs, whole.log_probs)


def test_what_fits_is_read_in_one_window():
    """The model reads 8 tokens: the opening and seven more, of which the last predicts the end."""
    model = make_byte_model(loaded_model(merges_tokenizer(), max_length=8))
    fits, does_not = score_bytes(model, [b"ccccccc", b"cccccccc"])
    assert (fits.num_windows, does_not.num_windows) == (1, 2)
    (alone,) = score_bytes(byte_model(), b"ccccccc")
    assert alone.num_windows == 1
    with pytest.raises(
        UsageError, match="text 1 has 9 tokens with the opening and the model reads at most 8"
    ):
        score_bytes(model, [b"ccccccc", b"cccccccc"], long="error")


def test_what_cannot_be_written_has_no_probability_in_later_windows():
    text = b"aaa aaaa aaa " + "漢".encode()[:1] + b"aaa aaaa aaa aaa"
    (scores,) = score_bytes(byte_model("unigrams"), text, window=6, context=2)
    first = int(np.flatnonzero(scores.log_probs == -np.inf)[0])
    assert (scores.log_probs[first:] == -np.inf).all() and scores.end_log_prob == -np.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 513}, "window: this model reads windows of 1 to 512 tokens: got 513"),
        ({"window": 0}, "window: this model reads windows of 1 to 512 tokens: got 0"),
        ({"window": 8, "context": 9}, "context: expected 1 to the window's 8 tokens, got 9"),
        ({"window": 1, "bos": "window"}, "do not fit a window of 1 tokens: give a larger window"),
    ],
)
def test_windows_are_checked(options, message):
    with pytest.raises(UsageError, match=message):
        score_bytes(byte_model(), b"abacab", **options)
