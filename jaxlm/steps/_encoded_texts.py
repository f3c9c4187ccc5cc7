"""Texts as the ids that a model reads, and the tokens that it predicts at some of their positions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm import models, pretrained, tokenizers
from jaxlm.errors import UsageError
from jaxlm.steps._alignment import common_prefix_length


class EncodedText(NamedTuple):
    """The ids that a model reads of one text, and the tokens that it predicts.

    Attributes:
      tokens: `Int32[L]` ids that the model reads; for an encoder-decoder those that its decoder reads.
      source: `Int32[S]` ids that an encoder-decoder's encoder reads; None for other models.
      positions: `Int32[M]` positions at which the model predicts.
      targets: `Int32[M]` the predicted ids; for a masked model without targets the masks.
      offsets: `Int32[M]` where the targets are in the ids of the text.

    Example:
      >>> import numpy as np
      >>> from jaxlm.steps import EncodedText
      >>> EncodedText(np.array([5, 6]), None, np.array([0, 1]), np.array([6, 7]), np.array([1, 2])).source
    """

    tokens: np.ndarray
    source: np.ndarray | None
    positions: np.ndarray
    targets: np.ndarray
    offsets: np.ndarray


class TextReader:
    """Encodes texts as a model reads them. Only this class distinguishes the kinds of models.

    Attributes:
      kind: "causal", "masked" or "seq2seq".

    Example:
      >>> from jaxlm import models, pretrained
      >>> from jaxlm.steps import TextReader
      >>> config = models.TransformerConfig(vocab_size=9, width=8, depth=1, num_heads=2, causal=True)
      >>> loaded = pretrained.Loaded(config, "causal_lm", models.build(config, "causal_lm"), {}, None, {})
      >>> TextReader(loaded).encode([5, 6, 7]).positions.tolist()
      [0, 1]
    """

    def __init__(self, loaded: pretrained.Loaded, target_tokenizer: Any = None) -> None:
        """Makes a reader.

        Args:
          loaded: a causal LM, a masked LM or an encoder-decoder.
          target_tokenizer: tokenizer of an encoder-decoder's targets; None: the model's tokenizer.

        Raises:
          UsageError: if the model predicts no tokens, or is an ensemble, or is no encoder-decoder and a
            target tokenizer is given.
          TypeError: if `loaded` is not a `pretrained.Loaded`, or the target tokenizer is not a tokenizer.
        """
        self.kind = model_kind(loaded)
        if target_tokenizer is not None and self.kind != "seq2seq":
            raise UsageError(
                "a target_tokenizer is for an encoder-decoder, and this model is none; leave it out"
            )
        if not isinstance(target_tokenizer, tokenizers.Tokenizer | None):
            raise TypeError(
                f"a target_tokenizer is what tokenizers.load_tokenizer returns: got "
                f"{type(target_tokenizer).__name__}"
            )
        self._loaded = loaded
        self._target_tokenizer = target_tokenizer

    def encode(self, text: Any, target: Any = None) -> EncodedText:
        """Returns a text between its opening and closing tokens; nothing is added to ids.

        Args:
          text: a whole text. With a target: a causal model's prompt, an encoder-decoder's source, or a text
            with masks.
          target: a whole text that begins with the prompt, a translation, or the text without masks.

        Raises:
          UsageError: if there is nothing to predict, the target does not belong to the text, or there are too
            many ids or ids that the model does not have.
        """
        if self.kind == "masked":
            return self._masked(text, target)
        if self.kind == "seq2seq":
            return self._seq2seq(text, target)
        return self._whole(text) if target is None else self._continued(text, target)

    def encode_continuation(self, prompt: Any, targets: np.ndarray) -> EncodedText:
        """Returns a prompt followed by given ids, which a causal model predicts.

        Args:
          prompt: a text or ids.
          targets: `Int[M]` ids.
        """
        ids = self._ids(prompt, self._prompt_frame(prompt))
        return _causal(self._checked(np.concatenate([ids, targets]), unread=1), len(ids))

    def read_ids(self, text: Any, *, is_prompt: bool = False, is_target: bool = False) -> np.ndarray:
        """Returns a text as the ids that the model reads, `Int32[L]`, without anything to predict.

        Args:
          text: a text, or ids, to which nothing is added.
          is_prompt: whether it begins as a causal model's prompt does, not as a text that is scored.
          is_target: whether it is of the side that an encoder-decoder writes.

        Raises:
          UsageError: if there are no ids, too many, or ids that the model does not have.
        """
        if is_target:
            return self._checked(self._target_ids(text))
        if self.kind != "causal":
            return self._checked(self._ids(text, self._frame("text")))
        frame = self._prompt_frame(text) if is_prompt else tokenizers.Frame(self._frame("score").opening)
        return self._checked(self._ids(text, frame), unread=1)

    def strings(self, tokens: np.ndarray, *, is_source: bool = False) -> list[str]:
        """Returns ids as strings for people; without a tokenizer, the numbers.

        Args:
          tokens: `Int[M]` ids.
          is_source: whether an encoder-decoder's encoder reads them; otherwise they are predicted ids.
        """
        target_tokenizer = None if is_source else self._target_tokenizer
        tokenizer = target_tokenizer or self._loaded.tokenizer
        if tokenizer is None:
            return [str(id) for id in tokens.tolist()]
        # A model may have more ids than its tokenizer.
        vocab_size = tokenizer.vocab_size
        return [tokenizer.token(id) if id < vocab_size else f"<{id}>" for id in tokens.tolist()]

    def _whole(self, text: Any) -> EncodedText:
        opening = self._frame("score").opening if isinstance(text, str) else ()
        return _causal(self._checked(self._ids(text, tokenizers.Frame(opening)), unread=1), 1)

    def _continued(self, prompt: Any, target: Any) -> EncodedText:
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

    def _masked(self, text: Any, target: Any) -> EncodedText:
        frame, tokenizer = self._frame("text"), self._loaded.tokenizer
        mask_id = self._loaded.config.mask_id if tokenizer is None else tokenizer.specials.mask
        ids = self._checked(self._ids(text, frame))
        positions = np.flatnonzero(ids == mask_id).astype(np.int32)
        if mask_id is None or positions.size == 0:
            word = "a mask" if mask_id is None or tokenizer is None else tokenizer.token(mask_id)
            raise UsageError(f"a masked model predicts at {word}, and there is none in {_shown(text)}")
        if target is None:
            return EncodedText(ids, None, positions, ids[positions], positions)
        filled = self._checked(self._ids(target, frame))
        if len(filled) != len(ids) or (np.delete(filled, positions) != np.delete(ids, positions)).any():
            raise UsageError(
                f"a masked text's target is the text with a token at each mask: got {_shown(target)}, "
                f"{len(filled)} tokens, for {_shown(text)}, {len(ids)} tokens"
            )
        return EncodedText(ids, None, positions, filled[positions], positions)

    def _seq2seq(self, text: Any, target: Any) -> EncodedText:
        decoder = self._loaded.config.decoder
        if target is None:
            raise UsageError("an encoder-decoder needs a target for each text: got none")
        if decoder is None or decoder.start_id is None:
            raise UsageError("a decoder needs a first token: got decoder.start_id=None; set it in the config")
        source = self._checked(self._ids(text, self._frame("text")))
        targets = self._checked(self._target_ids(target))
        tokens = np.concatenate([[decoder.start_id], targets[:-1]]).astype(np.int32)
        positions = np.arange(len(targets), dtype=np.int32)
        return EncodedText(tokens, source, positions, targets, positions)

    def _target_ids(self, target: Any) -> np.ndarray:
        tokenizer = self._target_tokenizer
        if tokenizer is None or not isinstance(target, str):
            return self._ids(target, self._frame("text"))
        return tokenizers.text_frame(tokenizer, "text").around(tokenizer.encode(target))

    def _ids(self, text: Any, frame: tokenizers.Frame) -> np.ndarray:
        if not isinstance(text, str):
            return tokenizers.as_ids(text)
        if self._loaded.tokenizer is None:
            raise UsageError(
                f"there is no tokenizer beside this model: got {_shown(text)}; give ids instead of texts"
            )
        return frame.around(self._loaded.tokenizer.encode(text))

    def _prompt_frame(self, prompt: Any) -> tokenizers.Frame:
        """The tokens that open a prompt; for an empty one those that open scored texts, to predict from."""
        if isinstance(prompt, str) and prompt == "":
            return tokenizers.Frame(self._frame("score").opening)
        return self._frame("prompt")

    def _frame(self, reader: tokenizers.Reader) -> tokenizers.Frame:
        tokenizer = self._loaded.tokenizer
        if tokenizer is None:
            return tokenizers.Frame()
        return tokenizers.text_frame(tokenizer, reader, self._loaded.frame)

    def _checked(self, ids: np.ndarray, *, unread: int = 0) -> np.ndarray:
        """Ids as int32, after checks; the last `unread` ones are only predicted."""
        config, longest = self._loaded.config, models.longest_text(self._loaded.config)
        vocab_size = config.required_vocab_size()
        if ids.size == 0:
            raise UsageError("a text has one token at least: got none")
        if ids.min() < 0 or ids.max() >= vocab_size:
            raise UsageError(f"ids lie in 0..{vocab_size - 1}: got {ids.min()}..{ids.max()}")
        if ids.size - unread > longest:
            raise UsageError(
                f"a text is {ids.size} tokens long, and the model reads at most {longest} (its max_length); "
                "shorten it"
            )
        return ids.astype(np.int32)


def model_kind(loaded: Any) -> str:
    """Returns the kind of a model: "causal", "masked" or "seq2seq".

    Raises:
      TypeError: if it is not a `pretrained.Loaded`.
      UsageError: if it predicts no tokens, or is an ensemble.
    """
    if not isinstance(loaded, pretrained.Loaded):
        raise TypeError(f"expected what pretrained.load returns, got {type(loaded).__name__}")
    loaded.check_single("a step function")
    kind = loaded.kind
    if not (kind.next_token or kind.fill):
        raise UsageError(f"step functions need a model that predicts tokens, and this one is a {kind.name!r}")
    return "seq2seq" if kind.encoder else "causal" if kind.next_token else "masked"


def _causal(ids: np.ndarray, first: int) -> EncodedText:
    """A text of which a causal model predicts the tokens from `first` on."""
    if first >= len(ids):
        raise UsageError(
            "nothing is predicted: a causal model predicts tokens that have one before them; write more"
        )
    offsets = np.arange(first, len(ids), dtype=np.int32)
    return EncodedText(ids[:-1], None, offsets - 1, ids[first:], offsets)


def _shown(text: str | Sequence[int]) -> str:
    if isinstance(text, str):
        return repr(text if len(text) <= 60 else text[:57] + "...")
    ids = tokenizers.as_ids(text).tolist()
    return f"the ids {ids[:20]}{'...' if len(ids) > 20 else ''}"
