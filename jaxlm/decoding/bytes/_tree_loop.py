"""The step of generation by trees on the device: for every text one byte, one new token, and the next byte.

The host gives texts their canonical ids, since tokenizers are there; all else of a byte is one program.
Letters: `B` texts, `S` slots of a tree, `L` tokens of a prompt, `V` vocabulary. Axes in words: `stems`, those
that a text may go on from; `blocks`, the entries of a pyramid.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm.decoding import TreeCache, compact_tree, empty_tree, extend_tree, tree_log_probs
from jaxlm.decoding.bytes._beam_step import log_sum_exp, next_byte_log_weights
from jaxlm.decoding.bytes._choice import ByteChoice, choose_bytes
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._stem_programs import end_log_masses
from jaxlm.decoding.bytes._stem_readings import NODES_OF_A_CALL
from jaxlm.decoding.bytes._trie import NO_NODE, TRIE_ROOT, ByteTrie, mass_pyramid, node_log_masses, step_trie
from jaxlm.typing import Array, Bool, Float, Int

# In place of a slot of a stem that is not live; -1 is the context without a token.
NO_SLOT = -2


# An array of B entries, of the host, and inside of programs of the device.
_Row = Any


class TreeLoop(NamedTuple):
    """Texts that are being written, and the live stems of each. Where no stem is, the trie's node is -1.

    Attributes:
      tree: the tokens that the model has read.
      slots: `Int[B stems]` the tree's slot of the last token of each stem.
      pyramids: `Float[B stems blocks]` masses of the next token.
      ends: `Float[B stems]` log-prob that the text ends.
      nodes: `Int[B stems]` trie nodes of the bytes behind each stem.
      bases: `Float[B stems]` log-probs of stems, relative to that of the text.
    """

    tree: TreeCache
    slots: Int[Array, "B stems"]
    pyramids: Float[Array, "B stems blocks"]
    ends: Float[Array, "B stems"]
    nodes: Int[Array, "B stems"]
    bases: Float[Array, "B stems"]


class TreeStems(NamedTuple):
    """The live stems of prompts.

    Attributes:
      slots: `Int[B stems]`; -1: the context without a token.
      nodes: `Int[B stems]` trie nodes; -1: there is no stem.
      bases: `Float[B stems]` relative to the log-prob of the prompt.
    """

    slots: np.ndarray
    nodes: np.ndarray
    bases: np.ndarray


class TreeVocabulary(NamedTuple):
    """What a byte model says about its ids.

    Attributes:
      trie: of their bytes.
      eos: `Int[eos]` the ids that end a text.
      first: `Float[V]` log-probs of the first id of a text, where no opening tells them.
    """

    trie: ByteTrie
    eos: Int[Array, " eos"]
    first: Float[Array, " V"]


class TreeStep(NamedTuple):
    """What the host tells about a step of each text, `Int[B]`, and the base of the new stem, `Float[B]`.

    Attributes:
      bytes: the byte that the text goes on with; -1: none.
      parents: the slot of the new token's parent; -1: the new token is the first.
      tokens: the new token.
      slots: its slot; S: there is no new token.
      trie_nodes: of the bytes behind the new stem: 0 for a stem of all bytes; -1: the stem is not live.
      steps: how many bytes were chosen before.
      bytes_left: how many bytes the text may still get.
      utf8: the state of its characters.
      bases: the new stem's base before the byte; NaN: it follows from its parent's, which is live.
    """

    bytes: _Row
    parents: _Row
    tokens: _Row
    slots: _Row
    trie_nodes: _Row
    steps: _Row
    bytes_left: _Row
    utf8: _Row
    bases: _Row


def empty_step(num_rows: int, num_slots: int) -> TreeStep:
    """Returns a step in which nothing happens to any text.

    Args:
      num_rows: B.
      num_slots: S.
    """
    zeros = np.zeros((6, num_rows), np.int32)
    return TreeStep(
        bytes=np.full(num_rows, -1, np.int32),
        parents=zeros[0],
        tokens=zeros[1],
        slots=np.full(num_rows, num_slots, np.int32),
        trie_nodes=zeros[2],
        steps=zeros[3],
        bytes_left=zeros[4],
        utf8=zeros[5],
        bases=np.full(num_rows, np.nan, np.float32),
    )


class TreeResult(NamedTuple):
    """What the device says after a step.

    Attributes:
      symbols: `Int[B]` the byte chosen, 256 for the text's end, -1 where none may be chosen.
      utf8: `Int[B]` the state of characters after it.
      slots: `Int[B stems]` those of live stems, else -2.
      log_probs: `Float[B]` nats of the symbols.
      bases: `Float[B]` of new stems, relative as those of stems before the step.
      totals: `Float[B]` the log of what the byte's probability is relative to the one before.
      kept: `Float[B]` the log of the share that was not lost to the bound of stems.
      can_go_on: `Bool[B]` whether any symbol has a probability.
    """

    symbols: Int[Array, " B"]
    utf8: Int[Array, " B"]
    slots: Int[Array, "B stems"]
    log_probs: Float[Array, " B"]
    bases: Float[Array, " B"]
    totals: Float[Array, " B"]
    kept: Float[Array, " B"]
    can_go_on: Bool[Array, " B"]


@functools.partial(jax.jit, static_argnames=("model", "num_slots"))
def start_tree_loop(
    model: nn.Module,
    params: Mapping[str, Any],
    vocabulary: TreeVocabulary,
    parents: Int[Array | np.ndarray, "B L"],
    tokens: Int[Array | np.ndarray, "B L"],
    stems: TreeStems,
    allowed: Bool[Array | np.ndarray, "B stems V"] | None,
    *,
    num_slots: int,
) -> TreeLoop:
    """Returns the texts after their prompts: node i of a row is in slot i.

    Args:
      model: a causal LM.
      params: its parameters.
      vocabulary: of the byte model.
      parents: `Int[B L]` slots, -1 for a first token.
      tokens: `Int[B L]`, -1: there is no node.
      stems: the live ones.
      allowed: ids that count behind each stem; None: all.
      num_slots: S.
    """
    num_rows, length = tokens.shape
    columns = jnp.arange(length, dtype=jnp.int32)[None]
    slots = jnp.where(tokens >= 0, columns, num_slots).astype(jnp.int32)
    tree = empty_tree(model, num_rows, num_slots)
    for first in range(0, length, NODES_OF_A_CALL):
        part = slice(first, first + NODES_OF_A_CALL)
        news = (jnp.asarray(array[:, part]) for array in (parents, jnp.maximum(tokens, 0), slots))
        tree = extend_tree(model, params, tree, *news)
    at = jnp.asarray(stems.slots)
    log_probs = tree_log_probs(model, params, tree, jnp.maximum(at, 0))
    is_first = (at < 0)[:, :, None]
    log_probs = jnp.where(is_first, vocabulary.first[None, None], log_probs)
    ends = jnp.where(at < 0, -jnp.inf, end_log_masses(log_probs, vocabulary.eos))
    counted = log_probs if allowed is None else jnp.where(allowed, log_probs, -jnp.inf)
    return TreeLoop(
        tree,
        at,
        mass_pyramid(vocabulary.trie, counted),
        ends,
        jnp.asarray(stems.nodes),
        jnp.asarray(stems.bases),
    )


@functools.partial(jax.jit, static_argnames=("model", "max_stems"), donate_argnames="loop")
def continue_tree_loop(
    model: nn.Module,
    params: Mapping[str, Any],
    vocabulary: TreeVocabulary,
    loop: TreeLoop,
    step: TreeStep,
    choice: ByteChoice,
    allowed: Bool[Array | np.ndarray, "B V"] | None,
    *,
    max_stems: int,
) -> tuple[TreeLoop, TreeResult]:
    """Returns the texts after a byte and a token each, and a symbol to go on with.

    Args:
      model: a causal LM.
      params: its parameters.
      vocabulary: of the byte model.
      loop: the texts so far; their memory is used again.
      step: what the host tells.
      choice: how a symbol is chosen.
      allowed: ids that count behind each new token; None: all.
      max_stems: how many stems a probability is a sum over, besides that of all bytes; there is room for two
        more.
    """
    step, trie = jax.tree.map(jnp.asarray, step), vocabulary.trie
    bases = _new_bases(trie, loop, step)
    moved = step_trie(trie, loop.nodes, jnp.maximum(step.bytes, 0)[:, None])
    nodes = jnp.where(step.bytes[:, None] >= 0, moved, loop.nodes)
    # Those that stay are not judged: behind the stem of all bytes there may be nothing but the text's end.
    goes_on = loop.bases + node_log_masses(trie, loop.pyramids, nodes) > -jnp.inf
    goes_on |= step.bytes[:, None] < 0
    loop = loop._replace(nodes=jnp.where(goes_on, nodes, NO_NODE))
    loop = _with_stems(model, params, vocabulary, loop, step, bases, allowed)
    loop, totals, kept = _bounded(trie, loop, max_stems)
    joint = _next_log_weights(trie, loop)
    total = log_sum_exp(joint)
    log_probs = joint - jnp.where(total > -jnp.inf, total, 0.0)[:, None]
    symbols, utf8 = choose_bytes(log_probs, choice, step.steps, step.bytes_left, step.utf8)
    own = jnp.take_along_axis(log_probs, jnp.maximum(symbols, 0)[:, None], axis=1)[:, 0]
    live = jnp.where(loop.nodes >= 0, loop.slots, NO_SLOT)
    return loop, TreeResult(symbols, utf8, live, own, bases, totals, kept, total > -jnp.inf)


@functools.partial(jax.jit, donate_argnames="loop")
def compact_tree_loop(loop: TreeLoop) -> tuple[TreeLoop, Int[Array, "B S"]]:
    """Returns the texts with trees that hold the tokens of live stems alone, and the new slot of each slot.

    Args:
      loop: the texts so far; their memory is used again.
    """
    rows = jnp.arange(loop.slots.shape[0], dtype=jnp.int32)[:, None]
    lives = jnp.where((loop.nodes >= 0) & (loop.slots >= 0), loop.slots, loop.tree.num_slots)
    keep = jnp.zeros(loop.tree.depths.shape, bool).at[rows, lives].set(True, mode="drop")
    tree, moved = compact_tree(loop.tree, keep)
    slots = jnp.take_along_axis(moved, jnp.maximum(loop.slots, 0), axis=1, mode="clip")
    return loop._replace(tree=tree, slots=jnp.where(loop.slots >= 0, slots, loop.slots)), moved


@functools.partial(jax.jit, static_argnames="model")
def slot_log_prob(
    model: nn.Module,
    params: Mapping[str, Any],
    tree: TreeCache,
    row: Int[Array | np.ndarray, ""],
    slot: Int[Array | np.ndarray, ""],
    token: Int[Array | np.ndarray, ""],
) -> Float[Array, ""]:
    """Returns the log-prob of a token behind one node, which need not be that of a live stem.

    Args:
      model: a causal LM.
      params: its parameters.
      tree: what it has read.
      row: of the tree.
      slot: of the node.
      token: the id.
    """
    nodes = jnp.full((tree.depths.shape[0], 1), slot, jnp.int32)
    return tree_log_probs(model, params, tree, nodes)[row, 0, token]


def _next_log_weights(trie: ByteTrie, loop: TreeLoop) -> Float[Array, "B 257"]:
    """The log-probs of each next byte and the end; a turn for each live stem, since few are."""
    is_live = loop.nodes >= 0
    order = jnp.argsort(~is_live, axis=1, stable=True).astype(jnp.int32)
    rows = jnp.arange(order.shape[0], dtype=jnp.int32)

    def turn(number: Array, joint: Array) -> Array:
        place = order[:, number]
        own = [array[rows, place][:, None] for array in (loop.pyramids, loop.ends, loop.nodes, loop.bases)]
        return jnp.logaddexp(joint, next_byte_log_weights(trie, *own))

    nothing = jnp.full((order.shape[0], NUM_BYTES + 1), -jnp.inf, jnp.float32)
    return jax.lax.fori_loop(0, is_live.sum(1, dtype=jnp.int32).max(), turn, nothing)


def _new_bases(trie: ByteTrie, loop: TreeLoop, step: TreeStep) -> Float[Array, " B"]:
    """The log-probs of new stems: those given, or of the parent and then the token."""
    is_parent = (loop.slots == step.parents[:, None]) & (loop.nodes >= 0)
    place = jnp.argmax(is_parent, axis=1).astype(jnp.int32)
    rows = jnp.arange(place.shape[0], dtype=jnp.int32)
    leaves = jnp.maximum(trie.leaf_of_token[step.tokens], 0) + loop.pyramids.shape[-1] // 2
    return jnp.where(
        jnp.isnan(step.bases), loop.bases[rows, place] + loop.pyramids[rows, place, leaves], step.bases
    )


def _with_stems(
    model: nn.Module,
    params: Mapping[str, Any],
    vocabulary: TreeVocabulary,
    loop: TreeLoop,
    step: TreeStep,
    bases: Float[Array, " B"],
    allowed: Bool[Array | np.ndarray, "B V"] | None,
) -> TreeLoop:
    """The texts with the new token of each, whose stem takes a place that is free."""
    news = [array[:, None] for array in (step.parents, step.tokens, step.slots)]
    tree = extend_tree(model, params, loop.tree, *news, generations=1)
    at = jnp.minimum(step.slots, tree.num_slots - 1)[:, None]
    log_probs = tree_log_probs(model, params, tree, at)[:, 0]
    ends = end_log_masses(log_probs, vocabulary.eos)
    counted = log_probs if allowed is None else jnp.where(allowed, log_probs, -jnp.inf)
    pyramids = mass_pyramid(vocabulary.trie, counted)
    rows = jnp.arange(bases.shape[0], dtype=jnp.int32)
    free = jnp.argmin(loop.nodes >= 0, axis=1).astype(jnp.int32)
    is_live = (step.slots < tree.num_slots) & (step.trie_nodes >= 0) & (bases > -jnp.inf)
    place = jnp.where(is_live, free, loop.nodes.shape[1])
    return TreeLoop(
        tree,
        loop.slots.at[rows, place].set(step.slots, mode="drop"),
        loop.pyramids.at[rows, place].set(pyramids, mode="drop"),
        loop.ends.at[rows, place].set(ends, mode="drop"),
        loop.nodes.at[rows, place].set(step.trie_nodes, mode="drop"),
        loop.bases.at[rows, place].set(bases, mode="drop"),
    )


def _bounded(
    trie: ByteTrie, loop: TreeLoop, max_stems: int
) -> tuple[TreeLoop, Float[Array, " B"], Float[Array, " B"]]:
    """The texts with the likeliest stems, the log of their sum, and the log of their share of all stems."""
    weights = loop.bases + node_log_masses(trie, loop.pyramids, loop.nodes)
    # The stem of all bytes is a part of the others: it takes part in the sum over the next byte.
    is_newest = loop.nodes == TRIE_ROOT
    terms = jnp.where(is_newest | (loop.nodes < 0), -jnp.inf, weights)
    columns = jnp.arange(terms.shape[1], dtype=jnp.int32)
    is_before = columns[None, None, :] < columns[None, :, None]
    above, own = terms[:, None, :], terms[:, :, None]
    ranks = ((above > own) | ((above == own) & is_before)).sum(-1, dtype=jnp.int32)
    stays = (terms > -jnp.inf) & (ranks < max_stems)
    everything, total = log_sum_exp(terms), log_sum_exp(jnp.where(stays, terms, -jnp.inf))
    shift = jnp.where(total > -jnp.inf, total, 0.0)
    kept = jnp.where(total > -jnp.inf, total - everything, 0.0)
    nodes = jnp.where(stays | is_newest, loop.nodes, NO_NODE)
    return loop._replace(nodes=nodes, bases=loop.bases - shift[:, None]), shift, kept
