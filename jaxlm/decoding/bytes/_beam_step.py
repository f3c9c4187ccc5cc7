"""The arithmetic of a beam over bytes: candidates, their extensions, the next byte, and who stays.

A candidate is a context of tokens and a trie node: the bytes of a token that is not finished. Its weight is
the probability of the context times the mass of the node, so that one candidate stands for every way to
finish the token. Where the node spells a whole token, the candidate has an extension: the context with that
token, at the root of the trie. Two candidates never have the same context.

Weights and bases are nats relative to a number that the caller adds up. Letters: `B` rows, `P` leaves of a
pyramid. Axes in words: `candidates`; `extensions`; `slots`, which are candidates and then extensions.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.decoding import Sampling, warp_logits
from jaxlm.decoding.bytes._trie import (
    TRIE_ROOT,
    ByteTrie,
    exact_log_masses,
    next_byte_log_masses,
    node_log_masses,
    step_trie,
)
from jaxlm.typing import Array, Bool, Float, Int

NO_CANDIDATE = -1
# In place of a byte: the candidates stay where they are.
NO_BYTE = -1


class BeamExtensions(NamedTuple):
    """The tokens that finish candidates.

    Attributes:
      parents: `Int[B extensions]` the candidate that each one finishes; meaningless where a base is -inf.
      tokens: `Int[B extensions]` ids.
      bases: `Float[B extensions]` the log-prob of the context with the token; -inf: there is no extension.
      kept: `Float[B]` the log of the share of the probability that the chosen extensions leave, at most 0.
    """

    parents: Int[Array, "B extensions"]
    tokens: Int[Array, "B extensions"]
    bases: Float[Array, "B extensions"]
    kept: Float[Array, " B"]


class BeamCandidates(NamedTuple):
    """The candidates after a byte.

    Attributes:
      slots: `Int[B candidates]` the slot of which a candidate has its context; -1: there is no candidate.
      nodes: `Int[B candidates]` trie nodes, -1 where there is no candidate.
      bases: `Float[B candidates]` the log-prob of each context, relative to the sum of all weights here.
      total: `Float[B]` log-sum-exp of all weights, relative to what the bases before were relative to.
      kept: `Float[B]` the log of the share of the probability that these candidates have, at most 0.
    """

    slots: Int[Array, "B candidates"]
    nodes: Int[Array, "B candidates"]
    bases: Float[Array, "B candidates"]
    total: Float[Array, " B"]
    kept: Float[Array, " B"]


def log_sum_exp(values: Float[Array, "*A terms"]) -> Float[Array, "*A"]:
    """Returns log-sum-exp over the last axis; -inf if all are, without NaN.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes._beam_step import log_sum_exp
      >>> log_sum_exp(jnp.array([[0.0, -jnp.inf], [-jnp.inf, -jnp.inf]])).tolist()
      [0.0, -inf]
    """
    return jax.nn.logsumexp(values, axis=-1)


def choose_extensions(
    trie: ByteTrie,
    pyramids: Float[Array, "B candidates blocks"],
    nodes: Int[Array, "B candidates"],
    bases: Float[Array, "B candidates"],
    threshold: Float[Array, ""],
    *,
    num_extensions: int,
    num_duplicates: int,
) -> BeamExtensions:
    """Returns the likeliest extensions, before the model has seen any of them.

    The probability of an extension bounds that of all that follows from it, so that it may decide. The
    likeliest one is always chosen, whatever the threshold.

    Args:
      trie: of the vocabulary.
      pyramids: `Float[B candidates blocks]` of the candidates' contexts.
      nodes: `Int[B candidates]`, -1: none.
      bases: `Float[B candidates]`.
      threshold: nats; extensions below this share of the probability are left out.
      num_extensions: the most that are chosen.
      num_duplicates: the most tokens that spell the same bytes.
    """
    total = log_sum_exp(bases + node_log_masses(trie, pyramids, nodes))
    offsets = jnp.arange(num_duplicates, dtype=jnp.int32)[None, None]
    at = jnp.maximum(nodes, 0)[:, :, None]
    exists = (nodes >= 0)[:, :, None] & (offsets < trie.num_exact[at])
    leaves = jnp.where(exists, trie.starts[at] + offsets, 0)
    log_probs = jnp.take_along_axis(pyramids, leaves + pyramids.shape[-1] // 2, axis=-1)
    joint = jnp.where(exists, bases[:, :, None] + log_probs, -jnp.inf).reshape(nodes.shape[0], -1)
    filler = max(0, num_extensions - joint.shape[1])
    joint = jnp.pad(joint, ((0, 0), (0, filler)), constant_values=-jnp.inf)
    leaves = jnp.pad(leaves.reshape(nodes.shape[0], -1), ((0, 0), (0, filler)))
    weights, order = jax.lax.top_k(joint, num_extensions)
    is_first = jnp.arange(num_extensions, dtype=jnp.int32)[None] == 0
    is_chosen = (is_first | (weights - total[:, None] > threshold)) & (weights > -jnp.inf)
    rows = jnp.arange(nodes.shape[0], dtype=jnp.int32)[:, None]
    is_lost = jnp.ones(joint.shape, bool).at[rows, order].set(~is_chosen)
    lost = log_sum_exp(jnp.where(is_lost, joint, -jnp.inf))
    return BeamExtensions(
        jnp.where(is_chosen, order // num_duplicates, 0),
        jnp.where(is_chosen, trie.token_ids[jnp.take_along_axis(leaves, order, axis=1)], 0),
        jnp.where(is_chosen, weights, -jnp.inf),
        _log_of_rest(lost - jnp.where(total > -jnp.inf, total, 0.0)),
    )


def advance_candidates(
    trie: ByteTrie,
    pyramids: Float[Array, "B slots blocks"],
    nodes: Int[Array, "B slots"],
    bases: Float[Array, "B slots"],
    bytes: Int[Array, " B"],
    threshold: Float[Array, ""],
    *,
    num_candidates: int,
    reserve: bool,
) -> BeamCandidates:
    """Returns the candidates after a byte: the likeliest ones, and one more that spells a whole token.

    The likeliest candidate stays whatever the threshold. If none of those that stay spells a whole token, the
    likeliest one that does is kept in the last place. It has an extension, which can be followed by any byte
    that is a token, and is a whole token then: so that the beam cannot die.

    Args:
      trie: of the vocabulary.
      pyramids: `Float[B slots blocks]` of the contexts of candidates and extensions.
      nodes: `Int[B slots]`; extensions are at the root; -1: nothing is there.
      bases: `Float[B slots]`.
      bytes: `Int[B]`; -1: the candidates stay where they are, and no extension becomes one.
      threshold: nats; candidates below this share of the probability are left out.
      num_candidates: the most that are kept, without the reserved one.
      reserve: whether a place is reserved for a whole token.
    """
    size = num_candidates + reserve
    reached = jnp.where(bytes[:, None] < 0, nodes, step_trie(trie, nodes, bytes[:, None]))
    weights = jnp.where(reached >= 0, bases + node_log_masses(trie, pyramids, reached), -jnp.inf)
    everything = log_sum_exp(weights)
    filler = ((0, 0), (0, max(0, size - weights.shape[1])))
    padded = jnp.pad(weights, filler, constant_values=-jnp.inf)
    best, order = jax.lax.top_k(padded, size)
    ranks = jnp.arange(size, dtype=jnp.int32)[None]
    stays = (ranks == 0) | ((best - everything[:, None] > threshold) & (ranks < num_candidates))
    stays &= best > -jnp.inf
    if reserve:
        is_whole = jnp.isfinite(bases + exact_log_masses(trie, pyramids, reached))
        is_whole = jnp.pad(is_whole & (weights > -jnp.inf), filler)
        has_whole = (jnp.take_along_axis(is_whole, order, axis=1) & stays).any(1)
        rescued = jnp.argmax(jnp.where(is_whole, padded, -jnp.inf), axis=1).astype(jnp.int32)
        is_rescue = (ranks == size - 1) & (~has_whole & is_whole.any(1))[:, None]
        order = jnp.where(is_rescue, rescued[:, None], order)
        best = jnp.where(is_rescue, jnp.take_along_axis(padded, order, axis=1), best)
        stays |= is_rescue
    total = log_sum_exp(jnp.where(stays, best, -jnp.inf))
    shift = jnp.where(total > -jnp.inf, total, 0.0)
    rows = jnp.arange(nodes.shape[0], dtype=jnp.int32)[:, None]
    is_lost = jnp.ones(padded.shape, bool).at[rows, order].min(~stays)
    lost = log_sum_exp(jnp.where(is_lost, padded, -jnp.inf))
    slots = jnp.minimum(order, weights.shape[1] - 1)
    return BeamCandidates(
        jnp.where(stays, slots, NO_CANDIDATE),
        jnp.where(stays, jnp.take_along_axis(reached, slots, axis=1), NO_CANDIDATE),
        jnp.where(stays, jnp.take_along_axis(bases, slots, axis=1) - shift[:, None], -jnp.inf),
        total,
        _log_of_rest(lost - jnp.where(everything > -jnp.inf, everything, 0.0)),
    )


def next_byte_log_weights(
    trie: ByteTrie,
    pyramids: Float[Array, "B slots blocks"],
    ends: Float[Array, "B slots"],
    nodes: Int[Array, "B slots"],
    bases: Float[Array, "B slots"],
) -> Float[Array, "B 257"]:
    """Returns the joint log-probs of the bytes so far with each next byte, and with the end of the text.

    A text ends where a token does: at a slot at the root.

    Args:
      trie: of the vocabulary.
      pyramids: `Float[B slots blocks]` of the contexts of candidates and extensions.
      ends: `Float[B slots]` the log-prob of the text's end after each context.
      nodes: `Int[B slots]`; extensions are at the root; -1: nothing is there.
      bases: `Float[B slots]`.
    """
    masses = bases[:, :, None] + next_byte_log_masses(trie, pyramids, nodes)
    masses = jnp.where((nodes >= 0)[:, :, None], masses, -jnp.inf)
    ending = jnp.where(nodes == TRIE_ROOT, bases + ends, -jnp.inf)
    joint = jnp.concatenate([masses, ending[:, :, None]], axis=-1)
    return log_sum_exp(jnp.swapaxes(joint, 1, 2))


@functools.partial(jax.jit, static_argnames=("num_candidates", "num_extensions", "num_duplicates", "reserve"))
def advance_rows(
    trie: ByteTrie,
    pool: Float[Array, "R blocks"],
    rows: Int[Array, "B slots"],
    nodes: Int[Array, "B slots"],
    bases: Float[Array, "B slots"],
    bytes: Int[Array, " B"],
    threshold: Float[Array, ""],
    *,
    num_candidates: int,
    num_extensions: int,
    num_duplicates: int,
    reserve: bool,
) -> tuple[BeamCandidates, BeamExtensions]:
    """Returns the candidates after a byte and the extensions that they will have, in one program.

    Args:
      trie: of the vocabulary.
      pool: `Float[R blocks]` pyramids of contexts.
      rows: `Int[B slots]` the pyramid of each slot.
      nodes: `Int[B slots]`, -1: nothing is there.
      bases: `Float[B slots]`.
      bytes: `Int[B]`, -1: the candidates stay where they are.
      threshold: as for both steps.
      num_candidates: as for `advance_candidates`.
      num_extensions: as for `choose_extensions`.
      num_duplicates: as for `choose_extensions`.
      reserve: as for `advance_candidates`.
    """
    pyramids = pool[rows]
    candidates = advance_candidates(
        trie, pyramids, nodes, bases, bytes, threshold, num_candidates=num_candidates, reserve=reserve
    )
    of_candidates = jnp.take_along_axis(pyramids, jnp.maximum(candidates.slots, 0)[:, :, None], axis=1)
    extensions = choose_extensions(
        trie,
        of_candidates,
        candidates.nodes,
        candidates.bases,
        threshold,
        num_extensions=num_extensions,
        num_duplicates=num_duplicates,
    )
    return candidates, extensions


@jax.jit
def next_byte_rows(
    trie: ByteTrie,
    pool: Float[Array, "R blocks"],
    ends: Float[Array, " R"],
    rows: Int[Array, "B slots"],
    nodes: Int[Array, "B slots"],
    bases: Float[Array, "B slots"],
) -> Float[Array, "B 257"]:
    """Returns `next_byte_log_weights` of contexts whose pyramids and ends are in a pool.

    Args:
      trie: of the vocabulary.
      pool: `Float[R blocks]` pyramids of contexts.
      ends: `Float[R]` the log-prob of the text's end after each.
      rows: `Int[B slots]` the pyramid of each slot.
      nodes: `Int[B slots]`, -1: nothing is there.
      bases: `Float[B slots]`.
    """
    return next_byte_log_weights(trie, pool[rows], ends[rows], nodes, bases)


def text_log_probs(
    log_probs: Float[Array, "M V"],
    sampling: Sampling,
    eos_ids: Int[Array, " eos"],
    is_text: Bool[Array, " M"],
) -> tuple[Float[Array, "M V"], Float[Array, " M"]]:
    """Returns the log-probs of tokens as text, and the log-prob that the text ends.

    Args:
      log_probs: `Float[M V]` of the next token.
      sampling: how the distribution is changed before.
      eos_ids: `Int[eos]` ids that end a text.
      is_text: `Bool[M]`, True = in this context such an id is also read as its bytes.
    """
    if any(value is not None for value in sampling):
        log_probs = jax.nn.log_softmax(warp_logits(log_probs, sampling), axis=-1)
    if not eos_ids.shape[0]:
        return log_probs, jnp.full(log_probs.shape[:1], -jnp.inf, jnp.float32)
    without = log_probs.at[:, eos_ids].set(-jnp.inf)
    return jnp.where(is_text[:, None], log_probs, without), log_sum_exp(log_probs[:, eos_ids])


def _log_of_rest(lost: Float[Array, " B"]) -> Float[Array, " B"]:
    """log(1 - exp(lost)) of the log of a share, at most 0."""
    share = jnp.clip(jnp.exp(lost), 0.0, np.float32(1 - 2**-24))
    return jnp.log1p(-share)
