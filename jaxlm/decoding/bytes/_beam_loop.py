"""The compiled loop of a beam over bytes: one byte of every text in each turn, all of it on the device.

Letters: `B` texts, `S` slots of a tree, `U` bytes of a text, `V` vocabulary. Axes in words: `contexts`, those
that a text may follow at once: its candidates and their extensions; `blocks`, the entries of a pyramid.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models
from jaxlm.decoding import (
    Sampling,
    TreeCache,
    compact_tree,
    extend_tree,
    free_slots,
    tree_log_probs,
    tree_of_prompts,
)
from jaxlm.decoding.bytes._beam_step import (
    NO_CANDIDATE,
    advance_candidates,
    choose_extensions,
    log_sum_exp,
    next_byte_log_weights,
    text_log_probs,
)
from jaxlm.decoding.bytes._choice import ByteChoice, choose_bytes
from jaxlm.decoding.bytes._ensemble import pool_log_probs
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._trie import TRIE_ROOT, ByteTrie, mass_pyramid
from jaxlm.typing import Array, Float, Int

RUNNING_TEXT, ENDED_TEXT, FULL_TEXT, DEAD_TEXT = 0, 1, 2, 3


class BeamLoop(NamedTuple):
    """Texts that are being written, and the beam of each.

    A context without a candidate has node -1 and base -inf.

    Attributes:
      tree: the tokens that the model has read.
      slots: `Int[B contexts]` the tree's slot of the last token of each context.
      pyramids: `Float[B contexts blocks]` masses of the next token.
      ends: `Float[B contexts]` log-prob that the text ends.
      nodes: `Int[B contexts]` trie nodes.
      bases: `Float[B contexts]` log-probs of contexts, relative to the sum of all weights.
      data: `Int[B U]` the bytes of prompt and text.
      log_probs: `Float[B U]` nats of each new byte, under the model itself; last of the end.
      counts: `Int[B]` how many bytes were read or written.
      status: `Int[B]` RUNNING_TEXT, ENDED_TEXT by the model, FULL_TEXT, or DEAD_TEXT without a candidate.
      utf8: `Int[B]` the state of the characters, where they are to be valid.
      log_kept: `Float[B]` the log of the share of the probability that was never left out.
    """

    tree: TreeCache
    slots: Int[Array, "B contexts"]
    pyramids: Float[Array, "B contexts blocks"]
    ends: Float[Array, "B contexts"]
    nodes: Int[Array, "B contexts"]
    bases: Float[Array, "B contexts"]
    data: Int[Array, "B U"]
    log_probs: Float[Array, "B U"]
    counts: Int[Array, " B"]
    status: Int[Array, " B"]
    utf8: Int[Array, " B"]
    log_kept: Float[Array, " B"]


class BeamRequest(NamedTuple):
    """What is asked for. All fields are arrays, so that other values compile nothing.

    Attributes:
      prompt_lengths: `Int[B]` how many bytes are given.
      limits: `Int[B]` how many bytes prompt and text have at most.
      eos_ids: `Int[eos]` ids that end a text.
      threshold: nats, of candidates and extensions.
      tokens: how the distribution of the next token is changed.
      choice: how a byte is chosen.
    """

    prompt_lengths: Int[Array, " B"]
    limits: Int[Array, " B"]
    eos_ids: Int[Array, " eos"]
    threshold: Float[Array, ""]
    tokens: Sampling
    choice: ByteChoice


@functools.partial(jax.jit, static_argnames=("model", "num_slots", "num_contexts"))
def start_beam_loop(
    model: nn.Module,
    params: Mapping[str, Any],
    trie: ByteTrie,
    opening: Int[Array, "B opening"],
    data: Int[Array, "B U"],
    request: BeamRequest,
    utf8: Int[Array, " B"],
    *,
    num_slots: int,
    num_contexts: int,
) -> BeamLoop:
    """Returns the beams before the first byte: one candidate each, after the opening.

    Args:
      model: a causal LM.
      params: its parameters.
      trie: of the bytes of its tokens, without those that end a text.
      opening: `Int[B opening]` ids before every text.
      data: `Int[B U]` the prompts, padded on the right.
      request: what is asked for.
      utf8: `Int[B]` the state of the characters after each prompt.
      num_slots: S.
      num_contexts: how many a text may follow at once.
    """
    num_rows, length = opening.shape
    tree = tree_of_prompts(
        model, params, opening, jnp.full((num_rows,), length, jnp.int32), num_slots=num_slots
    )
    last = jnp.full((num_rows, 1), length - 1, jnp.int32)
    pyramids, ends = _forecasts(model, params, trie, tree, last, request)
    shape = (num_rows, num_contexts)
    is_first = jnp.arange(num_contexts, dtype=jnp.int32)[None] == 0
    return BeamLoop(
        tree,
        jnp.broadcast_to(last, shape),
        jnp.zeros((*shape, pyramids.shape[-1]), jnp.float32).at[:, :1].set(pyramids),
        jnp.full(shape, -jnp.inf, jnp.float32).at[:, :1].set(ends),
        jnp.broadcast_to(jnp.where(is_first, TRIE_ROOT, NO_CANDIDATE).astype(jnp.int32), shape),
        jnp.broadcast_to(jnp.where(is_first, 0.0, -jnp.inf).astype(jnp.float32), shape),
        data,
        jnp.zeros(data.shape, jnp.float32),
        jnp.zeros((num_rows,), jnp.int32),
        jnp.where(request.limits > 0, RUNNING_TEXT, FULL_TEXT).astype(jnp.int32),
        utf8,
        jnp.zeros((num_rows,), jnp.float32),
    )


class LoopMember(NamedTuple):
    """A model of the loop, all that is static of it.

    Attributes:
      model: a causal LM.
      num_candidates: as for `advance_candidates`.
      num_extensions: as for `choose_extensions`.
      num_duplicates: as for `choose_extensions`.
      reserve: as for `advance_candidates`.
    """

    model: nn.Module
    num_candidates: int
    num_extensions: int
    num_duplicates: int
    reserve: bool


@functools.partial(jax.jit, static_argnames=("members", "pooling"), donate_argnames="loops")
def continue_beam_loops(
    members: tuple[LoopMember, ...],
    params: tuple[Mapping[str, Any], ...],
    tries: tuple[ByteTrie, ...],
    loops: tuple[BeamLoop, ...],
    requests: tuple[BeamRequest, ...],
    weights: Float[Array, " E"],
    num_turns: Int[Array, ""],
    *,
    pooling: str,
) -> tuple[BeamLoop, ...]:
    """Reads or writes a byte of every running text a turn, the same byte in the loops of all members.

    It stops after `num_turns` turns, when every text has ended, and when a tree has no room for another turn.

    Args:
      members: E models; their tokens may differ.
      params: of each.
      tries: of the bytes of each model's tokens.
      loops: the texts so far, of each; their memory is used again.
      requests: what is asked for; the same of each member but for ids and the distribution of tokens.
      weights: `Float[E]` of the members.
      num_turns: a traced number.
      pooling: as for `pool_log_probs`.
    """

    def goes_on(carry: tuple[Array, tuple[BeamLoop, ...]]) -> Array:
        turn, loops = carry
        goes = (turn < num_turns) & (loops[0].status == RUNNING_TEXT).any()
        for member, loop in zip(members, loops, strict=True):
            goes &= ((loop.tree.depths < 0).sum(1, dtype=jnp.int32) >= member.num_extensions).all()
        return goes

    def turn(carry: tuple[Array, tuple[BeamLoop, ...]]) -> tuple[Array, tuple[BeamLoop, ...]]:
        count, loops = carry
        extended = [_extended(*row) for row in zip(members, params, tries, loops, requests, strict=True)]
        # Where a member can read no more, or has no candidate, the text ends for all.
        status = functools.reduce(jnp.maximum, [loop.status for loop in extended])
        is_dead = functools.reduce(jnp.logical_or, [(loop.nodes < 0).all(1) for loop in extended])
        status = jnp.where(is_dead & (status == RUNNING_TEXT), DEAD_TEXT, status)
        rows = [_next_log_probs(trie, loop) for trie, loop in zip(tries, extended, strict=True)]
        log_probs = pool_log_probs(jnp.stack(rows), weights, pooling=pooling)
        results = []
        for member, trie, loop, request in zip(members, tries, extended, requests, strict=True):
            loop, bytes = _with_next_byte(loop._replace(status=status), log_probs, request)
            results.append(_advanced(member, trie, loop, bytes, request))
        return count + 1, tuple(results)

    return jax.lax.while_loop(goes_on, turn, (jnp.zeros((), jnp.int32), loops))[1]


@functools.partial(jax.jit, donate_argnames="loop")
def compact_beam_loop(loop: BeamLoop) -> BeamLoop:
    """Returns the texts with trees that hold the tokens of their candidates alone.

    Args:
      loop: the texts so far; their memory is used again.
    """
    rows = jnp.arange(loop.slots.shape[0], dtype=jnp.int32)[:, None]
    lives = jnp.where(loop.nodes >= 0, loop.slots, loop.tree.num_slots)
    keep = jnp.zeros(loop.tree.depths.shape, bool).at[rows, lives].set(True, mode="drop")
    tree, moved = compact_tree(loop.tree, keep)
    slots = jnp.maximum(jnp.take_along_axis(moved, loop.slots, axis=1, mode="clip"), 0)
    return loop._replace(tree=tree, slots=slots)


def _extended(
    member: LoopMember, params: Mapping[str, Any], trie: ByteTrie, loop: BeamLoop, request: BeamRequest
) -> BeamLoop:
    """The texts with the extensions of their candidates, which take the place of contexts without one."""
    extensions = choose_extensions(
        trie,
        loop.pyramids,
        loop.nodes,
        loop.bases,
        request.threshold,
        num_extensions=member.num_extensions,
        num_duplicates=member.num_duplicates,
    )
    model, num_extensions = member.model, member.num_extensions
    is_running = (loop.status == RUNNING_TEXT)[:, None]
    is_there = (extensions.bases > -jnp.inf) & is_running
    parents = jnp.take_along_axis(loop.slots, extensions.parents, axis=1)
    depths = jnp.take_along_axis(loop.tree.depths, parents, axis=1, mode="clip")
    is_too_long = (is_there & (depths + 1 >= models.longest_text(model.config))).any(1)
    slots = jnp.where(is_there, free_slots(loop.tree, num_extensions), loop.tree.num_slots)
    tree = extend_tree(model, params, loop.tree, parents, extensions.tokens, slots, generations=1)
    pyramids, ends = _forecasts(model, params, trie, tree, jnp.minimum(slots, tree.num_slots - 1), request)
    rows = jnp.arange(slots.shape[0], dtype=jnp.int32)[:, None]
    places = jnp.argsort(loop.nodes >= 0, axis=1, stable=True).astype(jnp.int32)[:, :num_extensions]
    # Nothing is written for an extension that is not there: its place has no candidate.
    nodes = jnp.where(is_there, TRIE_ROOT, NO_CANDIDATE).astype(jnp.int32)
    bases = jnp.where(is_there, extensions.bases, -jnp.inf)
    return loop._replace(
        tree=tree,
        slots=loop.slots.at[rows, places].set(jnp.where(is_there, slots, 0)),
        pyramids=loop.pyramids.at[rows, places].set(pyramids),
        ends=loop.ends.at[rows, places].set(ends),
        nodes=loop.nodes.at[rows, places].set(nodes),
        bases=loop.bases.at[rows, places].set(bases),
        status=jnp.where(is_too_long, FULL_TEXT, loop.status),
        log_kept=loop.log_kept + jnp.where(is_running[:, 0], extensions.kept, 0.0),
    )


def _advanced(
    member: LoopMember, trie: ByteTrie, loop: BeamLoop, bytes: Int[Array, " B"], request: BeamRequest
) -> BeamLoop:
    """The texts with the candidates after a byte."""
    candidates = advance_candidates(
        trie,
        loop.pyramids,
        loop.nodes,
        loop.bases,
        bytes,
        request.threshold,
        num_candidates=member.num_candidates,
        reserve=member.reserve,
    )
    rows = jnp.arange(bytes.shape[0], dtype=jnp.int32)[:, None]
    # Every candidate stays where the masses of its context are.
    places = jnp.where(candidates.slots >= 0, candidates.slots, loop.nodes.shape[1])
    nodes = jnp.full_like(loop.nodes, NO_CANDIDATE).at[rows, places].set(candidates.nodes, mode="drop")
    bases = jnp.full_like(loop.bases, -jnp.inf).at[rows, places].set(candidates.bases, mode="drop")
    kept = jnp.where(loop.status == RUNNING_TEXT, candidates.kept, 0.0)
    return loop._replace(nodes=nodes, bases=bases, log_kept=loop.log_kept + kept)


def _next_log_probs(trie: ByteTrie, loop: BeamLoop) -> Float[Array, "B 257"]:
    """The log-probs of each next byte and the end; all are -inf where there is no candidate."""
    joint = next_byte_log_weights(trie, loop.pyramids, loop.ends, loop.nodes, loop.bases)
    total = log_sum_exp(joint)
    return joint - jnp.where(total > -jnp.inf, total, 0.0)[:, None]


def _with_next_byte(
    loop: BeamLoop, log_probs: Float[Array, "B 257"], request: BeamRequest
) -> tuple[BeamLoop, Int[Array, " B"]]:
    """The texts with one more byte, and that byte: the prompt's, or one that is chosen."""
    steps = loop.counts - request.prompt_lengths
    chosen, utf8 = choose_bytes(log_probs, request.choice, steps, request.limits - loop.counts, loop.utf8)
    rows = jnp.arange(log_probs.shape[0], dtype=jnp.int32)
    at = jnp.minimum(loop.counts, loop.data.shape[1] - 1)
    is_given, is_running = steps < 0, loop.status == RUNNING_TEXT
    symbols = jnp.where(is_given, loop.data[rows, at], chosen)
    is_end = symbols == NUM_BYTES
    is_byte = is_running & (symbols >= 0) & ~is_end
    column = jnp.where(is_running & (symbols >= 0), at, loop.data.shape[1])
    counts = loop.counts + is_byte.astype(jnp.int32)
    status = jnp.where(counts >= request.limits, FULL_TEXT, RUNNING_TEXT)
    status = jnp.where(is_end, ENDED_TEXT, status)
    status = jnp.where(symbols < 0, jnp.where(log_probs.max(1) > -jnp.inf, FULL_TEXT, DEAD_TEXT), status)
    own = log_probs[rows, jnp.maximum(symbols, 0)]
    return (
        loop._replace(
            data=loop.data.at[rows, jnp.where(is_byte, at, loop.data.shape[1])].set(symbols, mode="drop"),
            log_probs=loop.log_probs.at[rows, column].set(own, mode="drop"),
            counts=counts,
            status=jnp.where(is_running, status, loop.status).astype(jnp.int32),
            utf8=jnp.where(is_running & ~is_given, utf8, loop.utf8),
        ),
        jnp.where(is_byte, symbols, 0),
    )


def _forecasts(
    model: nn.Module,
    params: Mapping[str, Any],
    trie: ByteTrie,
    tree: TreeCache,
    slots: Int[Array, "B M"],
    request: BeamRequest,
) -> tuple[Float[Array, "B M blocks"], Float[Array, "B M"]]:
    """The pyramids of the next token after some nodes of the trees, and the log-probs of the text's end."""
    log_probs = tree_log_probs(model, params, tree, slots)
    flat = log_probs.reshape(-1, log_probs.shape[-1])
    as_text, ends = text_log_probs(flat, request.tokens, request.eos_ids, jnp.zeros(flat.shape[:1], bool))
    pyramids = mass_pyramid(trie, as_text)
    return pyramids.reshape(*slots.shape, -1), ends.reshape(slots.shape)
