"""A causal model as a model over bytes: with the trie of its vocabulary and the canonical ids of bytes."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from flax import linen as nn

from jaxlm import io, models, pretrained, tokenizers
from jaxlm.decoding import CachedLM
from jaxlm.decoding.bytes._canonical import CanonicalEncoder
from jaxlm.decoding.bytes._trie import ByteTrie, make_byte_trie
from jaxlm.devices import Layout
from jaxlm.errors import UsageError

Probability = Literal["stem", "canonical"]


class ByteSettings(NamedTuple):
    """How a byte model computes.

    Attributes:
      max_stems: how many canonical stems a probability is a sum over.
      probability: "stem": all ids but the last are canonical; "canonical": the last one, too.

    Example:
      >>> from jaxlm.decoding.bytes import ByteSettings
      >>> ByteSettings(max_stems=32)
      ByteSettings(max_stems=32, probability='stem')
    """

    max_stems: int = 16
    probability: Probability = "stem"


@dataclasses.dataclass(frozen=True, eq=False)
class ByteModel:
    """A causal model over bytes; `make_byte_model` makes it.

    The probability of bytes is that of the tokens that begin with them. There are many ways to divide bytes
    into tokens. The sum here is over the covers whose ids are all canonical, which means those that the
    tokenizer gives the same bytes, but for the last id, which may go beyond the bytes: P_stem. It is never
    more than the sum over all covers, P, and never less than that over canonical ids alone, P_canonical.

    Attributes:
      model: a causal LM.
      params: its parameters.
      trie: of the vocabulary's bytes, without the ids that end a text.
      token_bytes: by id, its bytes; None for ids that stand for no text or end it.
      opening_ids: what the model reads before every text. If there are none, nothing tells the first id of a
        text: each id with bytes counts as equally likely.
      eos_ids: ids of which each ends a text.
      encoder: gives bytes their canonical ids.
      settings: how it computes.
      loaded: the model as it was opened.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model
      >>> size = dict(vocab_size=260, width=8, depth=1, num_heads=2, causal=True, max_length=32)
      >>> config, tokenizer = models.TransformerConfig(**size), tokenizers.bytes_tokenizer()
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> byte_model = make_byte_model(loaded)
      >>> byte_model.encode(b"hi"), byte_model.longest_token, len(byte_model.producible)
      ((104, 105), 1, 256)
    """

    model: nn.Module
    params: Mapping[str, Any]
    trie: ByteTrie
    token_bytes: tuple[bytes | None, ...]
    opening_ids: tuple[int, ...]
    eos_ids: tuple[int, ...]
    encoder: CanonicalEncoder
    settings: ByteSettings
    loaded: pretrained.Loaded

    def __repr__(self) -> str:
        known = sum(1 for data in self.token_bytes if data)
        return (
            f"ByteModel({known:,} ids with bytes, opening_ids={self.opening_ids}, eos_ids={self.eos_ids}, "
            f"{self.settings})"
        )

    @property
    def prefix(self) -> bytes:
        """The bytes that the tokenizer puts in front of a text: a space, or nothing."""
        return self.encoder.table.prefix

    def encode(self, text: bytes) -> tuple[int, ...]:
        """Returns the canonical ids of a text, without the opening; special tokens in it are plain text.

        Args:
          text: any bytes.

        Raises:
          UsageError: if the tokenizer gives no ids that spell the text.
        """
        ids = self.encoder.encode(self.prefix + text)
        if ids is None:
            raise UsageError(self.unspelled(text))
        return ids

    def unspelled(self, text: bytes) -> str:
        """Returns the message for a text that no ids of the tokenizer spell, with the reason.

        Args:
          text: without the prefix.
        """
        produced = self.producible
        missing = next((byte for byte in text if byte not in produced), None)
        if missing is not None:
            return f"no token of this model can write the byte {bytes([missing])!r}, which the text has"
        losses = "; ".join(self.encoder.table.losses) or "it changes them"
        return f"the ids of this tokenizer do not spell {_shown(text)}: what it does not restore is {losses}"

    @functools.cached_property
    def producible(self) -> frozenset[int]:
        """The bytes that occur in a token."""
        return frozenset(byte for data in self.token_bytes if data for byte in data)

    @functools.cached_property
    def longest_token(self) -> int:
        """How many bytes the longest token has."""
        return max(len(data) for data in self.token_bytes if data)

    @functools.cached_property
    def lm(self) -> CachedLM:
        """The cache that all states of this model share."""
        return CachedLM(self.model, self.params, bos_id=next(reversed(self.opening_ids), None))

    @functools.cached_property
    def first_log_probs(self) -> np.ndarray:
        """The log-probs `Float32[V]` of the first id of a text where no opening tells them."""
        has_bytes = np.array([bool(data) for data in self.token_bytes])
        return np.where(has_bytes, -np.log(has_bytes.sum()), -np.inf).astype(np.float32)

    @functools.cached_property
    def _replicas(self) -> dict[Layout, tuple[Mapping[str, Any], ByteTrie]]:
        return {}

    def on_devices(self, layout: Layout) -> tuple[Mapping[str, Any], ByteTrie]:
        """Returns the parameters and the trie with a copy on each device; copies of one layout are kept.

        Args:
          layout: the devices.
        """
        if len(layout.devices) == 1:
            return self.params, self.trie
        if layout not in self._replicas:
            self._replicas.clear()
            self._replicas[layout] = layout.replicate((self.params, self.trie))
        return self._replicas[layout]

    @functools.cached_property
    def _followers(self) -> dict[int, np.ndarray]:
        return {}

    def can_follow(self, last: int | None) -> np.ndarray:
        """Returns which ids are canonical behind another one, `Bool[V]`.

        They are those for which the two ids are those of their bytes together. For merges of bytes that
        suffices: ids are canonical if each two neighbours are. The first call for an id divides the whole
        vocabulary behind it, later ones remember.

        Args:
          last: an id with bytes; None: at the beginning of a text.
        """
        key = -1 if last is None else last
        if key not in self._followers:
            before = b"" if last is None else self.token_bytes[last] or b""
            ids = [id for id, data in enumerate(self.token_bytes) if data]
            wanted = [() if last is None else (last,)] * len(ids)
            both = self.encoder.encode_batch([before + (self.token_bytes[id] or b"") for id in ids])
            allowed = np.zeros(len(self.token_bytes), np.bool_)
            for id, head, found in zip(ids, wanted, both, strict=True):
                allowed[id] = found == (*head, id)
            allowed[list(self.eos_ids)] = True
            self._followers[key] = allowed
        return self._followers[key]


def make_byte_model(
    loaded: pretrained.Loaded,
    *,
    max_stems: int = 16,
    probability: Probability = "stem",
    eos_ids: Sequence[int] | None = None,
    opening: Sequence[int] | None = None,
) -> ByteModel:
    """Returns a causal model as a model over bytes.

    Args:
      loaded: what `pretrained.load` returned.
      max_stems: how many stems a probability is a sum over; see `ByteSettings`. What is left out is counted.
      probability: "stem", or "canonical", which asks the tokenizer about each two ids that meet, for small
        vocabularies of merged bytes.
      eos_ids: ids of which each ends a text, even those that have bytes; None: the id that ends texts in
        training, or the tokenizer's end-of-sequence token.
      opening: ids before every text; None: those before a scored text, or the token that begins texts, or
        none if the tokenizer has no such token.

    Raises:
      TypeError: if `loaded` is no `pretrained.Loaded`.
      UnknownBytesError: if the tokenizer's file does not determine the bytes of its ids.
      UsageError: if it is not one causal LM with a tokenizer, or an option is out of range.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> byte_model = make_byte_model(loaded, opening=(258,), eos_ids=(257,))
      >>> byte_model.encode(b"hi"), byte_model.opening_ids, byte_model.eos_ids
      ((104, 105), (258,), (257,))
    """
    if not isinstance(loaded, pretrained.Loaded):
        raise TypeError(f"expected what pretrained.load returns, got {type(loaded).__name__}")
    loaded.check_single("a byte model")
    tokenizer = loaded.text_tokenizer
    if not loaded.kind.next_token or loaded.kind.encoder or not loaded.config.causal:
        raise UsageError(
            "a model over bytes is made of a causal LM, which continues a text: "
            f"this one is a {loaded.kind.name}"
        )
    if not io.matches_type(max_stems, int) or max_stems < 1:
        raise UsageError(f"max_stems is a whole number, at least 1: got {max_stems!r}")
    if probability not in get_args(Probability):
        raise UsageError(f"probability is one of {', '.join(get_args(Probability))}: got {probability!r}")
    vocab_size = loaded.config.required_vocab_size()
    table = tokenizers.token_bytes(tokenizer, rows=vocab_size)
    if probability == "canonical" and table.prefix:
        raise UsageError(
            "this tokenizer puts a space in front of a text, so that it cannot be asked about the middle of "
            'one: use probability="stem"'
        )
    if eos_ids is None:
        end = pretrained.end_id(tokenizer, loaded.kind, loaded.frame)
        eos_ids = () if end is None else (end,)
    if opening is None:
        frame = tokenizers.text_frame(tokenizer, "score", loaded.frame)
        opening = frame.opening or tokenizers.text_frame(tokenizer, "prefix", loaded.frame).opening
    eos_ids, opening = (_checked_ids(ids, vocab_size) for ids in (eos_ids, opening))
    limit = models.longest_text(loaded.config)
    if len(opening) > limit:
        raise UsageError(f"the opening has {len(opening)} ids and the model reads at most {limit}")
    values = tuple(None if id in eos_ids else data or None for id, data in enumerate(table.values))
    return ByteModel(
        loaded.model,
        loaded.params,
        make_byte_trie(values),
        values,
        opening,
        eos_ids,
        CanonicalEncoder(tokenizer, table._replace(values=values)),
        ByteSettings(max_stems, probability),
        loaded,
    )


def _checked_ids(ids: Sequence[int], vocab_size: int) -> tuple[int, ...]:
    for id in ids:
        is_whole = isinstance(id, (int, np.integer)) and not isinstance(id, bool)
        if not is_whole or not 0 <= id < vocab_size:
            raise UsageError(f"ids lie in 0..{vocab_size - 1}: got {id!r}")
    return tuple(int(id) for id in ids)


def _shown(text: bytes) -> str:
    return repr(text if len(text) <= 40 else text[:37] + b"...")
