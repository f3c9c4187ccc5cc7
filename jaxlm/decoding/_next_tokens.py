"""What may come next: the likeliest tokens after texts, and how likely given continuations are.

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

# Texts that are drawn at a time: enough to find some of about the same length.
TEXTS_READ = 256


class NextToken(NamedTuple):
    """A token that may come next, and its probability in [0, 1]."""

    token_id: int
    token: str
    probability: float


class NextTokens(NamedTuple):
    """What a model expects after a text.

    Attributes:
      tokens: `Int[L]` ids of the text.
      candidates: the likeliest next tokens, best first.
      targets: `Int[M]` ids of the given continuation; None without one.
      target_log_probs: `Float32[M]` of each, in nats, given the text and the targets before it.
    """

    tokens: np.ndarray
    candidates: tuple[NextToken, ...]
    targets: np.ndarray | None = None
    target_log_probs: np.ndarray | None = None

    @property
    def loss(self) -> float | None:
        """Mean over the targets of -log p(target), in nats; None without any."""
        return None if self.targets is None else -float(self.target_log_probs.mean(dtype=np.float64))

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
    """Returns the likeliest next tokens of texts, each as if it were alone, and the loss of given ones.

    Probabilities are of the whole vocabulary, special tokens included. A text is read behind the tokens that
    opened texts in the model's training, as `jaxlm next` reads it and, of a published model, `transformers`;
    to ids nothing is added.

    Args:
      loaded: a causal LM, as `pretrained.load` returns it.
      texts: texts or their ids; an empty one is what opens texts, else the begin-of-sequence token. A string
        is one text.
      top_k: how many candidates; cut to the vocabulary.
      targets: what follows each text, or None where nothing is asked; None: nowhere.

    Raises:
      TypeError: if `loaded` is no opened model.
      UsageError: if the model is not causal, a text or target is empty or they are longer than its context,
        or `top_k` is below 1.

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
      >>> found, = next_tokens(loaded, ["ab"], top_k=3, targets=["c"])
      >>> len(found.candidates), found.targets.tolist(), found.perplexity > 1
      (3, [99], True)
    """
    pairs = zip(*with_targets(texts, targets), strict=True)
    return list(stream_next_tokens(loaded, pairs, top_k=top_k))


def stream_next_tokens(
    loaded: pretrained.Loaded, requests: Iterable[tuple[Text, Text | None]], *, top_k: int = 5
) -> Iterator[NextTokens]:
    """Yields what `next_tokens` returns, in order, as texts come; memory does not grow with their number.

    Texts are drawn 256 at a time and computed by length.

    Args:
      loaded: as for `next_tokens`.
      requests: texts with what follows each, or None.
      top_k: as for `next_tokens`.

    Raises:
      TypeError: as `next_tokens`.
      ValueError: as `next_tokens`; what came before the block of the text that is wrong has been yielded.

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
    _check_goes_on(loaded)
    check_top_k(top_k)
    return _streamed(loaded, iter(requests), min(top_k, loaded.config.vocab_size))


def _streamed(
    loaded: pretrained.Loaded, requests: Iterator[tuple[Text, Text | None]], top_k: int
) -> Iterator[NextTokens]:
    while block := [
        read_pair(loaded, text, target) for text, target in itertools.islice(requests, TEXTS_READ)
    ]:
        named: dict[int, NextTokens] = {}
        for places in group_by_length(block):
            pairs = [block[place] for place in places]
            rows = map(jnp.asarray, pad_pairs(pairs, models.longest_text(loaded.config)))
            found = jax.device_get(rank_next(loaded.model, loaded.params, *rows, top_k=top_k))
            for row, place in enumerate(places):
                named[place] = _named(loaded.tokenizer, block[place], found, row)
        yield from (named[place] for place in range(len(block)))


def _check_goes_on(loaded: pretrained.Loaded) -> None:
    if loaded.kind.encoder:
        raise UsageError("an encoder-decoder goes on with no text and writes another; use generate")
    if not loaded.config.causal:
        raise UsageError("a masked LM has no next token; use a causal model, or fill")
    if not loaded.kind.next_token:
        raise UsageError(f"next tokens are predicted by a causal LM, and this model is a {loaded.kind.name}")


class RankedTokens(NamedTuple):
    """Log-probs in nats, float32: of the likeliest tokens `[B k]`, with their ids, and of targets `[B M]`."""

    log_probs: Float[Array, "B k"]
    tokens: Int[Array, "B k"]
    target_log_probs: Float[Array, "B M"]


@functools.partial(jax.jit, static_argnames=("model", "top_k"))
def rank_next(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    segments: Int[Array, "B L"],
    places: Int[Array, "B M"],
    targets: Int[Array, "B M"],
    *,
    top_k: int,
) -> RankedTokens:
    """Returns what comes after the first place of each row, and the log-probs of targets after every place.

    The head runs at the places only.

    Args:
      model: a causal LM.
      params: its parameters.
      tokens: `Int[B L]` texts with their targets behind them.
      segments: `Int[B L]` 1 at real positions, 0 at padding.
      places: `Int[B M]` positions before the targets.
      targets: `Int[B M]` ids.
      top_k: how many of the likeliest tokens.
    """
    hidden = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments)).hidden
    before = jnp.take_along_axis(hidden, places[..., None], axis=1)
    logits = model.apply({"params": params}, before, method="logits")
    top = jax.lax.top_k(jax.nn.log_softmax(logits[:, 0].astype(jnp.float32), axis=-1), top_k)
    return RankedTokens(*top, ops.gather_log_probs(logits, targets))


def read_pair(loaded: pretrained.Loaded, text: Text, target: Text | None) -> TextAndTarget:
    """Returns the ids of a text and of its target, checked; the last target is predicted and not read.

    Args:
      loaded: a causal LM.
      text: a text, which the model's own tokens open, or ids.
      target: what follows it; None: nothing is given.

    Raises:
      UsageError: if one of them is empty or they are longer than the model's context.
    """
    if target is None:
        return prompt_ids(loaded, text), None
    # Nothing opens a target: it goes on with the text.
    ids = loaded.tokenizer.encode(target) if isinstance(target, str) else np.asarray(target)
    if ids.size == 0:
        raise UsageError("the target is empty: give what follows the text, or no target")
    wanted = checked_ids(loaded.config, ids)
    return prompt_ids(loaded, text, new_tokens=wanted.size - 1), wanted


def _named(tokenizer: tokenizers.Tokenizer, pair: TextAndTarget, found: RankedTokens, row: int) -> NextTokens:
    text, target = pair
    top = zip(found.tokens[row].tolist(), np.exp(found.log_probs[row]).tolist(), strict=True)
    # A model may have more rows than its tokenizer has tokens.
    candidates = tuple(NextToken(token, _spelled(tokenizer, token), share) for token, share in top)
    log_probs = None if target is None else found.target_log_probs[row, : target.size]
    return NextTokens(text, candidates, target, log_probs)


def _spelled(tokenizer: tokenizers.Tokenizer, token: int) -> str:
    return tokenizer.token(token) if token < tokenizer.vocab_size else f"<{token}>"
