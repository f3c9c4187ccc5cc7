"""Attacks on the predictions of texts: input reduction and HotFlip of what a user wrote.

Letters: `B` rows, `L` positions of a row, `M` predictions of a row, `V` vocabulary.
"""

import functools
from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained
from jaxlm.attribution._attack_rows import (
    changeable_tokens,
    plain_ids,
    read_texts,
    special_ids,
    target_ids,
    token_id,
)
from jaxlm.attribution._hotflip import flip_tokens
from jaxlm.attribution._input_reduction import BEAM, reduce_inputs


class ReducedText(NamedTuple):
    """A text after input reduction.

    Attributes:
      token_ids: `Int32[L]`. The ids that the model read.
      tokens: the same as readable strings.
      kept: `Bool[L]`. Which of them are left.
      prediction_ids: `Int32[M]`. What the model predicts with all tokens, and with those that are left.
      predictions: the same as readable strings.
      probabilities: `Float32[M]`. The probabilities of the predictions with all tokens.
      reduced_probabilities: `Float32[M]`. The same with the tokens that are left.
    """

    token_ids: np.ndarray
    tokens: tuple[str, ...]
    kept: np.ndarray
    prediction_ids: np.ndarray
    predictions: tuple[str, ...]
    probabilities: np.ndarray
    reduced_probabilities: np.ndarray


class FlippedText(NamedTuple):
    """A text after HotFlip.

    Attributes:
      token_ids: `Int32[L]`. The ids that the model read.
      tokens: the same as readable strings.
      flipped_ids: `Int32[L]`. The ids of the changed text.
      flipped_tokens: the same as readable strings.
      order: `Int32[L]`. In which round each token was replaced, from 0; -1 for tokens that were not.
      prediction_ids: `Int32[M]`. What the model predicts for the text.
      predictions: the same as readable strings.
      flipped_prediction_ids: `Int32[M]`. What it predicts for the changed text.
      flipped_predictions: the same as readable strings.
      succeeded: whether the prediction changed; with a target, whether it is the target now.
    """

    token_ids: np.ndarray
    tokens: tuple[str, ...]
    flipped_ids: np.ndarray
    flipped_tokens: tuple[str, ...]
    order: np.ndarray
    prediction_ids: np.ndarray
    predictions: tuple[str, ...]
    flipped_prediction_ids: np.ndarray
    flipped_predictions: tuple[str, ...]
    succeeded: bool


def reduce_texts(
    loaded: pretrained.Loaded, texts: Any, *, keep: Collection[str] = (), beam: int = BEAM
) -> list[ReducedText]:
    """Returns, for each text, the few tokens with which the model still predicts the same.

    A causal model predicts the token after the text, a masked model the tokens at its masks, an
    encoder-decoder the first token that it writes. See `reduce_inputs` for the rule. Special tokens, such as
    [CLS] and the masks, are never removed.

    Args:
      loaded: a causal LM, a masked LM or an encoder-decoder, as `pretrained.load` returns it.
      texts: a text, several, or rows of ids.
      keep: further tokens that are never removed, as the tokenizer writes them.
      beam: how many texts go on after each round.

    Raises:
      UsageError: if a text is too long, empty or without a mask, or the beam is below 1.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.attribution import reduce_texts
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
      >>> config = models.TransformerConfig(causal=True, **size)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> reduced = reduce_texts(loaded, "To be")[0]
      >>> reduced.tokens, bool(reduced.kept.sum() >= 1)
      (('T', 'o', ' ', 'b', 'e'), True)
    """
    read = read_texts(loaded, texts)
    kept = {id for token in keep if (id := token_id(loaded, token)) is not None}
    may = changeable_tokens(read, special_ids(loaded) | kept)
    program = _reduction(loaded.model, beam)
    found = jax.device_get(program(loaded.params, read.inputs, read.positions, may))
    return [
        ReducedText(
            ids,
            tuple(read.reader.strings(ids)),
            found.kept[row, : len(ids)],
            *read.named(found.predictions[row, :number]),
            found.probabilities[row, :number],
            found.reduced_probabilities[row, :number],
        )
        for row, (ids, number) in enumerate(zip(read.ids, read.numbers, strict=True))
    ]


def flip_texts(
    loaded: pretrained.Loaded, texts: Any, *, targets: Any = None, keep: Collection[str] = ()
) -> list[FlippedText]:
    """Returns, for each text, a text with a few other tokens for which the model predicts something else.

    A causal model predicts the token after the text, a masked model the tokens at its masks, an
    encoder-decoder the first token that it writes. See `flip_tokens` for the rule. Tokens are replaced by
    tokens of letters and digits; special tokens, and tokens without a letter or digit, are not replaced.
    Without a tokenizer all ids may be replaced, and by all.

    Args:
      loaded: a causal LM, a masked LM or an encoder-decoder, as `pretrained.load` returns it.
      texts: a text, several, or rows of ids.
      targets: for each text the token that the model is to predict, as the tokenizer writes it or as an id;
        for several masks a list of them. None: anything else than it predicts.
      keep: further tokens that are never replaced, as the tokenizer writes them.

    Raises:
      UsageError: if a text is too long, empty or without a mask, there are not as many targets as texts or
        masks, or a target is no token.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.attribution import flip_texts
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32, init_std=0.5)
      >>> config = models.TransformerConfig(causal=True, **size)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> flipped = flip_texts(loaded, "To be")[0]
      >>> flipped.succeeded == (flipped.predictions != flipped.flipped_predictions)
      True
    """
    read = read_texts(loaded, texts)
    plain = plain_ids(loaded)
    kept = {id for token in keep if (id := token_id(loaded, token)) is not None}
    unchanged = (set(np.flatnonzero(~plain).tolist()) | kept | special_ids(loaded)) if plain.any() else kept
    may = changeable_tokens(read, unchanged)
    aims = None if targets is None else target_ids(loaded, read, targets)
    candidates = jnp.asarray(plain if plain.any() else ~plain)
    program = _flipping(loaded.model)
    found = jax.device_get(program(loaded.params, read.inputs, read.positions, may, candidates, aims))
    return [
        FlippedText(
            ids,
            tuple(read.reader.strings(ids)),
            found.tokens[row, : len(ids)],
            tuple(read.reader.strings(found.tokens[row, : len(ids)])),
            found.order[row, : len(ids)],
            *read.named(found.predictions[row, :number]),
            *read.named(found.flipped_predictions[row, :number]),
            bool(found.succeeded[row]),
        )
        for row, (ids, number) in enumerate(zip(read.ids, read.numbers, strict=True))
    ]


@functools.lru_cache(maxsize=8)
def _reduction(model: models.Model, beam: int) -> Any:
    return jax.jit(functools.partial(reduce_inputs, model, beam=beam))


@functools.lru_cache(maxsize=8)
def _flipping(model: models.Model) -> Any:
    return jax.jit(functools.partial(flip_tokens, model))
