"""One prediction of one text at a time: the slow and plain way to what attribution computes together."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, steps

LENGTH = 16


def ids(text):
    return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


def padded(tokens):
    """A row of ids and its segments."""
    row, segments = (np.zeros((1, LENGTH), np.int32) for _ in range(2))
    row[0, : len(tokens)], segments[0, : len(tokens)] = tokens, 1
    return jnp.asarray(row), jnp.asarray(segments)


@functools.lru_cache
def programs(model, step):
    """The value of one prediction, and its gradient, as functions of the vectors of a padded row."""

    def value(vectors, params, segments, source_segments, position, target, other):
        own, source = vectors
        encoder = None if source is None else models.Inputs(embeddings=source, segments=source_segments)
        inputs = models.Inputs(embeddings=own, segments=segments, encoder=encoder)
        hidden = model.apply({"params": params}, inputs).hidden[0, position]
        logits = model.apply({"params": params}, hidden, method="logits")
        return steps.step_function(step)(steps.StepInputs(logits, target, logits, other))

    return jax.jit(value), jax.jit(jax.grad(value))


class OnePrediction:
    """A prediction after a prefix (causal), at a mask, or after what a decoder has written."""

    def __init__(self, loaded, step, tokens, position, target, other=0, source=None):
        """The tokens are those that the prediction sees: of a causal model a prefix."""
        self.value_of, self.gradient_of = programs(loaded.model, step)
        row, segments = padded(tokens)
        encoded = (None, None) if source is None else padded(source)
        self.vectors = tuple(
            None
            if one is None
            else loaded.model.apply({"params": loaded.params}, one, method="token_vectors")
            for one in (row, encoded[0])
        )
        self.lengths = len(tokens), 0 if source is None else len(source)
        numbers = (jnp.int32(number) for number in (position, target, other))
        self.rest = (loaded.params, segments, encoded[1], *numbers)

    def value(self, vectors=None):
        return float(self.value_of(self.vectors if vectors is None else vectors, *self.rest))

    def gradient(self, vectors=None):
        """`[L, D]` of each side, without padding."""
        sides = self.gradient_of(self.vectors if vectors is None else vectors, *self.rest)
        return [
            None if one is None else np.asarray(one)[0, :num]
            for one, num in zip(sides, self.lengths, strict=True)
        ]

    def input(self):
        return [
            None if one is None else np.asarray(one)[0, :num]
            for one, num in zip(self.vectors, self.lengths, strict=True)
        ]

    def scaled(self, factor):
        """The vectors on the way from zero."""
        return tuple(None if one is None else one * factor for one in self.vectors)

    def without(self, side, index, replacement=0.0):
        """The vectors with one of them replaced."""
        changed = list(self.vectors)
        changed[side] = changed[side].at[0, index].set(replacement)
        return tuple(changed)


def loop(method, one):
    """What a method gives for one prediction by its definition: a column of each side."""
    if method == "saliency":
        return [None if g is None else np.linalg.norm(g, axis=-1) for g in one.gradient()]
    if method == "input_x_gradient":
        pairs = zip(one.gradient(), one.input(), strict=True)
        return [None if g is None else (g * x).sum(-1) for g, x in pairs]
    if method == "integrated_gradients":
        points, weights = np.polynomial.legendre.leggauss(3)
        total = [0.0, 0.0]
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            gradients = one.gradient(one.scaled(np.float32(point)))
            total = [
                None if g is None else t + weight * (g * x).sum(-1)
                for t, g, x in zip(total, gradients, one.input(), strict=True)
            ]
        return total
    value = one.value()
    columns = [
        None if vectors is None else np.array([value - one.value(one.without(side, i)) for i in range(num)])
        for side, (vectors, num) in enumerate(zip(one.vectors, one.lengths, strict=True))
    ]
    assert method == "occlusion"
    return columns
