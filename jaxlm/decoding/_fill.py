"""Filling the masks of texts with a masked LM."""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, pretrained, tokenizers
from jaxlm.decoding._fill_masks import FilledMasks, fill_masks
from jaxlm.decoding._loaded_texts import Text, as_prompts, check_loaded, check_top_k, frame_of
from jaxlm.decoding._masked_rows import EMPTY_FRAME, PaddedRows, encode_masked, mask_token_id, pad_rows
from jaxlm.errors import UsageError

FILL_METHODS = ("parallel", "iterative")


class Candidate(NamedTuple):
    """A token that the model may predict at a mask.

    Attributes:
      token_id: the token's id.
      token: the token's text.
      probability: the token's probability, in [0, 1]. The probabilities of all tokens that are no special
        tokens sum to 1.
    """

    token_id: int
    token: str
    probability: float


class MaskPrediction(NamedTuple):
    """The tokens that the model predicts at one mask.

    Attributes:
      position: the index of the mask among the token ids of the text, from 0. Special tokens in front of the
        text, such as [CLS], count.
      candidates: the `top_k` likeliest tokens, likeliest first, where `top_k` is the argument of `fill`;
        fewer if the vocabulary has fewer. The first candidate fills the mask.
    """

    position: int
    candidates: tuple[Candidate, ...]

    @property
    def token(self) -> str:
        """The text of the token that fills the mask."""
        return self.candidates[0].token

    @property
    def probability(self) -> float:
        """The probability of the token that fills the mask, in [0, 1]."""
        return self.candidates[0].probability


class FilledText(NamedTuple):
    """A text whose masks have been filled.

    Attributes:
      tokens: `Int[L]`. The ids of the filled text, with the special tokens that open and close it, such as
        [CLS].
      text: the filled text as a string, without the special tokens that open and close it.
      predictions: one `MaskPrediction` for each mask, in the order of the text.
    """

    tokens: np.ndarray
    text: str
    predictions: tuple[MaskPrediction, ...]


def fill(loaded: pretrained.Loaded, text: Text, *, top_k: int = 5, method: str = "parallel") -> FilledText:
    """Fills the masks of one text with the model's likeliest tokens.

    Args:
      loaded: a masked LM, as `pretrained.load` returns it.
      text: a text with the mask token (`[MASK]` in jaxlm's own tokenizers) where a token is missing; or the
        ids of such a text, to which nothing is added.
      top_k: how many tokens are reported at each mask; all of them if the vocabulary has fewer without
        special tokens.
      method: "parallel" predicts every mask in one pass of the model, given the text with all its masks;
        "iterative" fills one mask in each pass, the most certain one first.

    Returns:
      The filled text, with the candidates at each mask.

    Raises:
      UsageError: if the model is not a masked LM or has no mask token, the text has no mask or is longer than
        the model's `max_length`, `top_k` is below 1, or the method is unknown.
      TypeError: if `loaded` is not a `pretrained.Loaded`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import fill
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, max_length=16)
      >>> model, tokenizer = models.build(config), tokenizers.bytes_tokenizer()
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "masked_lm", model, params, tokenizer, {})
      >>> filled = fill(loaded, "a[MASK]c", top_k=2)  # for a model on disk: pretrained.load("folder")
      >>> filled.predictions[0].position, len(filled.predictions[0].candidates), filled.text[::2]
      (1, 2, 'ac')
    """
    return fill_batch(loaded, [text], top_k=top_k, method=method)[0]


def fill_batch(
    loaded: pretrained.Loaded, texts: Iterable[Text], *, top_k: int = 5, method: str = "parallel"
) -> list[FilledText]:
    """Fills the masks of several texts. A text's result does not depend on the other texts.

    "parallel" predicts every mask from the text as given, argmax p(token | text with all its masks), in one
    pass of the model. "iterative" fills one mask in each pass, the mask whose best token has the highest
    probability, and predicts the remaining masks again with that token in place; a mask's reported
    probabilities are from the pass that filled it. Special tokens have probability zero: they are removed
    before normalising.

    The model reads a text between the tokens that opened and closed texts in its training ([CLS], [SEP]), as
    `jaxlm fill` does, and as `transformers` does for a published model. `FilledText.text` does not contain
    these tokens. Nothing is added to a text that is given as ids.

    Args:
      loaded: a masked LM, as `pretrained.load` returns it.
      texts: texts with the mask token where a token is missing, or rows of ids; lengths may differ. A single
        string is one text.
      top_k: how many tokens are reported at each mask; all of them if the vocabulary has fewer without
        special tokens.
      method: "parallel" or "iterative", as described above.

    Returns:
      One `FilledText` for each text, in order.

    Raises:
      UsageError: if the model is not a masked LM or has no mask token, a text has no mask or is longer than
        the model's `max_length`, `top_k` is below 1, or the method is unknown.
      TypeError: if `loaded` is not a `pretrained.Loaded`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding import fill_batch
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, max_length=16)
      >>> model, tokenizer = models.build(config), tokenizers.bytes_tokenizer()
      >>> params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "masked_lm", model, params, tokenizer, {})
      >>> [len(filled.predictions) for filled in fill_batch(loaded, ["a[MASK]c", "[MASK][MASK]"])]
      [1, 2]

    References:
      Ghazvininejad et al., "Mask-Predict", 2019, https://arxiv.org/abs/1904.09324 (iterative filling by
      confidence).
    """
    if method not in FILL_METHODS:
        raise UsageError(f"method is one of {', '.join(FILL_METHODS)}: got {method!r}")
    check_top_k(top_k)
    check_loaded(loaded)
    _check_fills(loaded)
    config, tokenizer, frame = loaded.config, loaded.text_tokenizer, frame_of(loaded)
    mask_id, texts = mask_token_id(tokenizer), as_prompts(texts)
    longest = models.longest_text(config)
    ids = [encode_masked(tokenizer, text, longest, frame=frame) for text in texts]
    if not ids:
        return []
    masks = _fill_rows(loaded, pad_rows(ids, mask_id, longest), top_k, method)
    frames = [frame if isinstance(text, str) else EMPTY_FRAME for text in texts]
    pairs = enumerate(zip(ids, frames, strict=True))
    return [_filled_text(tokenizer, text, mask_id, masks, row, around) for row, (text, around) in pairs]


def _check_fills(loaded: pretrained.Loaded) -> None:
    if loaded.kind.encoder:
        raise UsageError("an encoder-decoder writes new texts and fills no masks; use generate")
    if loaded.config.causal:
        raise UsageError(
            "a causal model reads only the tokens before a mask and cannot fill masks; use a masked LM"
        )
    if not loaded.kind.fill:
        raise UsageError(f"masks are filled by a masked LM, and this model is a {loaded.kind.name}")


def _fill_rows(loaded: pretrained.Loaded, rows: PaddedRows, top_k: int, method: str) -> FilledMasks:
    """The filled rows as NumPy arrays."""
    forbidden = tokenizers.special_mask(loaded.text_tokenizer, loaded.config.vocab_size)
    masks = fill_masks(
        loaded.model,
        loaded.params,
        *(jnp.asarray(array) for array in rows),
        jnp.asarray(forbidden),
        jnp.asarray(1 if method == "parallel" else rows.pending.sum(axis=1).max(), jnp.int32),
        top_k=min(top_k, int((~forbidden).sum())),
        method=method,
    )
    return jax.tree.map(np.asarray, masks)


def _filled_text(
    tokenizer: tokenizers.Tokenizer,
    text: np.ndarray,
    mask_id: int,
    masks: FilledMasks,
    row: int,
    frame: tokenizers.Frame,
) -> FilledText:
    tokens = np.asarray(masks.tokens)[row, : text.size]
    predictions = []
    for index, position in enumerate(np.flatnonzero(text == mask_id)):
        top = zip(masks.top_ids[row, index].tolist(), masks.top_log_probs[row, index].tolist(), strict=True)
        candidates = tuple(Candidate(token, tokenizer.token(token), float(np.exp(log))) for token, log in top)
        predictions.append(MaskPrediction(int(position), candidates))
    between = tokens[len(frame.opening) : tokens.size - len(frame.closing)]
    return FilledText(tokens, tokenizer.decode(between), tuple(predictions))
