"""Who influences whom through the whole stack, forward and gradient: exactly those whom attention reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import models, ops
from tests.models.conftest import INSTRUCTION

TOKENS = jnp.array([[1, 2, 5, 3, 4, 5, 6, 0, 7, 8]])
SEGMENTS = jnp.array(
    [[1, 1, 1, 1, 2, 2, 2, 0, 3, 0]]
)  # padding inside the row and at its end; a segment of one
CASES = {
    "learned": {"position": "learned"},
    "rotary": {"position": "rotary"},
    "instruction": {"position": INSTRUCTION, "embedding_norm": True},
    "none": {"position": "none", "norm": "rms", "norm_placement": "post"},
    "window": {"position": "rotary", "window": 2, "activation": "swiglu", "use_bias": False},
    "causal": {"position": "rotary", "causal": True, "num_kv_heads": 2, "norm_placement": "post"},
    "causal window": {
        "position": "learned",
        "causal": True,
        "window": 2,
        "num_kv_heads": 1,
        "head": "linear",
    },
    "instruction post": {"position": INSTRUCTION, "norm_placement": "post", "window": 3},
    "scan remat": {"position": "rotary", "causal": True, "scan_layers": True, "remat": True, "norm": "rms"},
}


def reachable(config):
    """[t, s]: whether position s reaches position t along attention and residual streams of every block."""
    segments = np.asarray(SEGMENTS)[0]
    length = len(segments)
    sees = np.eye(length, dtype=bool)
    for query in range(length):
        for key in range(length):
            near = config.window is None or abs(query - key) < config.window
            past = not config.causal or key <= query
            sees[query, key] |= segments[query] == segments[key] != 0 and near and past
    return np.linalg.matrix_power(sees.astype(int), config.depth) > 0


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def case(request, small):
    return small(**CASES[request.param])


def arrays_of(config):
    if isinstance(config.position, models.Instruction):
        return {
            "segments": SEGMENTS,
            "positions": ops.instruction_positions(TOKENS, SEGMENTS, config.position.next_id),
        }
    return {"segments": SEGMENTS}


def test_forward(case):
    length = TOKENS.shape[1]
    changed = jnp.where(
        jnp.eye(length, dtype=bool), jnp.full_like(TOKENS, 9), TOKENS
    )  # row s: token s is changed
    rows = jnp.concatenate([TOKENS, changed])
    arrays = {name: jnp.repeat(array, length + 1, axis=0) for name, array in arrays_of(case.config).items()}
    logits = np.asarray(case.logits(case.variables, rows, **arrays))
    difference = np.abs(logits[1:] - logits[:1]).max(-1).T
    reach = reachable(case.config)
    # A row's products may be summed in another order at another place of the batch: float32 rounding.
    assert difference[~reach].max() < 1e-5
    assert difference[reach].min() > 1e-3


def test_gradient(case):
    vectors = case.model.apply(case.variables, TOKENS, method="token_vectors")
    arrays = arrays_of(case.config)
    directions = jax.random.normal(jax.random.key(1), (case.config.vocab_size,))

    @jax.jit
    def influences(vectors):
        # vmapped below: [t] -> the gradient of a projection of the logits at t with respect to all vectors
        _, pull = jax.vjp(
            lambda v: case.logits(case.variables, embeddings=v, **arrays)[0] @ directions, vectors
        )
        return jax.vmap(lambda pick: jnp.abs(pull(pick)[0]).max(axis=(0, 2)))(jnp.eye(TOKENS.shape[1]))

    gradient = np.asarray(influences(vectors))
    reach = reachable(case.config)
    assert (gradient[~reach] == 0).all()
    assert (gradient[reach] > 1e-5).all()
