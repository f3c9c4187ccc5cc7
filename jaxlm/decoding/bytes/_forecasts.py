"""What a model says behind the stems of a text: computed for few numbers of contexts at once.

The mass of the tokens behind a node of the trie is a sum over an interval of the sorted tokens. That of all
bytes behind the root is computed on the device; intervals of other nodes are short, and summed on the host.

Letters: `M` nodes, `K` live stems, `V` vocabulary; `tokens` are those with bytes, sorted by them.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._host_trie import host_trie
from jaxlm.decoding.bytes._states import LongContextError
from jaxlm.decoding.bytes._stem_programs import end_log_masses
from jaxlm.decoding.bytes._trie import TRIE_ROOT, ByteTrie, mass_pyramid, next_byte_log_masses
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
      leaves: `Float[tokens]` of the ids that count, sorted by their bytes; -inf for others.
      first: `Float[256]` the log-mass of each first byte of the next id.
      end: the log-prob that the text ends.
    """

    log_probs: Float[np.ndarray, " V"]
    leaves: Float[np.ndarray, " tokens"]
    first: Float[np.ndarray, "256"]
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
      LongContextError: if a context, with the opening, has more tokens than the model reads.
    """
    longest, reads = max(node.depth for node in nodes), models.longest_text(byte_model.model.config)
    if longest > reads:
        raise LongContextError(
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
      LongContextError: if a context is longer than the model reads.
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
    leaves, first, ends = _forecast_arrays(byte_model.trie, log_probs, _eos(byte_model), allowed)
    parts = zip(*map(np.asarray, (log_probs, leaves, first)), np.asarray(ends).tolist(), strict=True)
    return [Forecast(*part) for part in parts][: len(nodes)]


@functools.lru_cache(maxsize=8)
def _eos(byte_model: ByteModel) -> Int[Array, " E"]:
    return jnp.asarray(np.array(byte_model.eos_ids, np.int32))


@jax.jit
def _forecast_arrays(
    trie: ByteTrie, log_probs: Float[Array, "M V"], eos: Int[Array, " E"], allowed: Bool[Array, "M V"] | None
) -> tuple[Float[Array, "M tokens"], Float[Array, "M 256"], Float[Array, " M"]]:
    ends = end_log_masses(log_probs, eos)
    counted = log_probs if allowed is None else jnp.where(allowed, log_probs, -jnp.inf)
    roots = jnp.full(log_probs.shape[:1], TRIE_ROOT, jnp.int32)
    first = next_byte_log_masses(trie, mass_pyramid(trie, counted), roots)
    return counted[:, trie.token_ids].astype(jnp.float32), first, ends


def next_masses(byte_model: ByteModel, stems: Sequence[Stem]) -> np.ndarray:
    """Returns the log-mass of each next byte behind each stem, `Float64[K 256]`, in nats.

    Args:
      byte_model: the model.
      stems: those that are live, with forecasts.
    """
    masses, trie = np.full((len(stems), 256), -np.inf), host_trie(byte_model)
    for row, stem in zip(masses, stems, strict=True):
        if stem.forecast is not None and stem.trie_node == TRIE_ROOT:
            row[:] = stem.forecast.first
        elif stem.forecast is not None:
            bytes, starts, ends = trie.children(stem.trie_node)
            if len(bytes):
                row[bytes] = _interval_masses(stem.forecast.leaves, starts, int(ends[-1]))
    return masses


def node_mass(byte_model: ByteModel, forecast: Forecast, node: int) -> float:
    """Returns the log-mass below a node of the trie, in nats.

    Args:
      byte_model: the model.
      forecast: what it says behind a context.
      node: the node.
    """
    start, end = host_trie(byte_model).interval(node)
    return float(_interval_masses(forecast.leaves, np.array([start]), end)[0])


def _interval_masses(leaves: np.ndarray, starts: np.ndarray, end: int) -> np.ndarray:
    """The log-sum-exp of intervals of log-probs, of which each ends where the next one starts."""
    own = leaves[starts[0] : end].astype(np.float64)
    largest = own.max()
    if largest == -np.inf:
        return np.full(len(starts), -np.inf)
    with np.errstate(divide="ignore", under="ignore"):
        return np.log(np.add.reduceat(np.exp(own - largest), starts - starts[0])) + largest
