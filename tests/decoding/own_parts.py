"""An embedder, a contextualizer and a head of one's own, by the contracts of `NextTokenModel`."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

VOCAB, WIDTH = 260, 6


class Bag(nn.Module):
    """An embedder: of every token the sum of its own vector and of all before it, padding left out."""

    @nn.compact
    def __call__(self, inputs, *, deterministic):
        del deterministic
        table = self.param("table", nn.initializers.normal(1.0), (VOCAB, WIDTH))
        real = (inputs.segments > 0)[..., None].astype(jnp.float32)
        return jnp.cumsum(table[inputs.tokens] * real, axis=1)


class Words(nn.Module):
    """An embedder whose vectors of single tokens may be given, and whose table a tied head may use."""

    vocab_size: int = VOCAB
    width: int = WIDTH

    def setup(self):
        shape = (self.vocab_size, self.width)
        self.table = self.param("table", nn.initializers.normal(1.0), shape)

    def token_vectors(self, tokens, segments):
        del segments
        return self.table[tokens]

    def token_table(self):
        return self.table

    def __call__(self, inputs, *, deterministic):
        del deterministic
        if inputs.embeddings is None:
            return jnp.tanh(self.token_vectors(inputs.tokens, inputs.segments))
        return jnp.tanh(inputs.embeddings)


class Total(nn.Module):
    """A contextualizer: at every position the real vectors' sum times a parameter, its first features."""

    width: int = WIDTH

    @nn.compact
    def __call__(self, vectors, mask, *, deterministic):
        del deterministic
        scale = self.param("scale", nn.initializers.constant(0.5), ())
        total = (vectors * mask[..., None].astype(vectors.dtype)).sum(1, keepdims=True)
        return (scale * jnp.broadcast_to(total, vectors.shape))[..., : self.width]


class Scores(nn.Module):
    """A head: `vectors @ kernel`."""

    vocab_size: int = VOCAB

    @nn.compact
    def __call__(self, vectors):
        shape = (vectors.shape[-1], self.vocab_size)
        return vectors @ self.param("kernel", nn.initializers.normal(1.0), shape)


class Returns(nn.Module):
    """Any part, which returns what it is told to, whatever it is asked."""

    value: object

    def __call__(self, *_, **__):
        return np.zeros(self.value, np.float32) if isinstance(self.value, tuple) else self.value
