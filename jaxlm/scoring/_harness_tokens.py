"""Texts as lm-evaluation-harness's own model `hf` encodes them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import pretrained, tokenizers


class TokenPair(NamedTuple):
    """The ids that are read, and the ids behind them that are scored, both `Int32`."""

    context: np.ndarray
    continuation: np.ndarray


class HarnessTokens:
    """The harness's conventions of encoding, for one tokenizer.

    Every text has the tokens around it that the tokenizer's file puts there, even a context that is
    continued, unless the text spells the prefix token at its beginning. The prefix, bos or else eos, is the
    context of a text that has none, and of rolling texts.

    Args:
      loaded: the model; one that was trained here is read like its folder after `jaxlm convert`.

    Raises:
      UsageError: if the model has no tokenizer.
    """

    def __init__(self, loaded: pretrained.Loaded) -> None:
        tokenizer = loaded.text_tokenizer
        trained = pretrained.training_frame(tokenizer, loaded.kind, loaded.extra)
        if trained is None and not loaded.ends:  # only the tokenizer's file says what is around texts
            trained = tokenizers.Frame(tokenizers.file_frame(tokenizer).opening)
        self._tokenizer = tokenizer
        self._frame = tokenizers.text_frame(tokenizer, "harness", trained)
        self.prefix = np.asarray(tokenizers.text_frame(tokenizer, "prefix", trained).opening, np.int32)
        self._bos = tokenizer.specials.bos

    def texts(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Returns the ids of texts, with the tokens around them."""
        texts = list(tokenizers.as_texts(texts))
        spelled = self._tokenizer.decode(self.prefix) if self.prefix.size else None
        return self._framed(texts, spelled)

    def pairs(self, requests: Sequence[tuple[str, str]]) -> list[TokenPair]:
        """Returns the ids of contexts and continuations.

        White space at a context's end belongs to the continuation. Both are encoded together, and the
        continuation begins behind as many ids as the context has when it is encoded alone.
        """
        moved = [_moved(*request) for request in requests]
        unique = list(dict.fromkeys(text for context, both in moved for text in (context, both)))
        known = dict(zip(unique, self.texts(unique), strict=True))
        alone = self._tokenizer.encode_batch([continuation for _, continuation in requests])
        return [
            self._after_prefix(ids) if not given else self._divided(known[context], known[both])
            for (given, _), (context, both), ids in zip(requests, moved, alone, strict=True)
        ]

    def rolling(self, text_ids: np.ndarray, longest: int) -> Iterator[TokenPair]:
        """Yields the windows of a text: none for an empty one; the last one is full and may overlap."""
        stream = np.concatenate([self.prefix, text_ids]).astype(np.int32)
        last = len(stream) - 1
        done = 0
        while done < last:
            end = min(done + longest, last)
            start = max(end - longest, 0)
            yield TokenPair(stream[start : done + 1], stream[done + 1 : end + 1])
            done = end

    def prompts(self, contexts: Iterable[str]) -> list[np.ndarray]:
        """Returns the ids of contexts; one that spells bos is not opened, and an empty one is the prefix."""
        spelled = None if self._bos is None else self._tokenizer.decode([self._bos])
        return [ids if ids.size else self.prefix for ids in self._framed(list(contexts), spelled)]

    def _framed(self, texts: list[str], spelled: str | None) -> list[np.ndarray]:
        encoded = zip(texts, self._tokenizer.encode_batch(texts), strict=True)
        return [
            ids if spelled and text.startswith(spelled) else self._frame.around(ids) for text, ids in encoded
        ]

    def _after_prefix(self, ids: np.ndarray) -> TokenPair:
        if self.prefix.size and ids[:1].tolist() != self.prefix.tolist():
            return TokenPair(self.prefix, ids)
        return TokenPair(ids[:1], ids[1:])

    def _divided(self, context: np.ndarray, both: np.ndarray) -> TokenPair:
        rest = both[len(context) :]
        return TokenPair(context if context.size else self.prefix, rest)


def _moved(context: str, continuation: str) -> tuple[str, str]:
    """Returns the context without the white space at its end, and both texts together."""
    return context.rstrip(), context + continuation
