"""What a model says behind the stems of a text: computed for few numbers of contexts at once.

Letters: `M` nodes, `K` live stems, `V` vocabulary; `blocks` are those of a pyramid of masses.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._stem_programs import end_log_masses
from jaxlm.decoding.bytes._trie import ByteTrie, mass_pyramid, next_byte_log_masses, node_log_masses
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int

LMNode = Any  # a context of `CachedLM.node`


NO_FIRST_BYTE = (
    "no byte has been read, and this model has no token that begins texts: write some, or give "
    "make_byte_model an opening"
)


class Forecast(NamedTuple):
    """What the model says behind a stem.

    Attributes:
      log_probs: `Float[V]` of the next id, on the host.
      pyramid: `Float[blocks]` of the ids that count.
      end: the log-prob that the text ends.
    """

    log_probs: Float[np.ndarray, " V"]
    pyramid: Float[Array, " blocks"]
    end: float


class Stem(NamedTuple):
    """A stem that the bytes so far may go on from.

    Attributes:
      node: its context in the cache.
      log_prob: of the stem, in nats.
      trie_node: the node of the bytes behind it.
      forecast: None: the model was not asked yet.
    """

    node: LMNode
    log_prob: float
    trie_node: int
    forecast: Forecast | None = None


def check_depths(byte_model: ByteModel, nodes: Sequence[LMNode]) -> None:
    """Refuses contexts that are longer than the model reads.

    Args:
      byte_model: the model.
      nodes: its contexts, one or more.

    Raises:
      UsageError: if a context, with the opening, has more tokens than the model reads.
    """
    longest, reads = max(node.depth for node in nodes), models.longest_text(byte_model.model.config)
    if longest > reads:
        raise UsageError(
            f"the text has {longest} tokens with the opening and the model reads at most {reads}: shorten it"
        )


def forecasts(
    byte_model: ByteModel, nodes: Sequence[LMNode], rows: Sequence[np.ndarray] | None
) -> list[Forecast]:
    """Returns what the model says behind each context. Few numbers of contexts are compiled for.

    Args:
      byte_model: the model.
      nodes: its contexts, one or more.
      rows: the log-probs `Float32[V]` behind each context, if they are known. None: the model computes them.

    Raises:
      UsageError: if a context is longer than the model reads.
    """
    others = [node for node in nodes if node.depth]
    if others and len(others) < len(nodes):
        # The model is not asked about the empty context.
        of_others = iter(forecasts(byte_model, others, rows))
        return [next(of_others) if node.depth else forecasts(byte_model, [node], None)[0] for node in nodes]
    padded = [*nodes, *[nodes[0]] * (ops.bucket(len(nodes)) - len(nodes))]
    if not others:
        log_probs = jnp.asarray(byte_model.first_log_probs[None])
    elif rows is None:
        check_depths(byte_model, nodes)
        log_probs = byte_model.lm.log_probs_batch(padded)
    else:
        log_probs = jnp.asarray(np.stack([*rows, *[rows[0]] * (len(padded) - len(rows))]))
    allowed = None
    if byte_model.settings.probability == "canonical":
        root = byte_model.lm.node(byte_model.opening_ids)
        lasts = (None if node is root else node.token for node in padded)
        allowed = jnp.asarray(np.stack([byte_model.can_follow(last) for last in lasts]))
    eos = jnp.asarray(np.array(byte_model.eos_ids, np.int32))
    pyramids, ends = _forecast_arrays(byte_model.trie, log_probs, eos, allowed)
    parts = zip(np.asarray(log_probs), pyramids, np.asarray(ends).tolist(), strict=True)
    return [Forecast(*part) for part in parts][: len(nodes)]


@jax.jit
def _forecast_arrays(
    trie: ByteTrie, log_probs: Float[Array, "M V"], eos: Int[Array, " E"], allowed: Bool[Array, "M V"] | None
) -> tuple[tuple[Float[Array, " blocks"], ...], Float[Array, " M"]]:
    ends = end_log_masses(log_probs, eos)
    counted = log_probs if allowed is None else jnp.where(allowed, log_probs, -jnp.inf)
    return tuple(mass_pyramid(trie, counted)), ends


def next_masses(byte_model: ByteModel, stems: Sequence[Stem]) -> np.ndarray:
    """Returns the log-mass of each next byte behind each stem, `Float64[K 256]`, in nats."""
    if not stems:
        return np.zeros((0, 256))
    pyramids = [stem.forecast.pyramid for stem in stems if stem.forecast is not None]
    filler = ops.bucket(len(stems)) - len(stems)
    nodes = np.array([*(stem.trie_node for stem in stems), *[-1] * filler], np.int32)
    computed = _stacked_next_masses(byte_model.trie, (*pyramids, *[pyramids[0]] * filler), jnp.asarray(nodes))
    return np.asarray(computed)[: len(stems)].astype(np.float64)


@jax.jit
def _stacked_next_masses(
    trie: ByteTrie, pyramids: tuple[Float[Array, " blocks"], ...], nodes: Int[Array, " K"]
) -> Float[Array, "K 256"]:
    return next_byte_log_masses(trie, jnp.stack(pyramids), nodes)


@jax.jit
def node_mass(trie: ByteTrie, pyramid: Float[Array, " blocks"], node: Int[Array, ""]) -> Float[Array, ""]:
    """Returns the log-mass below a node of the trie, in nats.

    Args:
      trie: of the vocabulary.
      pyramid: the masses behind one context, from `mass_pyramid`.
      node: the node; -1 has the mass -inf.
    """
    return node_log_masses(trie, pyramid, jnp.asarray(node, jnp.int32))
