"""Random models of each kind over few ids, with rows of unequal texts, padded and alone."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models

KINDS = {"causal": "causal_lm", "masked": "masked_lm", "seq2seq": "seq2seq_lm"}
SIZE = {"vocab_size": 13, "width": 16, "depth": 2, "num_heads": 2, "max_length": 16, "init_std": 0.4}


class Opened(NamedTuple):
    """A model with its parameters."""

    model: object
    params: dict


class Rows(NamedTuple):
    """Padded rows and the same texts alone: each its inputs and positions."""

    inputs: models.Inputs
    positions: jnp.ndarray
    alone: list


@functools.cache
def opened(kind, **changes):
    special = {
        "causal": {"causal": True},
        "masked": {},
        "seq2seq": {"decoder": models.DecoderConfig(start_id=0)},
    }
    config = models.TransformerConfig(**{**SIZE, **special[kind], **changes})
    model = models.build(config, KINDS[kind])
    return Opened(model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"])


TEXTS = (np.array([3, 7, 2, 9, 4, 1]), np.array([5, 8, 11, 6]))
SOURCES = (np.array([2, 12, 5, 7, 10]), np.array([9, 3, 6, 8, 4, 1, 2]))


@functools.cache
def rows(kind):
    """The two texts: a batch that is padded to a length of 8, and each alone."""
    asked = (np.array([2, 4, 5]), np.array([1, 3]))
    sources = SOURCES if kind == "seq2seq" else (None, None)
    alone = [
        (padded([text], None if source is None else [source], 0), jnp.asarray(positions[None], jnp.int32))
        for text, source, positions in zip(TEXTS, sources, asked, strict=True)
    ]
    positions = jnp.array([[2, 4, 5], [1, 3, -1]], jnp.int32)
    return Rows(padded(TEXTS, SOURCES if kind == "seq2seq" else None, 8), positions, alone)


def padded(texts, sources, length):
    length = max(length, max(map(len, texts)))
    source_length = length if length > 7 else 0
    tokens = np.stack([np.pad(text, (0, length - len(text))) for text in texts])
    segments = np.stack([np.arange(length) < len(text) for text in texts])
    inputs = models.Inputs(tokens=jnp.asarray(tokens, jnp.int32), segments=jnp.asarray(segments, jnp.int32))
    return inputs if sources is None else inputs._replace(encoder=padded(sources, None, source_length))


def scores_alone(result, text, length, num):
    """The scores of one text of a batch, without padding: of the tokens and of the predictions."""
    return np.asarray(result)[text, :length, :num]
