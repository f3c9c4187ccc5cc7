"""Texts to the gradients of the loss of what a model predicts: after a text, or at its masks."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained
from jaxlm.decoding._embedding_gradients import (
    NOT_ASKED,
    PREDICTED,
    EmbeddingGradients,
    embedding_gradients,
)
from jaxlm.decoding._loaded_texts import Text, check_loaded, frame_of, with_targets
from jaxlm.decoding._masked_rows import encode_masked, mask_token_id, pad_rows
from jaxlm.decoding._next_batches import pad_pairs
from jaxlm.decoding._next_tokens import read_pair
from jaxlm.decoding._prompts import checked_ids
from jaxlm.errors import UsageError

# Tokens, segments, positions and targets, as `embedding_gradients` takes them.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_compiled = jax.jit(embedding_gradients, static_argnames=("model",))


def loss_gradients(
    loaded: pretrained.Loaded, texts: Iterable[Text], *, targets: Iterable[Text | None] | None = None
) -> EmbeddingGradients:
    """Returns how the loss of a prediction changes with the vector of every token that was read.

    Of a causal LM the prediction is what follows each text: the loss is that of `next_tokens`, the mean over
    the target's tokens, and all of them but the last are read too. Of a masked LM it is what stands at the
    masks, all of which stay masks. Texts are read as `next_tokens` and `fill` read them; ids as they are.
    All texts are one batch, whose gradients are in memory at once: B x L x D floats.

    Args:
      loaded: a causal or a masked LM, as `pretrained.load` returns it.
      texts: texts or their ids; of a masked LM with the mask token where one is missing. A string is one
        text.
      targets: for each text what follows it, or one token for each of its masks, as text or ids; None, for a
        text or for all: the likeliest token, special tokens included.

    Returns:
      `EmbeddingGradients` of NumPy arrays, padded on the right to the longest text.

    Raises:
      TypeError: if `loaded` is no opened model.
      UsageError: if the model is of another kind, there is no text, a text is too long or has no mask, or
        targets do not fit.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import loss_gradients
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, max_length=32)
      >>> config, tokenizer = models.TransformerConfig(causal=True, **size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> found = loss_gradients(loaded, ["abc", "d"], targets=["d", None])
      >>> found.gradients.shape, found.targets[0].tolist(), found.saliency.sum(1).round(4).tolist()
      ((2, 3, 8), [100], [1.0, 1.0])
    """
    check_loaded(loaded)
    if not loaded.kind.score:
        raise UsageError(
            f"gradients are of the loss of a causal or a masked LM: this model is a {loaded.kind.name}"
        )
    texts, targets = with_targets(texts, targets)
    if not texts:
        raise UsageError("gradients are of at least one text: got none")
    arrays = (_after_texts if loaded.kind.next_token else _at_masks)(loaded, texts, targets)
    tokens, segments, positions, wanted = map(jnp.asarray, arrays)
    found = _compiled(
        loaded.model, loaded.params, tokens, segments=segments, positions=positions, targets=wanted
    )
    return _cut(jax.device_get(found), len(texts))


def _after_texts(
    loaded: pretrained.Loaded, texts: list[str | np.ndarray], targets: list[Text | None]
) -> Arrays:
    pairs = [read_pair(loaded, text, target) for text, target in zip(texts, targets, strict=True)]
    tokens, segments, places, ids = pad_pairs(pairs, models.longest_text(loaded.config))
    positions, wanted = np.full_like(places, NOT_ASKED), np.full_like(ids, PREDICTED)
    for row, (_, target) in enumerate(pairs):
        count = 1 if target is None else target.size
        positions[row, :count] = places[row, :count]
        if target is not None:
            wanted[row, :count] = target
    return tokens, segments, positions, wanted


def _at_masks(loaded: pretrained.Loaded, texts: list[str | np.ndarray], targets: list[Text | None]) -> Arrays:
    config, tokenizer, frame = loaded.config, loaded.tokenizer, frame_of(loaded)
    longest = models.longest_text(config)
    ids = [encode_masked(tokenizer, text, longest, frame=frame) for text in texts]
    rows = pad_rows(ids, mask_token_id(tokenizer), longest)
    wanted = np.full_like(rows.positions, PREDICTED)
    for row, target in enumerate(targets):
        if target is not None:
            count = int(rows.pending[row].sum())
            wanted[row, :count] = _one_for_each_mask(loaded, target, count)
    return rows.tokens, rows.segments, np.where(rows.pending, rows.positions, NOT_ASKED), wanted


def _one_for_each_mask(loaded: pretrained.Loaded, target: Text, count: int) -> np.ndarray:
    ids = loaded.tokenizer.encode(target) if isinstance(target, str) else np.asarray(target)
    if ids.size != count:
        raise UsageError(f"a target has one token for each of its text's {count} masks: got {ids.size}")
    return checked_ids(loaded.config, ids)


def _cut(found: EmbeddingGradients, num_texts: int) -> EmbeddingGradients:
    """Without the rows and columns that only make up a size that calls share."""
    length = int((found.segments > 0).sum(1).max())
    num_asked = int((found.positions != NOT_ASKED).sum(1).max())
    return EmbeddingGradients(
        tokens=found.tokens[:num_texts, :length],
        segments=found.segments[:num_texts, :length],
        positions=found.positions[:num_texts, :num_asked],
        targets=found.targets[:num_texts, :num_asked],
        loss=found.loss[:num_texts],
        gradients=found.gradients[:num_texts, :length],
        saliency=found.saliency[:num_texts, :length],
    )
