"""What genlm-bytes says of a tiny GPT-2, as `golden/make.py` wrote it down, against beams.

Both sides compute in float32 and the file has four digits behind the point, so that 1e-4 is what they share.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from jaxlm import pretrained
from jaxlm.decoding.bytes import BeamSettings, beam_state, make_byte_model, score_bytes, tree_state

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = json.loads((GOLDEN / "numbers.json").read_text())
CASES = {f"{bytes(case['text'])!r}, {case['num_candidates']}": case for case in NUMBERS["cases"]}
WIDE = [name for name, case in CASES.items() if case["num_candidates"] == 64]


@functools.cache
def opened():
    return make_byte_model(pretrained.load(GOLDEN / "gpt2"))


def as_numbers(row):
    return np.array([-np.inf if number is None else number for number in row])


@pytest.mark.parametrize("name", CASES)
def test_beams_are_those_of_genlm(name):
    """The log-prob of every prefix, and the distributions of 256 bytes and the end."""
    case, model = CASES[name], opened()
    end = model.loaded.text_tokenizer.id("<|endoftext|>")
    assert (model.opening_ids, model.eos_ids) == ((end,), (end,))
    settings = BeamSettings(num_candidates=case["num_candidates"], reserve=False, heal=False)
    state, log_probs = beam_state(model, settings), as_numbers(case["log_probs"])
    for size, expected in enumerate(log_probs):
        np.testing.assert_allclose(state.log_prob, expected, atol=1e-4)
        if expected == -np.inf:
            return
        followers = case["followers"].get(str(size))
        if followers is not None:
            np.testing.assert_allclose(state.logp_next(), as_numbers(followers), atol=1e-4)
        if size + 1 < len(log_probs):
            state = state << case["text"][size]
    assert state.context == bytes(case["text"])


@pytest.mark.parametrize("name", WIDE)
def test_canonical_stems_have_no_more(name):
    case, model = CASES[name], opened()
    (scores,) = score_bytes(model, bytes(case["text"]))
    assert (np.cumsum(scores.log_probs) <= np.array(case["log_probs"][1:]) + 1e-4).all()
    np.testing.assert_allclose(tree_state(model).logp_next(), as_numbers(case["followers"]["0"]), atol=1e-4)


def test_a_small_beam_of_the_file_has_less_than_a_large_one_or_dies():
    """But for " at" and bytes that are tokens of their own, which have few tokenizations."""
    lost = {}
    for text in sorted({name.rsplit(",", 1)[0] for name in CASES}):
        wide, narrow = (CASES[f"{text}, {size}"]["log_probs"] for size in (64, 3))
        assert None not in wide
        pairs = zip(narrow, wide, strict=False)
        lost[text] = any(small is None or small < large - 1e-4 for small, large in pairs)
    assert list(lost.values()) == [" at" not in text for text in lost] and len(lost) == 3
