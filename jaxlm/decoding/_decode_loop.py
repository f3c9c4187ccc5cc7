"""The compiled decoding loop: one prefill, then one token of every row in each turn.

Letters: `B` rows, `P` positions of a prompt, `U` the most new tokens, `V` vocabulary.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.decoding._cached_rows import CachedRows, first_token, has_encoder, read_prompts, read_token
from jaxlm.decoding._logits import Sampling, warp_logits
from jaxlm.decoding._token_rules import TokenRules, apply_token_rules
from jaxlm.typing import Array, Bool, Float, Int, Key, UInt32

RUNNING, STOPPED, LENGTH_REACHED = 0, 1, 2


class SamplingRequest(NamedTuple):
    """How tokens are chosen and what ends a row. All fields are arrays, so that new values compile nothing.

    Attributes:
      names: `UInt32[B 2]` what a row's draws depend on, `Prompts.names`.
      limits: `Int[B]` the most tokens that each row may get, at most U.
      stops: `Int[...]` ids that end a row.
      sampling: how the distribution is changed before a token is chosen.
      rng: PRNG key of all draws; None: the likeliest token is taken.
      rules: ids that may not or must be chosen; None: there are no rules.
    """

    names: UInt32[Array, "B 2"]
    limits: Int[Array, " B"]
    stops: Int[Array, " stops"]
    sampling: Sampling
    rng: Key[Array, ""] | None
    rules: TokenRules | None = None


class DecodeState(NamedTuple):
    """The tokens written so far, and what the loop needs to go on.

    Attributes:
      cached: the rows that the model has read, which lack the last token written.
      tokens: `Int[B U]` the new tokens, 0 where there is none yet.
      log_probs: `Float32[B U]` of each, nats under the model itself, before penalties, temperature and cuts.
      counts: `Int[B]` how many tokens each row has been given.
      status: `Int[B]` RUNNING, STOPPED by a token that ends it, or LENGTH_REACHED.
      seen: `Bool[B V]` which tokens the prompt or the new text holds (for an encoder-decoder: the text that
        its decoder reads); None where there is no repetition penalty.
    """

    cached: CachedRows
    tokens: Int[Array, "B U"]
    log_probs: Float[Array, "B U"]
    counts: Int[Array, " B"]
    status: Int[Array, " B"]
    seen: Bool[Array, "B V"] | None


@functools.partial(jax.jit, static_argnames=("model", "max_tokens", "num_slots"))
def start_decode(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    request: SamplingRequest,
    *,
    max_tokens: int,
    num_slots: int,
) -> DecodeState:
    """Reads the prompts and writes each row's first token; rows of length 0 begin as LENGTH_REACHED.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      tokens: `Int[B P]`, padded on the right.
      lengths: `Int[B]` how many tokens of a row are real.
      request: how tokens are chosen and what ends a row.
      max_tokens: U.
      num_slots: slots a row, at least as many as prompt and new tokens need.
    """
    logits, cached = read_prompts(model, params, tokens, lengths, num_slots)
    shape = (tokens.shape[0], max_tokens)
    seen = None
    if request.sampling.repetition_penalty is not None:
        real = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
        present = jnp.where(real, tokens, logits.shape[1])
        if has_encoder(model):  # what the decoder has read
            present = jnp.full((shape[0], 1), first_token(model), jnp.int32)
        seen = _marked(jnp.zeros((shape[0], logits.shape[1]), bool), present)
    status = jnp.where((lengths > 0) & (request.limits > 0), RUNNING, LENGTH_REACHED).astype(jnp.int32)
    counts = jnp.zeros(shape[:1], jnp.int32)
    blank = DecodeState(
        cached, jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32), counts, status, seen
    )
    return _with_next(blank, logits, request)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="state")
def continue_decode(
    model: nn.Module,
    params: Mapping[str, Any],
    state: DecodeState,
    request: SamplingRequest,
    num_turns: Int[Array, ""],
) -> DecodeState:
    """Writes one token of every running row a turn, for `num_turns` turns or until every row has ended.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      state: the tokens so far; its memory is used again.
      request: how tokens are chosen and what ends a row.
      num_turns: a traced number, so that one program serves any number of turns.
    """
    rows = jnp.arange(state.counts.shape[0], dtype=jnp.int32)

    def unfinished(carry: tuple[Array, DecodeState]) -> Array:
        return (carry[0] < num_turns) & (carry[1].status == RUNNING).any()

    def turn(carry: tuple[Array, DecodeState]) -> tuple[Array, DecodeState]:
        count, state = carry
        last = state.tokens[rows, jnp.maximum(state.counts - 1, 0)]
        # The barrier makes the kernels depend on the token: otherwise XLA's CPU backend widens bfloat16 ones
        # before the loop, and every turn reads twice as much. The embeddings need no barrier.
        tied_params, last = jax.lax.optimization_barrier((params, last))
        vectors = models.apply_token_vectors(model, params, last[:, None])
        logits, cached = read_token(
            model, tied_params, state.cached, last, state.status == RUNNING, vectors=vectors
        )
        return count + 1, _with_next(state._replace(cached=cached), logits, request)

    return jax.lax.while_loop(unfinished, turn, (jnp.zeros((), jnp.int32), state))[1]


def _with_next(state: DecodeState, logits: Float[Array, "B V"], request: SamplingRequest) -> DecodeState:
    """Gives each running row its next token."""
    running = state.status == RUNNING
    allowed = apply_token_rules(logits, request.rules, state.counts, request.limits, state.tokens)
    token = choose_tokens(
        warp_logits(allowed, request.sampling, state.seen), request.rng, request.names, state.counts
    )
    rows = jnp.arange(token.shape[0], dtype=jnp.int32)
    column = jnp.where(running, state.counts, state.tokens.shape[1])
    counts = state.counts + running.astype(jnp.int32)
    ended = jnp.where(counts >= request.limits, LENGTH_REACHED, RUNNING)
    ended = jnp.where(jnp.isin(token, request.stops), STOPPED, ended).astype(jnp.int32)
    return DecodeState(
        state.cached,
        state.tokens.at[rows, column].set(token, mode="drop"),
        state.log_probs.at[rows, column].set(ops.gather_log_probs(logits, token), mode="drop"),
        counts,
        jnp.where(running, ended, state.status),
        None if state.seen is None else _marked(state.seen, token[:, None]),
    )


def _marked(seen: Bool[Array, "B V"], tokens: Int[Array, "B L"]) -> Bool[Array, "B V"]:
    rows = jnp.arange(tokens.shape[0], dtype=jnp.int32)[:, None]
    return seen.at[rows, tokens].set(True, mode="drop")


def choose_tokens(
    logits: Float[Array, "B V"],
    rng: Key[Array, ""] | None,
    names: UInt32[Array, "B 2"],
    steps: Int[Array, " B"],
) -> Int[Array, " B"]:
    """Returns a token of each row: the likeliest without a key, a draw from softmax(logits) with one.

    The draw is `argmax(logits + Gumbel noise)`. The noise is a function of the key, the row's name and its
    step, so that a prompt draws the same in any batch.

    Args:
      logits: `Float[B V]`, -inf where a token is cut.
      rng: PRNG key, consumed together with `names` and `steps`; None: no draw.
      names: `UInt32[B 2]` the name of each row, `Prompts.names`.
      steps: `Int[B]` how many tokens the row has been given.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding._decode_loop import choose_tokens
      >>> logits, names = jnp.array([[0.0, 1.0]] * 2), jnp.zeros((2, 2), jnp.uint32)
      >>> choose_tokens(logits, None, names, jnp.array([0, 1])).tolist()
      [1, 1]

    References:
      Maddison et al., "A* Sampling", 2014, https://arxiv.org/abs/1411.0030 (the Gumbel-max trick).
    """
    if rng is None:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def noise(name: Array, step: Array) -> Array:
        key = rng
        for part in (name[0], name[1], step):
            key = jax.random.fold_in(key, part)
        return jax.random.gumbel(key, logits.shape[1:], jnp.float32)

    return jnp.argmax(logits + jax.vmap(noise)(names, steps), axis=-1).astype(jnp.int32)
