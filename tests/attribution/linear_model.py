"""A causal model whose logits are linear in the vectors that it reads, so that attributions are known."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxlm import attribution, models, steps

WIDTH, VOCAB = 4, 7
CONFIG = models.TransformerConfig(
    vocab_size=VOCAB, width=WIDTH, depth=1, num_heads=1, causal=True, max_length=8
)


class Sum(nn.Module):
    """The hidden vector of a position is the sum of the vectors up to it; logits are its products."""

    config: models.TransformerConfig = CONFIG

    def setup(self):
        self.table = self.param("table", nn.initializers.normal(1.0), (VOCAB, WIDTH))
        self.kernel = self.param("kernel", nn.initializers.normal(1.0), (WIDTH, VOCAB))

    def token_vectors(self, tokens, segments=None):
        del segments
        return self.table[tokens]

    def logits(self, hidden):
        return hidden @ self.kernel

    def __call__(self, inputs, *, cache=None, **how):
        del how  # a model of one layer has no sites, slots or dropout
        inputs = inputs if isinstance(inputs, models.Inputs) else models.Inputs(tokens=inputs)
        vectors = self.token_vectors(inputs.tokens) if inputs.embeddings is None else inputs.embeddings
        if inputs.segments is not None:
            vectors = vectors * (inputs.segments > 0)[..., None].astype(vectors.dtype)
        return models.Output(jnp.cumsum(vectors, axis=1), {}, cache)


RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(VOCAB, WIDTH)).astype(np.float32)
KERNEL = RNG.normal(size=(WIDTH, VOCAB)).astype(np.float32)
PARAMS = {"table": jnp.asarray(TABLE), "kernel": jnp.asarray(KERNEL)}
# Two predictions of one text, and one of another that is shorter.
TOKENS = np.array([[1, 2, 3, 4], [5, 6, 0, 0]], np.int32)
SEGMENTS = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.int32)
POSITIONS = np.array([[1, 3], [1, -1]], np.int32)
TARGETS = np.array([[3, 0], [2, 0]], np.int32)


def task(**changes):
    """The task of these predictions, all of them explained by their logits."""
    fields = {
        "model": Sum(),
        "params": PARAMS,
        "inputs": models.Inputs(tokens=jnp.asarray(TOKENS), segments=jnp.asarray(SEGMENTS)),
        "predictions": attribution.Predictions(jnp.asarray(POSITIONS), jnp.asarray(TARGETS)),
        "step": "logit",
    }
    return attribution.MethodTask(**{**fields, **changes})


def columns():
    """(row, number, tokens that it sees, target) of every prediction."""
    for row, number in ((0, 0), (0, 1), (1, 0)):
        seen = TOKENS[row, : POSITIONS[row, number] + 1]
        yield row, number, seen, TARGETS[row, number]


def margin(inputs: steps.StepInputs):
    """A step function of one's own: the target's logit less the largest one."""
    return steps.logit(inputs) - inputs.logits.max(-1)
