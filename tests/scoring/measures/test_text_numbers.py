"""Counts and rates of texts, against Python's own `split` and `encode`."""

import math
import random

import numpy as np
import pytest

from jaxlm.scoring.measures import _text_numbers
from jaxlm.scoring.measures._text_numbers import count_words, count_words_of, counts, text_numbers

# All that `str.split` takes for white space in ASCII, some that it does beyond, and some that it does not.
SYMBOLS = "ab\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x00\x7f\x85\xa0\u2003é漢"


def texts(num_symbols):
    draw = random.Random(num_symbols)
    lengths = [0, 1, 1, 2, 3, 10, 300] * 20
    return ["".join(draw.choices(SYMBOLS[:num_symbols], k=length)) for length in lengths]


@pytest.mark.parametrize("num_symbols", [2, 12, len(SYMBOLS)])
def test_words_of_many_texts_are_those_of_each(num_symbols):
    many = texts(num_symbols)
    assert count_words_of(many) == [len(text.split()) for text in many]
    assert count_words_of(many[:1]) == [0] and count_words_of([]) == []


def test_a_long_text_is_counted_in_parts(monkeypatch):
    monkeypatch.setattr(_text_numbers, "CHARACTERS_AT_ONCE", 7)
    for text in texts(len(SYMBOLS)):
        assert count_words(text) == len(text.split()) == count_words_of([text])[0]
        assert counts(text, 0, 0)["num_bytes"] == len(text.encode())


def test_rates_follow_from_the_counts():
    log_probs = np.log(np.array([0.5, 0.25, 0.125], np.float32))
    row = text_numbers("to bé", "total", log_probs, 3, is_whole=True)
    assert (row["num_words"], row["num_bytes"], row["num_tokens"], row["num_scored"]) == (2, 6, 3, 3)
    assert row["total"] == pytest.approx(-6 * math.log(2))
    assert row["perplexity"] == pytest.approx(4) and row["word_perplexity"] == pytest.approx(8)
    assert row["byte_perplexity"] == pytest.approx(2) and row["bits_per_byte"] == pytest.approx(1)
    assert row == text_numbers("to bé", "total", log_probs, 3, is_whole=True, num_words=2)
    part = text_numbers("to bé", "total", log_probs, 3, is_whole=False)
    assert (part["word_perplexity"], part["byte_perplexity"], part["bits_per_byte"]) == (None, None, None)


def test_what_is_beyond_a_float_is_infinite_and_nothing_has_no_perplexity():
    assert text_numbers("a", "total", np.array([-1e4]), 1, is_whole=True)["perplexity"] == math.inf
    assert text_numbers("", "total", np.zeros(0), 0, is_whole=True)["perplexity"] is None
