"""Which tokens may not be chosen, and which must be: what a model's makers ask of every text.

Letters: `B` rows, `C` context, `T` room for new tokens, `V` vocabulary, `K` words of at most `M` tokens.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.decoding._generation_config import GenerationConfig
from jaxlm.typing import Array, Bool, Float, Int

NO_ID = -1
# Stands where there is no token, and equals nothing that a context or a word is padded with.
NO_TOKEN_HERE = -2


class TokenRules(NamedTuple):
    """Ids by what is asked of them; numbers, so that others compile nothing. None leaves out a rule.

    Attributes:
      forbidden: `Int[N]` ids that are never chosen.
      first: `Int[]` the id of every text's first token, -1: any.
      last: `Int[]` the id of the token at which a text is as long as it may be, -1: any.
      opening: `Int[N]` ids that the first token is not, behind `first` the second.
      words: `Int[K M]` ids that never follow each other so, -1 in front of shorter words.
      ngram: `Int[]` so many ids never follow each other twice.
      context: `Int[B C]` what stands before a text, -1 in front of shorter ones; None where no rule asks.
      fewest: `Int[B]` how many tokens a text has at least.
      stops: `Int[S]` the ids that do not end it sooner.
    """

    forbidden: Int[Array, " N"]
    first: Int[Array, ""]
    last: Int[Array, ""]
    opening: Int[Array, " N2"] | None = None
    words: Int[Array, "K M"] | None = None
    ngram: Int[Array, ""] | None = None
    context: Int[Array, "B C"] | None = None
    fewest: Int[Array, " B"] | None = None
    stops: Int[Array, " S"] | None = None


def make_rules(
    config: GenerationConfig,
    tokens: Int[np.ndarray, "B C"],
    lengths: Int[np.ndarray, " B"],
    stops: Int[Array, " S"],
) -> TokenRules | None:
    """Returns the rules; None where nothing is asked, which costs nothing.

    Args:
      config: what is asked.
      tokens: `Int[B C]` what stands before each text, padded on the right.
      lengths: `Int[B]` how many of a row are real.
      stops: `Int[S]` ids that end a text.

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
    is_asked = rules.forbidden.size or first != NO_ID or last != NO_ID
    return rules if is_asked or any(one is not None for one in rules[3:]) else None


def repeat_rules_for_beams(rules: TokenRules, num_beams: int) -> TokenRules:
    """Returns the rules of rows that are the beams of each row, one after the other."""
    context, fewest = (
        None if one is None else jnp.repeat(one, num_beams, axis=0) for one in (rules.context, rules.fewest)
    )
    return rules._replace(context=context, fewest=fewest)


def apply_token_rules(
    scores: Float[Array, "B V"],
    rules: TokenRules | None,
    steps: Int[Array, " B"],
    limits: Int[Array, " B"],
    tokens: Int[Array, "B T"],
) -> Float[Array, "B V"]:
    """Returns scores with -inf where a token may not be chosen; one that must be has 0 and is alone.

    Args:
      scores: `Float[B V]` logits or log-probs.
      rules: None: all may be.
      steps: `Int[B]` how many tokens a text has.
      limits: `Int[B]` how many it may have.
      tokens: `Int[B T]` those that it has; what follows them is not read.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm.decoding import GenerationConfig
      >>> from jaxlm.decoding._token_rules import make_rules, apply_token_rules
      >>> config, before = GenerationConfig(no_repeat_ngram_size=2), np.array([[7, 1]], np.int32)
      >>> rules = make_rules(config, before, np.array([2], np.int32), jnp.array([], jnp.int32))
      >>> scores, steps = jnp.zeros((1, 3)), jnp.array([2])
      >>> apply_token_rules(scores, rules, steps, jnp.array([5]), jnp.array([[2, 1, 0]])).tolist()  # 1 2 stands there
      [[0.0, 0.0, -inf]]
    """
    if rules is None:
        return scores
    scores = scores.at[:, rules.forbidden].set(-jnp.inf, mode="drop")
    if rules.context is not None:
        scores = jnp.where(_repeating(scores.shape[1], rules, steps, tokens), -jnp.inf, scores)
    if rules.fewest is not None:
        scores = _without(scores, rules.stops, steps < rules.fewest)
    if rules.opening is not None:
        scores = _without(scores, rules.opening, steps == (rules.first != NO_ID).astype(steps.dtype))
    forced = jnp.where(steps == 0, rules.first, NO_ID)
    forced = jnp.where((steps == limits - 1) & (rules.last != NO_ID), rules.last, forced)[:, None]
    chosen = jnp.arange(scores.shape[1], dtype=jnp.int32)[None] == forced
    alone = jnp.where(chosen, jnp.zeros_like(scores), -jnp.inf)
    return jnp.where(forced == NO_ID, scores, alone)


def _repeating(vocab_size: int, rules: TokenRules, steps: Array, tokens: Array) -> Bool[Array, "B V"]:
    """Which tokens would end a word, or a run of tokens that stands in context and text already."""
    whole = jnp.concatenate([rules.context, tokens], axis=1)
    ends = rules.context.shape[1] + steps
    rows = jnp.arange(whole.shape[0], dtype=jnp.int32)[:, None]
    banned = jnp.zeros((whole.shape[0], vocab_size), bool)
    if rules.ngram is not None:
        places = jnp.where(_follow_alike(whole, ends, rules.ngram), whole, vocab_size)
        banned = banned.at[rows, places].set(True, mode="drop")
    if rules.words is not None:
        places = jnp.where(_end_alike(whole, ends, rules.words[:, :-1]), rules.words[None, :, -1], vocab_size)
        banned = banned.at[rows, places].set(True, mode="drop")
    return banned


def _follow_alike(whole: Array, ends: Array, ngram: Array) -> Bool[Array, "B S"]:
    """At which places stands a token that follows the same `ngram - 1` tokens as the next one will."""
    places = jnp.arange(whole.shape[1], dtype=jnp.int32)[None]

    def narrow(back: Array, alike: Array) -> Array:
        own = _token_at(whole, ends - 1 - back)
        return alike & (jnp.roll(whole, back + 1, axis=1) == own[:, None]) & (places > back)

    real = (whole >= 0) & (places < ends[:, None])
    # No token has more before it than the row: who asks for more forbids nothing.
    return jax.lax.fori_loop(0, jnp.minimum(ngram - 1, whole.shape[1]), narrow, real)


def _end_alike(whole: Array, ends: Array, prefixes: Int[Array, "K M"]) -> Bool[Array, "B K"]:
    """Which prefixes the rows end with; -1 in a prefix is any token."""
    size = prefixes.shape[1]
    own = [_token_at(whole, ends - size + place) for place in range(size)]
    alike = jnp.ones((whole.shape[0], prefixes.shape[0]), bool)
    for place, token in enumerate(own):
        wanted = prefixes[None, :, place]
        alike &= (wanted == NO_ID) | (wanted == token[:, None])
    return alike


def _token_at(whole: Array, places: Int[Array, " B"]) -> Int[Array, " B"]:
    found = jnp.take_along_axis(whole, jnp.maximum(places, 0)[:, None], axis=1)[:, 0]
    return jnp.where((places >= 0) & (found >= 0), found, NO_TOKEN_HERE)


def _without(scores: Array, ids: Int[Array, " N"], here: Bool[Array, " B"]) -> Float[Array, "B V"]:
    less = scores.at[:, ids].set(-jnp.inf, mode="drop")
    return jnp.where(here[:, None], less, scores)


def _right_aligned(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Rows that end where texts begin, -1 before them."""
    width = tokens.shape[1]
    places = np.arange(width)[None] - (width - lengths[:, None])
    moved = np.take_along_axis(tokens, np.maximum(places, 0), axis=1)
    return np.where(places >= 0, moved, NO_ID).astype(np.int32)


def _padded_words(words: tuple[tuple[int, ...], ...]) -> np.ndarray:
    found = np.full((len(words), max(map(len, words))), NO_ID, np.int32)
    for row, word in enumerate(words):
        found[row, found.shape[1] - len(word) :] = word
    return found
