"""Rules of which tokens may not be chosen, and which must be, as a model's files set them for every text.

Letters: `B` rows, `U` the most new tokens, `V` vocabulary.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.typing import Array, Bool, Float, Int

NO_ID = -1
# In place of a token that does not exist; differs from the padding of contexts and words.
NO_TOKEN_HERE = -2


class TokenRules(NamedTuple):
    """The rules of a batch as arrays, so that other values compile nothing. None leaves out a rule.

    Attributes:
      forbidden: `Int[...]` ids that are never chosen.
      first: `Int[]` the id that must be the first token of a text; -1: none.
      last: `Int[]` the id forced at the last allowed position of a text; -1: none.
      opening: `Int[...]` ids that may not be the first token, or the second one where `first` is set.
      words: `Int[words longest]` sequences of ids that may not occur, padded with -1 on the left.
      ngram: `Int[]` no sequence of so many ids may occur twice.
      context: `Int[B context]` the ids before each text, padded with -1 on the left; None if no rule
        needs them.
      fewest: `Int[B]` the fewest tokens that a text may have.
      stops: `Int[...]` ids that may not be chosen before that.
    """

    forbidden: Int[Array, " forbidden"]
    first: Int[Array, ""]
    last: Int[Array, ""]
    opening: Int[Array, " opening"] | None = None
    words: Int[Array, "words longest"] | None = None
    ngram: Int[Array, ""] | None = None
    context: Int[Array, "B context"] | None = None
    fewest: Int[Array, " B"] | None = None
    stops: Int[Array, " stops"] | None = None


def make_rules(
    config: GenerationConfig,
    tokens: Int[np.ndarray, "B context"],
    lengths: Int[np.ndarray, " B"],
    stops: Int[Array, " stops"],
) -> TokenRules | None:
    """Returns the rules of a batch; None if the config sets none.

    Args:
      config: what is asked for.
      tokens: `Int[B context]` the ids before each text, padded on the right.
      lengths: `Int[B]` how many tokens of a row are real.
      stops: `Int[...]` ids that end a text.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm.decoding import GenerationConfig
      >>> from jaxlm.decoding._token_rules import make_rules
      >>> tokens, lengths, stops = np.zeros((1, 1), np.int32), np.ones(1, np.int32), jnp.array([2])
      >>> make_rules(GenerationConfig(), tokens, lengths, stops) is None
      True
      >>> make_rules(GenerationConfig(last_id=2), tokens, lengths, stops).last.item()
      2
    """
    first, last = (NO_ID if id is None else id for id in (config.first_id, config.last_id))
    fewest = np.maximum(config.min_new_tokens or 0, (config.min_length or 0) - lengths)
    words, ngram = config.forbidden_words or (), config.no_repeat_ngram_size or 0
    rules = TokenRules(
        jnp.asarray(config.forbidden_ids or (), jnp.int32),
        jnp.asarray(first, jnp.int32),
        jnp.asarray(last, jnp.int32),
        jnp.asarray(config.forbidden_first_ids, jnp.int32) if config.forbidden_first_ids else None,
        jnp.asarray(_padded_words(words)) if words else None,
        jnp.asarray(ngram, jnp.int32) if ngram else None,
        jnp.asarray(_right_aligned(tokens, lengths)) if words or ngram else None,
        jnp.asarray(fewest, jnp.int32) if (fewest > 0).any() and stops.size else None,
        stops if (fewest > 0).any() and stops.size else None,
    )
    is_set = rules.forbidden.size or first != NO_ID or last != NO_ID
    return rules if is_set or any(rule is not None for rule in rules[3:]) else None


def repeat_rules_for_beams(rules: TokenRules, num_beams: int) -> TokenRules:
    """Returns the rules of a batch in which each row is repeated once for every beam.

    Args:
      rules: of the rows.
      num_beams: how often a row is repeated.
    """
    context, fewest = (
        None if array is None else jnp.repeat(array, num_beams, axis=0)
        for array in (rules.context, rules.fewest)
    )
    return rules._replace(context=context, fewest=fewest)


def apply_token_rules(
    scores: Float[Array, "B V"],
    rules: TokenRules | None,
    steps: Int[Array, " B"],
    limits: Int[Array, " B"],
    tokens: Int[Array, "B U"],
) -> Float[Array, "B V"]:
    """Returns scores with -inf for tokens that may not be chosen. A token that must be chosen alone gets 0.

    Args:
      scores: `Float[B V]` logits or log-probs.
      rules: the rules of these rows; None: every token may be chosen.
      steps: `Int[B]` how many tokens each text has.
      limits: `Int[B]` how many tokens it may have.
      tokens: `Int[B U]` its tokens; entries from `steps` on are ignored.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm.decoding import GenerationConfig
      >>> from jaxlm.decoding._token_rules import apply_token_rules, make_rules
      >>> config, before = GenerationConfig(no_repeat_ngram_size=2), np.array([[7, 1]], np.int32)
      >>> rules = make_rules(config, before, np.array([2], np.int32), jnp.array([], jnp.int32))
      >>> scores, steps, limits = jnp.zeros((1, 3)), jnp.array([2]), jnp.array([5])
      >>> tokens = jnp.array([[2, 1, 0]])  # after 7 1: another 1 2 would repeat
      >>> apply_token_rules(scores, rules, steps, limits, tokens).tolist()
      [[0.0, 0.0, -inf]]
    """
    if rules is None:
        return scores
    scores = scores.at[:, rules.forbidden].set(-jnp.inf, mode="drop")
    if rules.context is not None:
        banned = _banned_by_sequence(scores.shape[1], rules, rules.context, steps, tokens)
        scores = jnp.where(banned, -jnp.inf, scores)
    if rules.fewest is not None and rules.stops is not None:
        scores = _without(scores, rules.stops, steps < rules.fewest)
    if rules.opening is not None:
        scores = _without(scores, rules.opening, steps == (rules.first != NO_ID).astype(steps.dtype))
    forced = jnp.where(steps == 0, rules.first, NO_ID)
    forced = jnp.where((steps == limits - 1) & (rules.last != NO_ID), rules.last, forced)[:, None]
    is_forced = jnp.arange(scores.shape[1], dtype=jnp.int32)[None] == forced
    only_forced = jnp.where(is_forced, jnp.zeros_like(scores), -jnp.inf)
    return jnp.where(forced == NO_ID, scores, only_forced)


def _banned_by_sequence(
    vocab_size: int, rules: TokenRules, context: Array, steps: Array, tokens: Array
) -> Bool[Array, "B V"]:
    """Which tokens would complete a forbidden word, or an n-gram that context and text already hold."""
    whole = jnp.concatenate([context, tokens], axis=1)
    ends = context.shape[1] + steps
    rows = jnp.arange(whole.shape[0], dtype=jnp.int32)[:, None]
    banned = jnp.zeros((whole.shape[0], vocab_size), bool)
    if rules.ngram is not None:
        ids = jnp.where(_ends_ngram(whole, ends, rules.ngram), whole, vocab_size)
        banned = banned.at[rows, ids].set(True, mode="drop")
    if rules.words is not None:
        is_begun = _ends_with(whole, ends, rules.words[:, :-1])
        ids = jnp.where(is_begun, rules.words[None, :, -1], vocab_size)
        banned = banned.at[rows, ids].set(True, mode="drop")
    return banned


def _ends_ngram(whole: Array, ends: Array, ngram: Array) -> Bool[Array, "B whole"]:
    """Which positions hold a token after the same `ngram - 1` tokens that the next token will follow."""
    positions = jnp.arange(whole.shape[1], dtype=jnp.int32)[None]

    def narrow(back: Array, alike: Array) -> Array:
        own = _token_at(whole, ends - 1 - back)
        return alike & (jnp.roll(whole, back + 1, axis=1) == own[:, None]) & (positions > back)

    real = (whole >= 0) & (positions < ends[:, None])
    # No token follows more tokens than a row holds, so that a longer n-gram forbids nothing.
    return jax.lax.fori_loop(0, jnp.minimum(ngram - 1, whole.shape[1]), narrow, real)


def _ends_with(whole: Array, ends: Array, prefixes: Int[Array, "words shorter"]) -> Bool[Array, "B words"]:
    """Which prefixes the rows end with; -1 in a prefix stands for any token."""
    size = prefixes.shape[1]
    last = [_token_at(whole, ends - size + index) for index in range(size)]
    is_equal = jnp.ones((whole.shape[0], prefixes.shape[0]), bool)
    for index, token in enumerate(last):
        expected = prefixes[None, :, index]
        is_equal &= (expected == NO_ID) | (expected == token[:, None])
    return is_equal


def _token_at(whole: Array, positions: Int[Array, " B"]) -> Int[Array, " B"]:
    token = jnp.take_along_axis(whole, jnp.maximum(positions, 0)[:, None], axis=1)[:, 0]
    return jnp.where((positions >= 0) & (token >= 0), token, NO_TOKEN_HERE)


def _without(scores: Array, ids: Int[Array, " _"], in_rows: Bool[Array, " B"]) -> Float[Array, "B V"]:
    """The scores with -inf for these ids, in some of the rows."""
    return jnp.where(in_rows[:, None], scores.at[:, ids].set(-jnp.inf, mode="drop"), scores)


def _right_aligned(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Rows whose padding, -1, is on the left."""
    width = tokens.shape[1]
    columns = np.arange(width)[None] - (width - lengths[:, None])
    moved = np.take_along_axis(tokens, np.maximum(columns, 0), axis=1)
    return np.where(columns >= 0, moved, NO_ID).astype(np.int32)


def _padded_words(words: tuple[tuple[int, ...], ...]) -> np.ndarray:
    padded = np.full((len(words), max(map(len, words))), NO_ID, np.int32)
    for row, word in enumerate(words):
        padded[row, padded.shape[1] - len(word) :] = word
    return padded
