"""Gradients of the loss of a model's predictions after texts, or at the masks of texts."""

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

# Tokens, segments, positions and targets, the arguments of `embedding_gradients`.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

_compiled = jax.jit(embedding_gradients, static_argnames=("model",))


def loss_gradients(
    loaded: pretrained.Loaded, texts: Iterable[Text], *, targets: Iterable[Text | None] | None = None
) -> EmbeddingGradients:
    """Returns the gradient of a prediction's loss with respect to the vector of every token of the texts.

    A causal LM predicts the continuation of each text: the loss is that of `next_tokens`, the mean over the
    target's tokens, and the model also reads all target tokens but the last. A masked LM predicts the tokens
    at the masks, given the text with all its masks. The model reads a text with the same opening and closing
    tokens as in `next_tokens` and `fill`; nothing is added to a text that is given as ids. All texts are
    computed as one batch, whose gradients are in memory at once: B x L x D floats.

    Args:
      loaded: a causal or a masked LM, as `pretrained.load` returns it.
      texts: texts, or rows of ids; for a masked LM with the mask token where a token is missing. A single
        string is one text.
      targets: for each text its continuation (causal LM), or one token for each of its masks (masked LM), as
        text or ids. None in place of a text's targets, or of all targets: the likeliest token, which may be a
        special token.

    Returns:
      `EmbeddingGradients` of NumPy arrays, whose rows are padded on the right to the longest text.

    Raises:
      TypeError: if `loaded` is not a `pretrained.Loaded`.
      UsageError: if the model is of another kind, there is no text, a text is too long or has no mask, or the
        number of targets differs from the number of texts, or of a text's masks.

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
      >>> result = loss_gradients(loaded, ["abc", "d"], targets=["d", None])
      >>> result.gradients.shape, result.targets[0].tolist(), result.saliency.sum(1).round(4).tolist()
      ((2, 3, 8), [100], [1.0, 1.0])
    """
    check_loaded(loaded)
    if not loaded.kind.score:
        raise UsageError(
            f"gradients are computed for a causal or a masked LM, and this model is a {loaded.kind.name}"
        )
    texts, targets = with_targets(texts, targets)
    if not texts:
        raise UsageError("gradients need at least one text: got none")
    arrays = (_after_texts if loaded.kind.next_token else _at_masks)(loaded, texts, targets)
    tokens, segments, positions, target_ids = map(jnp.asarray, arrays)
    padded = _compiled(
        loaded.model, loaded.params, tokens, segments=segments, positions=positions, targets=target_ids
    )
    return _without_padding(jax.device_get(padded), len(texts))


def _after_texts(
    loaded: pretrained.Loaded, texts: list[str | np.ndarray], targets: list[Text | None]
) -> Arrays:
    pairs = [read_pair(loaded, text, target) for text, target in zip(texts, targets, strict=True)]
    tokens, segments, before, ids = pad_pairs(pairs, models.longest_text(loaded.config))
    positions, target_ids = np.full_like(before, NOT_ASKED), np.full_like(ids, PREDICTED)
    for row, (_, target) in enumerate(pairs):
        count = 1 if target is None else target.size
        positions[row, :count] = before[row, :count]
        if target is not None:
            target_ids[row, :count] = target
    return tokens, segments, positions, target_ids


def _at_masks(loaded: pretrained.Loaded, texts: list[str | np.ndarray], targets: list[Text | None]) -> Arrays:
    config, tokenizer, frame = loaded.config, loaded.text_tokenizer, frame_of(loaded)
    longest = models.longest_text(config)
    ids = [encode_masked(tokenizer, text, longest, frame=frame) for text in texts]
    rows = pad_rows(ids, mask_token_id(tokenizer), longest)
    target_ids = np.full_like(rows.positions, PREDICTED)
    for row, target in enumerate(targets):
        if target is not None:
            count = int(rows.pending[row].sum())
            target_ids[row, :count] = _mask_target_ids(loaded, target, count)
    return rows.tokens, rows.segments, np.where(rows.pending, rows.positions, NOT_ASKED), target_ids


def _mask_target_ids(loaded: pretrained.Loaded, target: Text, count: int) -> np.ndarray:
    ids = loaded.text_tokenizer.encode(target) if isinstance(target, str) else np.asarray(target)
    if ids.size != count:
        raise UsageError(f"a target has one token for each of its text's {count} masks: got {ids.size}")
    return checked_ids(loaded.config, ids)


def _without_padding(padded: EmbeddingGradients, num_texts: int) -> EmbeddingGradients:
    """The result without the rows and columns that were only added to round the sizes up."""
    length = int((padded.segments > 0).sum(1).max())
    num_asked = int((padded.positions != NOT_ASKED).sum(1).max())
    return EmbeddingGradients(
        tokens=padded.tokens[:num_texts, :length],
        segments=padded.segments[:num_texts, :length],
        positions=padded.positions[:num_texts, :num_asked],
        targets=padded.targets[:num_texts, :num_asked],
        loss=padded.loss[:num_texts],
        gradients=padded.gradients[:num_texts, :length],
        saliency=padded.saliency[:num_texts, :length],
    )
