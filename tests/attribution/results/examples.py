"""Attributions with known numbers."""

import numpy as np

from jaxlm.attribution import Attribution

TOKENS = ("The", " old", " man", " sl", "eeps", ".")


def causal(**changed):
    """Three predictions after a prompt of three tokens: " sl", "eeps" and "."."""
    scores = np.full((6, 3), np.nan, np.float32)
    for column in range(3):
        rows = 3 + column
        scores[:rows, column] = (np.arange(rows) - 1.5) * (0.125 + column)
    ids, positions = np.array([10, 11, 12, 13, 14, 15], np.int32), np.array([3, 4, 5], np.int32)
    values = np.array([0.5, 0.25, 0.125], np.float32)
    own = Attribution(
        tokens=TOKENS,
        token_ids=ids,
        positions=positions,
        targets=ids[3:],
        target_tokens=TOKENS[3:],
        scores=scores,
        step_scores={"entropy": np.array([1.0, 2.0, 3.0], np.float32), "logit": values - 1},
        values=values,
        baseline_values=values / 2,
        completeness_error=np.array([1e-4, 2e-4, 0.0], np.float32),
        method="integrated_gradients",
        settings={"steps": 50, "rule": "left", "baseline": "zero"},
        step_function="probability",
        unit="probability",
        fingerprint="ab" * 32,
        model="./gpt2",
    )
    return own._replace(**changed)


def translation(**changed):
    """Two predictions of an encoder-decoder, whose decoder begins with a token of padding."""
    ids = np.array([0, 7, 8], np.int32)
    target = np.array([[0.5, -0.25], [np.nan, 1.0], [np.nan, np.nan]], np.float32)
    own = Attribution(
        tokens=("<pad>", "▁der", "▁hund"),
        token_ids=ids,
        positions=np.array([1, 2], np.int32),
        targets=ids[1:],
        target_tokens=("▁der", "▁hund"),
        scores=target,
        source_tokens=("▁the", "▁do", "g"),
        source_ids=np.array([3, 4, 5], np.int32),
        source_scores=np.array([[0.25, 0.5], [-0.25, -0.75], [1.0, 0.5]], np.float32),
        method="saliency",
        step_function="logit",
        unit="logit",
    )
    return own._replace(**changed)


def equal(first, second):
    """Whether two attributions have the same fields, arrays bit by bit."""
    return all(_same(getattr(first, name), getattr(second, name)) for name in Attribution._fields)


def _same(first, second):
    if isinstance(first, np.ndarray):
        alike = isinstance(second, np.ndarray) and (first.dtype, first.shape) == (second.dtype, second.shape)
        return alike and first.tobytes() == second.tobytes()
    if isinstance(first, dict):
        return list(first) == list(second) and all(_same(first[name], second[name]) for name in first)
    return type(first) is type(second) and first == second
