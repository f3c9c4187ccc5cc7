"""Filling the masks of texts with a masked LM."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import tokenizers
from jaxlm.decoding._fill_masks import Settled, fill_masks
from jaxlm.decoding._rows import encode_masked, mask_token_id, pad_rows
from jaxlm.decoding._steps import is_seq2seq

METHODS = ("parallel", "iterative")


class Candidate(NamedTuple):
    """A token that may stand at a mask, and its probability in [0, 1] among the tokens that may be
    predicted."""

    token_id: int
    token: str
    probability: float


class MaskPrediction(NamedTuple):
    """What the model expects at one mask.

    Attributes:
        position: offset of the mask in the ids of the text, those that open and close it included.
        candidates: the `top_k` likeliest tokens, best first; the first one fills the mask.
    """

    position: int
    candidates: tuple[Candidate, ...]

    @property
    def token(self) -> str:
        """The token that fills the mask."""
        return self.candidates[0].token

    @property
    def probability(self) -> float:
        """Its probability, in [0, 1]."""
        return self.candidates[0].probability


class Filled(NamedTuple):
    """A text without its masks.

    Attributes:
        tokens: `Int[L]` ids.
        text: the same, decoded.
        predictions: one for each mask, in the order of the text.
    """

    tokens: np.ndarray
    text: str
    predictions: tuple[MaskPrediction, ...]


def fill(
    model: nn.Module,
    params: Mapping[str, Any],
    tokenizer: tokenizers.Tokenizer,
    text: str | Sequence[int] | np.ndarray,
    *,
    top_k: int = 5,
    method: str = "parallel",
    add_specials: bool = False,
) -> Filled:
    """Fills the masks of one text; `fill_batch` says how.

    Args:
        model: a masked LM.
        params: its parameters.
        tokenizer: its tokenizer.
        text: text with the mask token (`[MASK]` in tokenizers trained here) where a token is missing; or its
            ids.
        top_k: how many tokens to report at each mask; cut to the number of tokens that may be predicted.
        method: "parallel" or "iterative".
        add_specials: as for `fill_batch`.

    Returns:
        `Filled`.

    Raises:
        ValueError: as `fill_batch`.
    """
    filled = fill_batch(
        model, params, tokenizer, [text], top_k=top_k, method=method, add_specials=add_specials
    )
    return filled[0]


def fill_batch(
    model: nn.Module,
    params: Mapping[str, Any],
    tokenizer: tokenizers.Tokenizer,
    texts: Sequence[str | Sequence[int] | np.ndarray],
    *,
    top_k: int = 5,
    method: str = "parallel",
    add_specials: bool = False,
) -> list[Filled]:
    """Fills the masks of several texts at once, each as if it were alone.

    "parallel" predicts every mask from the text as given: the argmax of p(token | text with all its masks),
    one pass of the model. "iterative" fills, one mask a pass, the mask whose best token is the most probable,
    and predicts the others again with it in place; the probabilities reported are those of the pass that
    filled the mask. Special tokens, the end of an instruction included, have probability zero: they are taken
    out before normalising.

    Args:
        model: a masked LM.
        params: its parameters.
        tokenizer: its tokenizer.
        texts: texts with the mask token where a token is missing, or their ids; lengths may differ.
        top_k: how many tokens to report at each mask; cut to the number of tokens that may be predicted.
        method: "parallel" or "iterative".
        add_specials: put the tokenizer's opening and closing tokens ([CLS], [SEP]) around each text, as
            encoders of Hugging Face were trained; `Filled.text` leaves them out.

    Returns:
        One `Filled` a text, in order.

    Raises:
        ValueError: if the model is causal, an encoder-decoder or has no mask token, a text has no mask or is
            longer than the model's `max_length`, `top_k` is below 1, or the method is unknown.

    References:
        Ghazvininejad et al., "Mask-Predict", 2019, https://arxiv.org/abs/1904.09324 (iterative filling by
        confidence).
    """
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}: got {method!r}")
    if top_k < 1:
        raise ValueError(f"top_k is at least 1: got {top_k}")
    if is_seq2seq(model):
        raise ValueError("an encoder-decoder writes texts of its own and fills no masks; use generate")
    if model.config.causal:
        raise ValueError(
            "a causal model sees only what stands before a token and cannot fill masks; use a masked LM"
        )
    mask_id = mask_token_id(tokenizer)
    longest = model.config.max_length
    ids = [encode_masked(tokenizer, text, longest, add_specials=add_specials) for text in texts]
    if not ids:
        return []
    rows = pad_rows(ids, mask_id, model.config.max_length)
    forbidden = _forbidden(tokenizer, model.config.vocab_size)
    settled = fill_masks(
        model,
        params,
        *(jnp.asarray(array) for array in rows),
        jnp.asarray(forbidden),
        jnp.asarray(1 if method == "parallel" else rows.pending.sum(axis=1).max(), jnp.int32),
        top_k=min(top_k, int((~forbidden).sum())),
        method=method,
    )
    settled = Settled(*(np.asarray(array) for array in settled))
    ends = _ends(tokenizer) if add_specials else frozenset()
    return [_filled(tokenizer, text, mask_id, settled, row, ends) for row, text in enumerate(ids)]


def _ends(tokenizer: tokenizers.Tokenizer) -> frozenset[int]:
    roles = tokenizer.specials
    return frozenset(id for id in (roles.cls, roles.sep, roles.bos, roles.eos) if id is not None)


def _forbidden(tokenizer: tokenizers.Tokenizer, vocab_size: int) -> np.ndarray:
    """Returns `Bool[V]`, True at specials and at ids that the model has but the tokenizer does not."""
    forbidden = np.arange(vocab_size) >= tokenizer.vocab_size
    forbidden[list(tokenizer.special_ids)] = True
    return forbidden


def _filled(
    tokenizer: tokenizers.Tokenizer,
    text: np.ndarray,
    mask_id: int,
    settled: Settled,
    row: int,
    ends: frozenset[int],
) -> Filled:
    tokens = settled.tokens[row, : text.size]
    predictions = []
    for index, position in enumerate(np.flatnonzero(text == mask_id)):
        top = zip(
            settled.top_ids[row, index].tolist(), settled.top_log_probs[row, index].tolist(), strict=True
        )
        candidates = tuple(Candidate(token, tokenizer.token(token), float(np.exp(log))) for token, log in top)
        predictions.append(MaskPrediction(int(position), candidates))
    between = tokens[int(tokens[0] in ends) : tokens.size - int(tokens[-1] in ends)]
    return Filled(tokens, tokenizer.decode(between), tuple(predictions))
