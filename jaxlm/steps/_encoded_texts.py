"""Texts as a model reads them, and what it is asked to predict at which of their positions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm import models, pretrained, tokenizers
from jaxlm.errors import UsageError
from jaxlm.steps._alignment import common_prefix_length


class Run(NamedTuple):
    """One reading of a text by a model, and the tokens that it predicts.

    Attributes:
      tokens: `Int32[n]` ids that are read; of an encoder-decoder by its decoder.
      source: `Int32[m]` ids that an encoder-decoder's encoder reads; None of other models.
      places: `Int32[M]` positions whose hidden states predict.
      targets: `Int32[M]` ids that stand there; of a masked model without targets the masks.
      offsets: `Int32[M]` where the targets stand in the ids of the text.
    """

    tokens: np.ndarray
    source: np.ndarray | None
    places: np.ndarray
    targets: np.ndarray
    offsets: np.ndarray


class TextReader:
    """How a model reads texts; the kinds of models differ here and nowhere else.

    Attributes:
      kind: "causal", "masked" or "seq2seq".

    Args:
      loaded: a causal LM, a masked LM or an encoder-decoder.
      target_tokenizer: what divides an encoder-decoder's targets; None: the model's tokenizer.

    Raises:
      UsageError: if the model predicts no tokens, or is an ensemble, or has no use for a target tokenizer.
      TypeError: if it is no opened model, or that is no tokenizer.
    """

    def __init__(self, loaded: pretrained.Loaded, target_tokenizer: Any = None) -> None:
        self.kind = model_kind(loaded)
        if target_tokenizer is not None and self.kind != "seq2seq":
            raise UsageError("a target_tokenizer is of an encoder-decoder: this model has none; leave it out")
        if not isinstance(target_tokenizer, tokenizers.Tokenizer | None):
            raise TypeError(
                f"a target_tokenizer is what tokenizers.load_tokenizer returns: got "
                f"{type(target_tokenizer).__name__}"
            )
        self._loaded = loaded
        self._target_tokenizer = target_tokenizer

    def run(self, text: Any, target: Any = None) -> Run:
        """Returns how a text is read, between the tokens that open and close it; ids are taken as they are.

        Args:
          text: a whole text; with a target a causal model's prompt, an encoder-decoder's source, or a text
            with masks.
          target: a whole text that begins with the prompt, a translation, or the text without masks.

        Raises:
          UsageError: if there is nothing to predict, the target does not belong to the text, or ids are none
            of the model's or too many.
        """
        if self.kind == "masked":
            return self._masked(text, target)
        if self.kind == "seq2seq":
            return self._seq2seq(text, target)
        return self._whole(text) if target is None else self._continued(text, target)

    def continued(self, prompt: Any, targets: np.ndarray) -> Run:
        """Returns a causal model's reading of a prompt and of given ids behind it, which it predicts."""
        ids = self._ids(prompt, self._prompt_frame(prompt))
        return _causal(self._checked(np.concatenate([ids, targets]), unread=1), len(ids))

    def strings(self, tokens: np.ndarray) -> list[str]:
        """Returns what a person reads for predicted ids; the ids themselves without a tokenizer."""
        tokenizer = self._target_tokenizer or self._loaded.tokenizer
        if tokenizer is None:
            return [str(id) for id in tokens.tolist()]
        # A model may have more rows than its tokenizer has tokens.
        known = tokenizer.vocab_size
        return [tokenizer.token(id) if id < known else f"<{id}>" for id in tokens.tolist()]

    def _whole(self, text: Any) -> Run:
        frame = tokenizers.Frame(self._frame("score").opening) if isinstance(text, str) else None
        return _causal(self._checked(self._ids(text, frame), unread=1), 1)

    def _continued(self, prompt: Any, target: Any) -> Run:
        frame = self._prompt_frame(prompt)
        before, whole = self._ids(prompt, frame), self._ids(target, frame)
        common = common_prefix_length(before, whole)
        are_texts = isinstance(prompt, str) and isinstance(target, str)
        if not (target.startswith(prompt) if are_texts else common == len(before)):
            raise UsageError(
                f"a target is a whole text that begins with its prompt: got {_shown(target)} after "
                f"{_shown(prompt)}"
            )
        return _causal(self._checked(whole, unread=1), max(common, 1))

    def _masked(self, text: Any, target: Any) -> Run:
        frame, tokenizer = self._frame("text"), self._loaded.tokenizer
        mask_id = self._loaded.config.mask_id if tokenizer is None else tokenizer.specials.mask
        ids = self._checked(self._ids(text, frame))
        places = np.flatnonzero(ids == mask_id).astype(np.int32)
        if mask_id is None or places.size == 0:
            word = "a mask" if mask_id is None or tokenizer is None else tokenizer.token(mask_id)
            raise UsageError(f"a masked model predicts at {word}, and there is none in {_shown(text)}")
        if target is None:
            return Run(ids, None, places, ids[places], places)
        filled = self._checked(self._ids(target, frame))
        if len(filled) != len(ids) or (np.delete(filled, places) != np.delete(ids, places)).any():
            raise UsageError(
                f"a masked text's target is the text with a token at each mask: got {_shown(target)}, "
                f"{len(filled)} tokens, for {_shown(text)}, {len(ids)} tokens"
            )
        return Run(ids, None, places, filled[places], places)

    def _seq2seq(self, text: Any, target: Any) -> Run:
        config = self._loaded.config
        if target is None:
            raise UsageError("an encoder-decoder is asked for targets, one a text: got none")
        if config.decoder.start_id is None:
            raise UsageError(
                "a decoder begins with a token of its own: got decoder.start_id=None; set it in the config"
            )
        source = self._checked(self._ids(text, self._frame("text")))
        targets = self._checked(self._target_ids(target))
        tokens = np.concatenate([[config.decoder.start_id], targets[:-1]]).astype(np.int32)
        places = np.arange(len(targets), dtype=np.int32)
        return Run(tokens, source, places, targets, places)

    def _target_ids(self, target: Any) -> np.ndarray:
        tokenizer = self._target_tokenizer
        if tokenizer is None or not isinstance(target, str):
            return self._ids(target, self._frame("text"))
        return tokenizers.text_frame(tokenizer, "text").around(tokenizer.encode(target))

    def _ids(self, text: Any, frame: tokenizers.Frame | None) -> np.ndarray:
        if not isinstance(text, str):
            return tokenizers.as_ids(text)
        if self._loaded.tokenizer is None:
            raise UsageError(
                f"there is no tokenizer beside this model: got {_shown(text)}; give ids in the place of texts"
            )
        return frame.around(self._loaded.tokenizer.encode(text))

    def _prompt_frame(self, prompt: Any) -> tokenizers.Frame:
        """What opens a prompt; behind an empty one, what opens any text predicts the first token."""
        if isinstance(prompt, str) and prompt == "":
            return tokenizers.Frame(self._frame("score").opening)
        return self._frame("prompt")

    def _frame(self, reader: tokenizers.Reader) -> tokenizers.Frame:
        tokenizer = self._loaded.tokenizer
        if tokenizer is None:
            return tokenizers.Frame()
        return tokenizers.text_frame(tokenizer, reader, self._loaded.frame)

    def _checked(self, ids: np.ndarray, *, unread: int = 0) -> np.ndarray:
        """Ids as int32; the last ones may be predicted and not read."""
        config, longest = self._loaded.config, models.longest_text(self._loaded.config)
        if ids.size == 0:
            raise UsageError("a text has one token at least: got none")
        if ids.min() < 0 or ids.max() >= config.vocab_size:
            raise UsageError(f"ids lie in 0..{config.vocab_size - 1}: got {ids.min()}..{ids.max()}")
        if ids.size - unread > longest:
            raise UsageError(
                f"a text is {ids.size} tokens long, and the model reads at most {longest} (its max_length); "
                "shorten it"
            )
        return ids.astype(np.int32)


def model_kind(loaded: Any) -> str:
    """Returns "causal", "masked" or "seq2seq".

    Raises:
      TypeError: if it is no opened model.
      UsageError: if it predicts no tokens, or is an ensemble.
    """
    if not isinstance(loaded, pretrained.Loaded):
        raise TypeError(f"expected what pretrained.load returns, got {type(loaded).__name__}")
    loaded.check_single("a step function")
    kind = loaded.kind
    if not (kind.next_token or kind.fill):
        raise UsageError(f"step functions are of models that predict tokens: this one is a {kind.name!r}")
    return "seq2seq" if kind.encoder else "causal" if kind.next_token else "masked"


def _causal(ids: np.ndarray, first: int) -> Run:
    """The run of a causal model that predicts the tokens from `first` on."""
    if first >= len(ids):
        raise UsageError(
            "nothing is predicted: a causal model predicts what has a token before it; write more"
        )
    offsets = np.arange(first, len(ids), dtype=np.int32)
    return Run(ids[:-1], None, offsets - 1, ids[first:], offsets)


def _shown(text: str | Sequence[int]) -> str:
    if isinstance(text, str):
        return repr(text if len(text) <= 60 else text[:57] + "...")
    ids = tokenizers.as_ids(text).tolist()
    return f"the ids {ids[:20]}{'...' if len(ids) > 20 else ''}"
