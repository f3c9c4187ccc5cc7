"""Beam search in one compiled loop, the beams of a prompt as branches of a tree in one row of the cache.

The prompt's keys and values are read and kept once. Each beam's new token is a node of the tree, in a slot
of its own behind them, so that beams that are dropped, kept or forked move no memory. The search is
transformers': candidates are the likeliest continuations of all beams, twice as many as beams (more where
several ids end a text); those that end go to the results if they are among the first `W`, the others go on.

Letters: `B` prompts, `W` beams, `C` candidates, `P` prompt, `T` room for new tokens, `V` vocabulary.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm.decoding._cached_rows import context_width
from jaxlm.decoding._token_rules import Rules, permitted, repeat_rules_for_beams
from jaxlm.decoding._tree_cache import TreeCache, extend_tree, tree_log_probs, tree_of_prompts
from jaxlm.typing import Array, Bool, Float, Int

# The score of what must not be chosen; finite, so that sums of it stay in order.
NEVER = np.float32(-1e9)
EARLY_STOPPING = (False, True, "never")


class Found(NamedTuple):
    """The best continuation of each prompt.

    Attributes:
      tokens: `Int[B T]`, the token that ended it included.
      log_probs: `Float32[B T]` of each token, nats.
      lengths: `Int[B]` how many there are.
      scores: `Float32[B]` log-likelihood over length to the power of the length penalty.
    """

    tokens: Array
    log_probs: Array
    lengths: Array
    scores: Array


class Paths(NamedTuple):
    """Continuations side by side, `X` of a prompt: running beams, candidates or results.

    Attributes:
      scores: `Float32[B X]`; of results divided by the length, of the others log-likelihoods.
      tokens: `Int[B X T]`.
      log_probs: `Float32[B X T]`.
      lengths: `Int[B X]`.
    """

    scores: Array
    tokens: Array
    log_probs: Array
    lengths: Array


class _Search(NamedTuple):
    """Where a search stands: `ended` are the best results, `is_ended` which of them are none yet, `open`
    which prompts go on, `tree` what has been read, and `nodes` the slots that the running beams' last tokens
    follow."""

    running: Paths
    ended: Paths
    is_ended: Bool[Array, "B W"]
    open: Bool[Array, " B"]
    improvable: Bool[Array, " B"]
    tree: TreeCache
    nodes: Int[Array, "B W"]


class _Rules(NamedTuple):
    limits: Array
    stops: Array
    length_penalty: Array
    early_stopping: Array
    choice: Rules | None


@functools.partial(jax.jit, static_argnames=("model", "room", "num_beams"))
def search_beams(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    limits: Int[Array, " B"],
    stops: Int[Array, " N"],
    length_penalty: Float[Array, ""],
    early_stopping: Int[Array, ""],
    choice: Rules | None = None,
    *,
    room: int,
    num_beams: int,
) -> Found:
    """Returns the best continuation of each prompt that a search with `num_beams` beams finds.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      tokens: `Int[B P]` prompts, padded on the right.
      lengths: `Int[B]`.
      limits: `Int[B]` how many tokens a prompt may get, at most T.
      stops: `Int[...]` ids that end a continuation.
      length_penalty: see `GenerationConfig`.
      early_stopping: index in `EARLY_STOPPING` of what `GenerationConfig` has.
      choice: what may not or must be chosen; a token that must is of log-probability 0 in the scores.
      room: T.
      num_beams: W.

    References:
      Graves, "Sequence Transduction with Recurrent Neural Networks", 2012, https://arxiv.org/abs/1211.3711.
      Wu et al., "Google's Neural Machine Translation System", 2016, https://arxiv.org/abs/1609.08144
        (section 7, length normalisation; the penalty here is the plain power).
    """
    width = context_width(model, tokens.shape[1])
    rules = _Rules(limits, stops, length_penalty, early_stopping, choice)
    tree = tree_of_prompts(model, params, tokens, lengths, num_slots=width + room * num_beams)
    last = tree.depths.max(1)[:, None]
    log_probs = tree_log_probs(model, params, tree, last)
    log_probs = jnp.broadcast_to(log_probs, (tokens.shape[0], num_beams, log_probs.shape[2]))
    search = _blank(tree, last, limits, room, num_beams)
    search = _expand(search, log_probs, jnp.zeros((), jnp.int32), rules)

    def turn(carry: tuple[Array, _Search]) -> tuple[Array, _Search]:
        step, search = carry
        log_probs, search = _read(model, params, search, step, width)
        return step + 1, _expand(search, log_probs, step + 1, rules)

    def unfinished(carry: tuple[Array, _Search]) -> Array:
        return (carry[0] + 1 < room) & carry[1].open.any()

    _, search = jax.lax.while_loop(unfinished, turn, (jnp.zeros((), jnp.int32), search))
    best = jax.tree.map(lambda array: array[:, 0], search.ended)
    return Found(best.tokens, best.log_probs, best.lengths, best.scores)


def _blank(tree, last, limits, room, num_beams) -> _Search:
    """One running beam of each prompt, the others impossible: the first turn finds W different ones."""
    shape = (limits.shape[0], num_beams)

    def paths(scores: Array) -> Paths:
        ids = jnp.zeros((*shape, room), jnp.int32)
        return Paths(scores, ids, jnp.zeros(ids.shape, jnp.float32), jnp.zeros(shape, jnp.int32))

    first = jnp.where(jnp.arange(num_beams) == 0, np.float32(0), NEVER)
    return _Search(
        running=paths(jnp.broadcast_to(first[None], shape)),
        ended=paths(jnp.full(shape, NEVER)),
        is_ended=jnp.zeros(shape, bool),
        open=limits > 0,
        improvable=jnp.ones(limits.shape, bool),
        tree=tree,
        nodes=jnp.broadcast_to(last, shape),
    )


def _read(model, params, search: _Search, step: Array, width: int) -> tuple[Array, _Search]:
    """Reads the last token of every beam, each into its own slot behind the prompt."""
    shape = search.running.scores.shape
    own = jnp.broadcast_to(width + step * shape[1] + jnp.arange(shape[1], dtype=jnp.int32)[None], shape)
    tokens = jax.lax.dynamic_index_in_dim(search.running.tokens, step, axis=2, keepdims=False)
    tree = extend_tree(model, params, search.tree, search.nodes, tokens, own, generations=1)
    return tree_log_probs(model, params, tree, own), search._replace(tree=tree, nodes=own)


def _expand(search: _Search, log_probs: Array, step: Array, rules: _Rules) -> _Search:
    """Continues the running beams by their likeliest tokens: some end, W others run on."""
    num_beams = search.running.scores.shape[1]
    candidates, parents = _candidates(search.running, log_probs, step, rules)
    last = jax.lax.dynamic_index_in_dim(candidates.tokens, step, axis=2, keepdims=False)
    hits = jnp.isin(last, rules.stops) | (step + 1 >= rules.limits)[:, None]
    ended, is_ended = _with_ended(search, candidates, hits, num_beams, rules)
    scores, order = jax.lax.top_k(jnp.where(hits, candidates.scores + NEVER, candidates.scores), num_beams)
    running = _taken(candidates, order)._replace(scores=scores)
    parents = jnp.take_along_axis(parents, order, axis=1)
    improvable = search.improvable & _may_improve(running, ended, is_ended, step, rules)
    full = is_ended.all(1) & (rules.early_stopping == EARLY_STOPPING.index(True))
    return search._replace(
        running=running,
        ended=ended,
        is_ended=is_ended,
        open=search.open & improvable & ~full & ~hits.all(1),
        improvable=improvable,
        nodes=_of_parents(search.nodes, parents),
    )


def _candidates(running: Paths, log_probs: Array, step: Array, rules: _Rules) -> tuple[Paths, Array]:
    """The C likeliest continuations of all running beams by one token, best first, and their parents."""
    num_rows, num_beams, vocab_size = log_probs.shape
    count = min(max(2, 1 + rules.stops.shape[0]) * num_beams, num_beams * vocab_size)
    scored = log_probs
    if rules.choice is not None:
        flat = log_probs.reshape(-1, vocab_size)
        steps, limits = jnp.full(flat.shape[:1], step), jnp.repeat(rules.limits, num_beams)
        tokens = running.tokens.reshape(flat.shape[0], -1)
        choice = repeat_rules_for_beams(rules.choice, num_beams)
        scored = permitted(flat, choice, steps, limits, tokens).reshape(log_probs.shape)
    totals = (running.scores[:, :, None] + scored).reshape(num_rows, -1)
    scores, places = jax.lax.top_k(totals, count)
    parents, tokens = places // vocab_size, places % vocab_size
    chosen = jnp.take_along_axis(log_probs.reshape(num_rows, -1), places, axis=1)
    kept = _taken(running, parents)
    return (
        Paths(
            scores,
            jax.lax.dynamic_update_index_in_dim(kept.tokens, tokens.astype(jnp.int32), step, axis=2),
            jax.lax.dynamic_update_index_in_dim(kept.log_probs, chosen, step, axis=2),
            jnp.full_like(kept.lengths, 1) + step,
        ),
        parents,
    )


def _with_ended(search: _Search, candidates: Paths, hits, num_beams, rules) -> tuple[Paths, Array]:
    """The W best of the results and of the candidates that just ended among the first W."""
    first = jnp.arange(hits.shape[1]) < num_beams
    joins = hits & first[None] & search.open[:, None]
    scores = candidates.scores / candidates.lengths.astype(jnp.float32) ** rules.length_penalty
    news = candidates._replace(scores=jnp.where(joins, scores, 2 * NEVER))
    merged = jax.tree.map(lambda old, new: jnp.concatenate([old, new], axis=1), search.ended, news)
    _, order = jax.lax.top_k(merged.scores, num_beams)
    is_ended = jnp.take_along_axis(jnp.concatenate([search.is_ended, joins], axis=1), order, axis=1)
    return _taken(merged, order), is_ended


def _may_improve(running: Paths, ended: Paths, is_ended: Array, step: Array, rules: _Rules) -> Array:
    """Whether the best running beam, at its present length, may still be better than the worst result.

    With "never" and a penalty that favours length, the length is the longest that it may reach.
    """
    present = (step + 1).astype(jnp.float32)
    longest = rules.limits.astype(jnp.float32)
    favours = (rules.length_penalty > 0) & (rules.early_stopping == EARLY_STOPPING.index("never"))
    length = jnp.where(favours, longest, present)
    possible = running.scores[:, 0] / length**rules.length_penalty
    worst = jnp.where(is_ended, ended.scores.min(1, keepdims=True), NEVER)
    return (possible[:, None] > worst).any(1)


def _taken(paths: Paths, order: Int[Array, "B X"]) -> Paths:
    return Paths(*(_of_parents(array, order) for array in paths))


def _of_parents(array: Array, parents: Int[Array, "B X"]) -> Array:
    return jnp.take_along_axis(array, parents.reshape(*parents.shape, *(1,) * (array.ndim - 2)), axis=1)
