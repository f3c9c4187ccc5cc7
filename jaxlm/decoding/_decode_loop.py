"""The compiled loop that writes: one prefill, then a token of every row in each turn, until all have ended.

Letters: `B` rows, `P` prompt, `T` room for new tokens, `V` vocabulary.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxlm import ops
from jaxlm.decoding._cached_rows import CachedRows, first_token, has_encoder, read_prompts, read_token
from jaxlm.decoding._draws import choose_tokens
from jaxlm.decoding._logits import Sampling, warp_logits
from jaxlm.decoding._token_rules import Rules, permitted
from jaxlm.typing import Array, Bool, Float, Int, Key, UInt32

RUNNING, STOPPED, LENGTH_REACHED = 0, 1, 2


class SamplingRequest(NamedTuple):
    """What is asked of each row, all of it numbers that need no new program.

    Attributes:
      names: `UInt32[B 2]`, as `Prompts` has them.
      limits: `Int[B]` how many tokens the row may get, at most T.
      stops: `Int[...]` ids that end a row.
      sampling: see `Sampling`.
      rng: PRNG key of all draws; None: greedy.
      rules: ids that may not or must be chosen.
    """

    names: UInt32[Array, "B 2"]
    limits: Int[Array, " B"]
    stops: Int[Array, " N"]
    sampling: Sampling
    rng: Key[Array, ""] | None
    rules: Rules | None = None


class DecodeState(NamedTuple):
    """What has been written so far.

    Attributes:
      reading: the rows as the model has read them: all but the last token.
      tokens: `Int[B T]`, 0 where there is none yet.
      log_probs: `Float32[B T]` nats under the model itself, before penalties, temperature and cuts.
      counts: `Int[B]` how many tokens a row has been given.
      status: `Int[B]` RUNNING, STOPPED by a token that ends it, or LENGTH_REACHED.
      seen: `Bool[B V]` which tokens stand in prompt and continuation, of an encoder-decoder in what its
        decoder reads; None where no penalty asks.
    """

    reading: CachedRows
    tokens: Int[Array, "B T"]
    log_probs: Float[Array, "B T"]
    counts: Int[Array, " B"]
    status: Int[Array, " B"]
    seen: Bool[Array, "B V"] | None


@functools.partial(jax.jit, static_argnames=("model", "room", "num_slots"))
def begin(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    wanted: SamplingRequest,
    *,
    room: int,
    num_slots: int,
) -> DecodeState:
    """Reads the prompts and writes each row's first token; rows without a prompt begin as LENGTH_REACHED.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      tokens: `Int[B P]`, padded on the right.
      lengths: `Int[B]`.
      wanted: what is asked.
      room: T.
      num_slots: slots a row, at least as many as prompt and continuation need.
    """
    logits, reading = read_prompts(model, params, tokens, lengths, num_slots)
    shape = (tokens.shape[0], room)
    seen = None
    if wanted.sampling.repetition_penalty is not None:
        real = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
        there = jnp.where(real, tokens, logits.shape[1])
        if has_encoder(model):  # what the decoder has read
            there = jnp.full((shape[0], 1), first_token(model), jnp.int32)
        seen = _marked(jnp.zeros((shape[0], logits.shape[1]), bool), there)
    status = jnp.where((lengths > 0) & (wanted.limits > 0), RUNNING, LENGTH_REACHED).astype(jnp.int32)
    counts = jnp.zeros(shape[:1], jnp.int32)
    blank = DecodeState(
        reading, jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32), counts, status, seen
    )
    return _with_next(blank, logits, wanted)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="written")
def advance(
    model: nn.Module,
    params: Mapping[str, Any],
    written: DecodeState,
    wanted: SamplingRequest,
    num_turns: Int[Array, ""],
) -> DecodeState:
    """Writes on for so many turns, or until every row has ended.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      written: what stands so far; its memory is used again.
      wanted: what is asked.
      num_turns: a traced number, so that any number of turns is one program.
    """
    rows = jnp.arange(written.counts.shape[0], dtype=jnp.int32)

    def unfinished(carry: tuple[Array, DecodeState]) -> Array:
        return (carry[0] < num_turns) & (carry[1].status == RUNNING).any()

    def turn(carry: tuple[Array, DecodeState]) -> tuple[Array, DecodeState]:
        count, written = carry
        last = written.tokens[rows, jnp.maximum(written.counts - 1, 0)]
        # Kernels are tied to what changes, or XLA's CPU backend would widen bfloat16 ones before the loop and
        # read twice as much in each turn. The table of tokens, which it widens to look up a row, is not.
        kept, last = jax.lax.optimization_barrier((params, last))
        vectors = model.apply({"params": params}, last[:, None], method="token_vectors")
        logits, reading = read_token(
            model, kept, written.reading, last, written.status == RUNNING, vectors=vectors
        )
        return count + 1, _with_next(written._replace(reading=reading), logits, wanted)

    return jax.lax.while_loop(unfinished, turn, (jnp.zeros((), jnp.int32), written))[1]


def _with_next(written: DecodeState, logits: Float[Array, "B V"], wanted: SamplingRequest) -> DecodeState:
    """Gives each running row its next token."""
    running = written.status == RUNNING
    allowed = permitted(logits, wanted.rules, written.counts, wanted.limits, written.tokens)
    token = choose_tokens(
        warp_logits(allowed, wanted.sampling, written.seen), wanted.rng, wanted.names, written.counts
    )
    rows = jnp.arange(token.shape[0], dtype=jnp.int32)
    column = jnp.where(running, written.counts, written.tokens.shape[1])
    counts = written.counts + running.astype(jnp.int32)
    ended = jnp.where(counts >= wanted.limits, LENGTH_REACHED, RUNNING)
    ended = jnp.where(jnp.isin(token, wanted.stops), STOPPED, ended).astype(jnp.int32)
    return DecodeState(
        written.reading,
        written.tokens.at[rows, column].set(token, mode="drop"),
        written.log_probs.at[rows, column].set(ops.gather_log_probs(logits, token), mode="drop"),
        counts,
        jnp.where(running, ended, written.status),
        None if written.seen is None else _marked(written.seen, token[:, None]),
    )


def _marked(seen: Bool[Array, "B V"], tokens: Int[Array, "B L"]) -> Bool[Array, "B V"]:
    rows = jnp.arange(tokens.shape[0], dtype=jnp.int32)[:, None]
    return seen.at[rows, tokens].set(True, mode="drop")
