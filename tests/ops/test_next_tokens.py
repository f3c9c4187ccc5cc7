"""Next tokens against a loop over the documents of each row."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import ops

LENGTH = 9
compiled = jax.jit(ops.next_token_targets)
compiled_predicted = jax.jit(ops.predicted_mask)


@st.composite
def rows(draw):
    """A row of segments of any lengths, numbered from 1, and padding behind them."""
    marks, number = [], 0
    while len(marks) < LENGTH and draw(st.booleans()):
        number += 1
        marks += [number] * draw(st.integers(1, LENGTH))
    marks = (marks + [0] * LENGTH)[:LENGTH]
    return np.array([draw(st.lists(st.integers(1, 50), min_size=LENGTH, max_size=LENGTH)), marks], np.int32)


@settings(deadline=None, max_examples=60)
@given(rows())
def test_no_target_crosses_a_document_and_padding_never_counts(row):
    tokens, segments = row
    targets, loss_mask = (np.asarray(part)[0] for part in compiled(tokens[None], segments[None]))
    for t in range(LENGTH):
        has_next = t + 1 < LENGTH and segments[t] != 0 and segments[t + 1] == segments[t]
        assert loss_mask[t] == has_next
        assert targets[t] == (tokens[t + 1] if has_next else 0)


@settings(deadline=None, max_examples=60)
@given(rows())
def test_a_document_of_n_tokens_has_all_but_its_first_predicted(row):
    _, segments = row
    mask = np.asarray(compiled_predicted(segments[None]))[0]
    for segment in set(segments.tolist()) - {0}:
        places = np.flatnonzero(segments == segment)
        assert not mask[places[0]] and mask[places[1:]].all()
    assert not mask[segments == 0].any()


def test_documents_of_one_token_predict_nothing():
    segments = jnp.array([[1, 2, 3, 4]])
    assert not ops.next_token_targets(segments + 5, segments).loss_mask.any()


def test_rows_of_one_position_are_allowed():
    assert ops.next_token_targets(jnp.ones((2, 1), jnp.int32), jnp.ones((2, 1), jnp.int32)).targets.shape == (
        2,
        1,
    )
