"""Beam search in one compiled loop. The beams of a prompt are branches of a tree in one row of the cache.

The keys and values of a prompt are computed and stored once. The new token of each beam is a node of the tree
in a slot of its own after the prompt, so that dropping, keeping or forking a beam moves no memory. The search
is the one of transformers: the candidates are the likeliest continuations of all beams by one token, twice as
many as beams (more if several ids end a text). A candidate that ends the text becomes a result if it is among
the best `W`; the best `W` of the others are the next beams.

Letters: `B` prompts, `W` beams, `C` candidates, `P` positions of a prompt, `U` the most new tokens, `V`
vocabulary, `X` any of `W`, `C` and their sum.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm.decoding._cached_rows import context_width
from jaxlm.decoding._token_rules import TokenRules, apply_token_rules, repeat_rules_for_beams
from jaxlm.decoding._tree_cache import TreeCache, extend_tree, tree_log_probs, tree_of_prompts
from jaxlm.typing import Array, Bool, Float, Int

# The score of a candidate that must not be chosen: finite, so that sums with it can still be compared.
IMPOSSIBLE = np.float32(-1e9)
EARLY_STOPPING = (False, True, "never")


class BeamResults(NamedTuple):
    """The best continuation of each prompt.

    Attributes:
      tokens: `Int[B U]`, including the token that ended it.
      log_probs: `Float32[B U]` of each token, nats.
      lengths: `Int[B]` how many tokens a continuation has.
      scores: `Float32[B]` `log-likelihood / length ** length_penalty`.
    """

    tokens: Array
    log_probs: Array
    lengths: Array
    scores: Array


class Paths(NamedTuple):
    """X continuations of each prompt: running beams, candidates or results.

    Attributes:
      scores: `Float32[B X]` log-likelihoods; those of results are divided by the power of their length.
      tokens: `Int[B X U]`.
      log_probs: `Float32[B X U]`.
      lengths: `Int[B X]`.
    """

    scores: Array
    tokens: Array
    log_probs: Array
    lengths: Array


class _SearchState(NamedTuple):
    """The state of a search between two turns.

    Attributes:
      running: the W beams of each prompt.
      ended: the W best results so far.
      is_ended: True where `ended` holds a result, False where that place is still free.
      open: which prompts are still searched.
      improvable: which prompts may still get a better result.
      tree: the tokens that the model has read.
      nodes: the slot of the token before the last one of each beam.
    """

    running: Paths
    ended: Paths
    is_ended: Bool[Array, "B W"]
    open: Bool[Array, " B"]
    improvable: Bool[Array, " B"]
    tree: TreeCache
    nodes: Int[Array, "B W"]


class _SearchRules(NamedTuple):
    """The arguments of `search_beams` that stay the same in all turns."""

    limits: Array
    stops: Array
    length_penalty: Array
    early_stopping: Array
    choice: TokenRules | None


@functools.partial(jax.jit, static_argnames=("model", "max_tokens", "num_beams"))
def search_beams(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    limits: Int[Array, " B"],
    stops: Int[Array, " stops"],
    length_penalty: Float[Array, ""],
    early_stopping: Int[Array, ""],
    choice: TokenRules | None = None,
    *,
    max_tokens: int,
    num_beams: int,
) -> BeamResults:
    """Returns the best continuation of each prompt that beam search finds.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      tokens: `Int[B P]` prompts, padded on the right.
      lengths: `Int[B]` how many tokens of a row are real.
      limits: `Int[B]` the most new tokens of each prompt, at most U.
      stops: `Int[...]` ids that end a continuation.
      length_penalty: `GenerationConfig.length_penalty`.
      early_stopping: the index of `GenerationConfig.early_stopping` in `EARLY_STOPPING`.
      choice: ids that may not or must be chosen; one that must be chosen adds 0 to a beam's score.
      max_tokens: U.
      num_beams: W.

    References:
      Graves, "Sequence Transduction with Recurrent Neural Networks", 2012, https://arxiv.org/abs/1211.3711.
      Wu et al., "Google's Neural Machine Translation System", 2016, https://arxiv.org/abs/1609.08144
        (section 7, length normalisation; the penalty here is the plain power).
    """
    width = context_width(model, tokens.shape[1])
    rules = _SearchRules(limits, stops, length_penalty, early_stopping, choice)
    tree = tree_of_prompts(model, params, tokens, lengths, num_slots=width + max_tokens * num_beams)
    last = tree.depths.max(1)[:, None]
    log_probs = tree_log_probs(model, params, tree, last)
    log_probs = jnp.broadcast_to(log_probs, (tokens.shape[0], num_beams, log_probs.shape[2]))
    search = _first_state(tree, last, limits, max_tokens, num_beams)
    search = _expand(search, log_probs, jnp.zeros((), jnp.int32), rules)

    def turn(carry: tuple[Array, _SearchState]) -> tuple[Array, _SearchState]:
        step, search = carry
        log_probs, search = _read(model, params, search, step, width)
        return step + 1, _expand(search, log_probs, step + 1, rules)

    def unfinished(carry: tuple[Array, _SearchState]) -> Array:
        return (carry[0] + 1 < max_tokens) & carry[1].open.any()

    _, search = jax.lax.while_loop(unfinished, turn, (jnp.zeros((), jnp.int32), search))
    best = jax.tree.map(lambda array: array[:, 0], search.ended)
    return BeamResults(best.tokens, best.log_probs, best.lengths, best.scores)


def _first_state(
    tree: TreeCache, last: Int[Array, "B 1"], limits: Int[Array, " B"], max_tokens: int, num_beams: int
) -> _SearchState:
    """One possible beam of each prompt, so that the first turn finds W beams that differ."""
    shape = (limits.shape[0], num_beams)

    def paths(scores: Array) -> Paths:
        ids = jnp.zeros((*shape, max_tokens), jnp.int32)
        return Paths(scores, ids, jnp.zeros(ids.shape, jnp.float32), jnp.zeros(shape, jnp.int32))

    first = jnp.where(jnp.arange(num_beams) == 0, np.float32(0), IMPOSSIBLE)
    return _SearchState(
        running=paths(jnp.broadcast_to(first[None], shape)),
        ended=paths(jnp.full(shape, IMPOSSIBLE)),
        is_ended=jnp.zeros(shape, bool),
        open=limits > 0,
        improvable=jnp.ones(limits.shape, bool),
        tree=tree,
        nodes=jnp.broadcast_to(last, shape),
    )


def _read(
    model: nn.Module, params: Mapping[str, Any], search: _SearchState, step: Array, width: int
) -> tuple[Array, _SearchState]:
    """Reads the last token of every beam into a slot of its own after the prompt; returns log-probs too."""
    shape = search.running.scores.shape
    own = jnp.broadcast_to(width + step * shape[1] + jnp.arange(shape[1], dtype=jnp.int32)[None], shape)
    tokens = jax.lax.dynamic_index_in_dim(search.running.tokens, step, axis=2, keepdims=False)
    tree = extend_tree(model, params, search.tree, search.nodes, tokens, own, generations=1)
    return tree_log_probs(model, params, tree, own), search._replace(tree=tree, nodes=own)


def _expand(search: _SearchState, log_probs: Array, step: Array, rules: _SearchRules) -> _SearchState:
    """Continues the running beams by their likeliest tokens: some end, and the best W others go on."""
    num_beams = search.running.scores.shape[1]
    candidates, parents = _candidates(search.running, log_probs, step, rules)
    last = jax.lax.dynamic_index_in_dim(candidates.tokens, step, axis=2, keepdims=False)
    hits = jnp.isin(last, rules.stops) | (step + 1 >= rules.limits)[:, None]
    ended, is_ended = _with_ended(search, candidates, hits, num_beams, rules)
    scores, order = jax.lax.top_k(
        jnp.where(hits, candidates.scores + IMPOSSIBLE, candidates.scores), num_beams
    )
    running = _take_paths(candidates, order)._replace(scores=scores)
    parents = jnp.take_along_axis(parents, order, axis=1)
    improvable = search.improvable & _may_improve(running, ended, is_ended, step, rules)
    full = is_ended.all(1) & (rules.early_stopping == EARLY_STOPPING.index(True))
    return search._replace(
        running=running,
        ended=ended,
        is_ended=is_ended,
        open=search.open & improvable & ~full & ~hits.all(1),
        improvable=improvable,
        nodes=_take_parents(search.nodes, parents),
    )


def _candidates(running: Paths, log_probs: Array, step: Array, rules: _SearchRules) -> tuple[Paths, Array]:
    """The C likeliest continuations of all running beams by one token, best first, and their parents."""
    num_rows, num_beams, vocab_size = log_probs.shape
    count = min(max(2, 1 + rules.stops.shape[0]) * num_beams, num_beams * vocab_size)
    scored = log_probs
    if rules.choice is not None:
        flat = log_probs.reshape(-1, vocab_size)
        steps, limits = jnp.full(flat.shape[:1], step), jnp.repeat(rules.limits, num_beams)
        tokens = running.tokens.reshape(flat.shape[0], -1)
        choice = repeat_rules_for_beams(rules.choice, num_beams)
        scored = apply_token_rules(flat, choice, steps, limits, tokens).reshape(log_probs.shape)
    totals = (running.scores[:, :, None] + scored).reshape(num_rows, -1)
    scores, indices = jax.lax.top_k(totals, count)
    parents, tokens = indices // vocab_size, indices % vocab_size
    chosen = jnp.take_along_axis(log_probs.reshape(num_rows, -1), indices, axis=1)
    extended = _take_paths(running, parents)
    return (
        Paths(
            scores,
            jax.lax.dynamic_update_index_in_dim(extended.tokens, tokens.astype(jnp.int32), step, axis=2),
            jax.lax.dynamic_update_index_in_dim(extended.log_probs, chosen, step, axis=2),
            jnp.full_like(extended.lengths, 1) + step,
        ),
        parents,
    )


def _with_ended(
    search: _SearchState, candidates: Paths, hits: Array, num_beams: int, rules: _SearchRules
) -> tuple[Paths, Array]:
    """The W best of the earlier results and of the candidates that ended now among the first W."""
    first = jnp.arange(hits.shape[1]) < num_beams
    joins = hits & first[None] & search.open[:, None]
    scores = candidates.scores / candidates.lengths.astype(jnp.float32) ** rules.length_penalty
    news = candidates._replace(scores=jnp.where(joins, scores, 2 * IMPOSSIBLE))
    merged = jax.tree.map(lambda old, new: jnp.concatenate([old, new], axis=1), search.ended, news)
    _, order = jax.lax.top_k(merged.scores, num_beams)
    is_ended = jnp.take_along_axis(jnp.concatenate([search.is_ended, joins], axis=1), order, axis=1)
    return _take_paths(merged, order), is_ended


def _may_improve(running: Paths, ended: Paths, is_ended: Array, step: Array, rules: _SearchRules) -> Array:
    """Whether the best running beam may still become better than the worst result.

    Its log-likelihood is compared at its present length; with "never" and a penalty that favours long texts,
    at the greatest length that it may reach.
    """
    present = (step + 1).astype(jnp.float32)
    longest = rules.limits.astype(jnp.float32)
    favours = (rules.length_penalty > 0) & (rules.early_stopping == EARLY_STOPPING.index("never"))
    length = jnp.where(favours, longest, present)
    possible = running.scores[:, 0] / length**rules.length_penalty
    worst = jnp.where(is_ended, ended.scores.min(1, keepdims=True), IMPOSSIBLE)
    return (possible[:, None] > worst).any(1)


def _take_paths(paths: Paths, order: Int[Array, "B X"]) -> Paths:
    return Paths(*(_take_parents(array, order) for array in paths))


def _take_parents(array: Array, parents: Int[Array, "B X"]) -> Array:
    return jnp.take_along_axis(array, parents.reshape(*parents.shape, *(1,) * (array.ndim - 2)), axis=1)
