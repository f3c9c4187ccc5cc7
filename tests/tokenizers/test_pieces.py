import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.tokenizers._byte_level import CONTINUATION, to_symbols
from jaxlm.tokenizers._pieces import ALPHABET, train_pieces

COUNTS = st.dictionaries(st.text("abé", min_size=1, max_size=6), st.integers(1, 9), max_size=6)


def split(pretoken, merges):
    """Slow and obvious: each merge in turn, everywhere, left to right."""
    first, *others = to_symbols(pretoken)
    pieces = [first, *(CONTINUATION + symbol for symbol in others)]
    for left, right in merges:
        place = 0
        while place < len(pieces) - 1:
            if (pieces[place], pieces[place + 1]) == (left, right):
                pieces[place : place + 2] = [left + right.removeprefix(CONTINUATION)]
            place += 1
    return pieces


def pairs(counts, merges):
    found = {}
    for pretoken, count in counts.items():
        pieces = split(pretoken, merges)
        for pair in itertools.pairwise(pieces):
            found[pair] = found.get(pair, 0) + count
    return found


@given(COUNTS, st.integers(0, 6))
def test_each_merge_is_a_most_frequent_pair(counts, num_merges):
    merges = train_pieces(counts, num_merges)
    for place, merge in enumerate(merges):
        found = pairs(counts, merges[:place])
        assert found[merge] == max(found.values())


@given(COUNTS)
def test_with_room_enough_what_is_seen_twice_is_whole(counts):
    merges = train_pieces(counts, 1000)
    for pretoken, count in counts.items():
        if count > 1:
            assert split(pretoken, merges) == [to_symbols(pretoken)]


@pytest.mark.parametrize(("counts", "num_merges"), [({}, 5), ({"mov": 9}, 0)])
def test_nothing_to_merge(counts, num_merges):
    assert train_pieces(counts, num_merges) == []


def test_the_alphabet_tells_first_bytes_from_others():
    assert ALPHABET.count("m") == 1
    assert ALPHABET.count(CONTINUATION + "m") == 1
