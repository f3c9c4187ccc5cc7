"""The likeliest next tokens of texts, and the log-probs of given continuations.

Letters: `B` texts, `L` positions, `M` targets, `D` width, `V` vocabulary.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import models, ops, pretrained, tokenizers
from jaxlm.decoding._loaded_texts import Text, check_loaded, check_top_k, with_targets
from jaxlm.decoding._next_batches import TextAndTarget, group_by_length, pad_pairs
from jaxlm.decoding._prompts import checked_ids, prompt_ids
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int

# Texts that are read at a time: enough to find several of about the same length.
TEXTS_READ = 256


class NextToken(NamedTuple):
    """A token that may come next.

    Attributes:
      token_id: the token's id.
      token: the token's text.
      probability: the token's probability over the whole vocabulary, in [0, 1].
    """

    token_id: int
    token: str
    probability: float


class NextTokens(NamedTuple):
    """The tokens that a model predicts after a text.

    Attributes:
      tokens: `Int[L]`. The ids of the text as the model read it, with the tokens that open it.
      candidates: the likeliest next tokens, likeliest first.
      targets: `Int[M]`. The ids of the continuation that was given; None if none was given.
      target_log_probs: `Float32[M]`. The log-probability of each target given the text and the targets before
        it, in nats; None without targets.
    """

    tokens: np.ndarray
    candidates: tuple[NextToken, ...]
    targets: np.ndarray | None = None
    target_log_probs: np.ndarray | None = None

    @property
    def loss(self) -> float | None:
        """The mean over the targets of -log p(target), in nats; None without targets."""
        log_probs = self.target_log_probs
        return None if log_probs is None else -float(log_probs.mean(dtype=np.float64))

    @property
    def perplexity(self) -> float | None:
        """`exp(loss)`; None without targets."""
        return None if self.loss is None else math.exp(self.loss)


def next_tokens(
    loaded: pretrained.Loaded,
    texts: Iterable[Text],
    *,
    top_k: int = 5,
    targets: Iterable[Text | None] | None = None,
) -> list[NextTokens]:
    """Returns the likeliest next tokens of texts and, for given continuations, the log-probs of their tokens.

    A text's result does not depend on the other texts. Probabilities are over the whole vocabulary, including
    special tokens. Before a text the model reads the tokens that opened texts in its training, as `jaxlm
    next` does, and as `transformers` does for a published model. Nothing is added to a text that is given as
    ids.

    Args:
      loaded: a causal LM, as `pretrained.load` returns it.
      texts: texts, or rows of ids. For an empty text the model reads the tokens that open texts or, if there
        are none, the begin-of-sequence token. A single string is one text.
      top_k: how many candidates are returned for each text; all of them if the vocabulary has fewer.
      targets: for each text its continuation, as text or ids, or None if it has none; None: no text has a
        continuation.

    Raises:
      TypeError: if `loaded` is not a `pretrained.Loaded`.
      UsageError: if the model is not causal, a text or target is empty, both together are longer than the
        model's context, or `top_k` is below 1.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import next_tokens
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
      >>> config, tokenizer = models.TransformerConfig(causal=True, **size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> predicted, = next_tokens(loaded, ["ab"], top_k=3, targets=["c"])
      >>> len(predicted.candidates), predicted.targets.tolist(), predicted.perplexity > 1
      (3, [99], True)
    """
    pairs = zip(*with_targets(texts, targets), strict=True)
    return list(stream_next_tokens(loaded, pairs, top_k=top_k))


def stream_next_tokens(
    loaded: pretrained.Loaded, requests: Iterable[tuple[Text, Text | None]], *, top_k: int = 5
) -> Iterator[NextTokens]:
    """Yields the `NextTokens` of each request, in order; memory does not grow with the number of texts.

    Texts are read 256 at a time, and texts of about the same length are computed together.

    Args:
      loaded: a causal LM, as `pretrained.load` returns it.
      requests: pairs of a text and its continuation, each as text or ids; None in place of a continuation
        means that there is none.
      top_k: how many candidates are returned for each text; all of them if the vocabulary has fewer.

    Raises:
      TypeError: if `loaded` is not a `pretrained.Loaded`.
      UsageError: if the model is not causal, a text or target is empty, both together are longer than the
        model's context, or `top_k` is below 1. The results of all earlier blocks of 256 texts have been
        yielded by then.

    Example:
      >>> import itertools
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import stream_next_tokens
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
      >>> config, tokenizer = models.TransformerConfig(causal=True, **size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> endless = ((str(number), None) for number in itertools.count())
      >>> next(stream_next_tokens(loaded, endless)).tokens.tolist()
      [48]
    """
    check_loaded(loaded)
    _check_predicts_next(loaded)
    check_top_k(top_k)
    return _predict_blocks(loaded, iter(requests), min(top_k, loaded.config.required_vocab_size()))


def _predict_blocks(
    loaded: pretrained.Loaded, requests: Iterator[tuple[Text, Text | None]], top_k: int
) -> Iterator[NextTokens]:
    while block := [
        read_pair(loaded, text, target) for text, target in itertools.islice(requests, TEXTS_READ)
    ]:
        results: dict[int, NextTokens] = {}
        for indices in group_by_length(block):
            pairs = [block[index] for index in indices]
            rows = map(jnp.asarray, pad_pairs(pairs, models.longest_text(loaded.config)))
            ranked = jax.device_get(rank_next(loaded.model, loaded.params, *rows, top_k=top_k))
            for row, index in enumerate(indices):
                results[index] = _next_tokens_of(loaded.text_tokenizer, block[index], ranked, row)
        yield from (results[index] for index in range(len(block)))


def _check_predicts_next(loaded: pretrained.Loaded) -> None:
    if loaded.kind.encoder:
        raise UsageError("an encoder-decoder does not continue a text, it writes a new one; use generate")
    if not loaded.config.causal:
        raise UsageError("a masked LM has no next token; use a causal model, or fill")
    if not loaded.kind.next_token:
        raise UsageError(f"next tokens are predicted by a causal LM, and this model is a {loaded.kind.name}")


class RankedTokens(NamedTuple):
    """The likeliest next tokens of a batch and the log-probs of its targets, in nats.

    Attributes:
      log_probs: `Float32[B k]` of the likeliest next tokens, best first.
      tokens: `Int[B k]` their ids.
      target_log_probs: `Float32[B M]` of the targets.
    """

    log_probs: Float[Array, "B k"]
    tokens: Int[Array, "B k"]
    target_log_probs: Float[Array, "B M"]


@functools.partial(jax.jit, static_argnames=("model", "top_k"))
def rank_next(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    positions: Int[Array, "B M"],
    targets: Int[Array, "B M"],
    *,
    top_k: int,
) -> RankedTokens:
    """Returns the likeliest tokens after the first position asked of each row, and log-probs of all targets.

    The head runs at the positions asked only.

    Args:
      model: a causal LM.
      params: its parameters.
      tokens: `Int[B L]` texts followed by their targets.
      segments: `Int[B L]` 1 at real positions, 0 at padding.
      positions: `Int[B M]` the position before each target.
      targets: `Int[B M]` ids.
      top_k: how many of the likeliest tokens are returned.
    """
    hidden = models.apply_model(model, params, models.Inputs(tokens=tokens, segments=segments)).hidden
    before = jnp.take_along_axis(hidden, positions[..., None], axis=1)
    logits = models.apply_head(model, params, before)
    top = jax.lax.top_k(jax.nn.log_softmax(logits[:, 0].astype(jnp.float32), axis=-1), top_k)
    return RankedTokens(*top, ops.gather_log_probs(logits, targets))


def read_pair(loaded: pretrained.Loaded, text: Text, target: Text | None) -> TextAndTarget:
    """Returns the checked ids of a text and of its target.

    Args:
      loaded: a causal LM.
      text: a text, before which the model's opening tokens are put, or ids.
      target: the continuation, whose last token is predicted and not read; None: there is none.

    Raises:
      UsageError: if one of them is empty, or both are longer than the model's context.
    """
    if target is None:
        return prompt_ids(loaded, text), None
    # A target continues its text, so no tokens open it.
    ids = loaded.text_tokenizer.encode(target) if isinstance(target, str) else np.asarray(target)
    if ids.size == 0:
        raise UsageError("the target is empty: give what follows the text, or no target")
    target_ids = checked_ids(loaded.config, ids)
    return prompt_ids(loaded, text, new_tokens=target_ids.size - 1), target_ids


def _next_tokens_of(
    tokenizer: tokenizers.Tokenizer, pair: TextAndTarget, ranked: RankedTokens, row: int
) -> NextTokens:
    text, target = pair
    top = zip(ranked.tokens[row].tolist(), np.exp(ranked.log_probs[row]).tolist(), strict=True)
    candidates = tuple(NextToken(token, _token_text(tokenizer, token), share) for token, share in top)
    log_probs = None if target is None else np.asarray(ranked.target_log_probs[row, : target.size])
    return NextTokens(text, candidates, target, log_probs)


def _token_text(tokenizer: tokenizers.Tokenizer, token: int) -> str:
    """A token's text; "<id>" for ids that the model has and the tokenizer has not."""
    return tokenizer.token(token) if token < tokenizer.vocab_size else f"<{token}>"
