"""Texts as lm-evaluation-harness's own model `hf` encodes them: what opens them and what is asked."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxlm import pretrained, tokenizers


class TokenPair(NamedTuple):
    """What is read, and what behind it is asked for; `Int32` ids of both."""

    context: np.ndarray
    continuation: np.ndarray


class HarnessTokens:
    """The harness's conventions of encoding, for one tokenizer.

    Every text stands between what the tokenizer's file puts around it, also a context that is gone on with,
    unless it spells the prefix token at its beginning. The prefix, bos or else eos, is the context of what
    has none, and of rolling texts.

    Args:
      loaded: the model; one that was trained here is read as its `convert`ed folder.
    """

    def __init__(self, loaded: pretrained.Loaded) -> None:
        self._tokenizer = loaded.tokenizer
        told = pretrained.training_frame(loaded.tokenizer, loaded.kind, loaded.extra)
        if told is None and not loaded.ends:  # nothing is known of it but its tokenizer
            told = tokenizers.Frame(tokenizers.file_frame(loaded.tokenizer).opening)
        self._frame = tokenizers.text_frame(loaded.tokenizer, "harness", told)
        self.prefix = np.asarray(tokenizers.text_frame(loaded.tokenizer, "prefix", told).opening, np.int32)
        self._bos = loaded.tokenizer.specials.bos

    def texts(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Returns the ids of texts, opened and closed."""
        texts = list(tokenizers.as_texts(texts))
        spelled = self._tokenizer.decode(self.prefix) if self.prefix.size else None
        return self._framed(texts, spelled)

    def pairs(self, requests: Sequence[tuple[str, str]]) -> list[TokenPair]:
        """Returns contexts and continuations: white space at a context's end is the continuation's.

        A continuation is what stands behind as many ids as its context alone has.
        """
        moved = [_moved(*request) for request in requests]
        unique = list(dict.fromkeys(text for context, both in moved for text in (context, both)))
        known = dict(zip(unique, self.texts(unique), strict=True))
        alone = self._tokenizer.encode_batch([continuation for _, continuation in requests])
        return [
            self._behind_the_prefix(ids) if not asked else self._divided(known[context], known[both])
            for (asked, _), (context, both), ids in zip(requests, moved, alone, strict=True)
        ]

    def rolling(self, text_ids: np.ndarray, longest: int) -> Iterator[TokenPair]:
        """Yields the windows of a text, disjoint but for the last, which is full; none of an empty one."""
        stream = np.concatenate([self.prefix, text_ids]).astype(np.int32)
        last = len(stream) - 1
        done = 0
        while done < last:
            end = min(done + longest, last)
            start = max(end - longest, 0)
            yield TokenPair(stream[start : done + 1], stream[done + 1 : end + 1])
            done = end

    def prompts(self, contexts: Iterable[str]) -> list[np.ndarray]:
        """Returns contexts to go on from, not opened where they spell bos; the prefix of an empty one."""
        spelled = None if self._bos is None else self._tokenizer.decode([self._bos])
        return [ids if ids.size else self.prefix for ids in self._framed(list(contexts), spelled)]

    def _framed(self, texts: list[str], spelled: str | None) -> list[np.ndarray]:
        found = zip(texts, self._tokenizer.encode_batch(texts), strict=True)
        return [
            ids if spelled and text.startswith(spelled) else self._frame.around(ids) for text, ids in found
        ]

    def _behind_the_prefix(self, ids: np.ndarray) -> TokenPair:
        if self.prefix.size and ids[:1].tolist() != self.prefix.tolist():
            return TokenPair(self.prefix, ids)
        return TokenPair(ids[:1], ids[1:])

    def _divided(self, context: np.ndarray, both: np.ndarray) -> TokenPair:
        rest = both[len(context) :]
        return TokenPair(context if context.size else self.prefix, rest)


def _moved(context: str, continuation: str) -> tuple[str, str]:
    """A context without the white space at its end, and both together."""
    return context.rstrip(), context + continuation
