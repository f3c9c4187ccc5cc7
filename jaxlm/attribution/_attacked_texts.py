"""Attacks on the predictions of texts: input reduction and HotFlip of what a user wrote.

Letters: `B` rows, `L` positions of a row, `M` predictions of a row, `V` vocabulary.
"""

import functools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops, pretrained, tokenizers
from jaxlm.attribution._hotflip import flip_tokens
from jaxlm.attribution._input_reduction import BEAM, reduce_inputs
from jaxlm.errors import UsageError
from jaxlm.steps import EncodedText, TextReader

SHORTEST_ROW = 16


class ReducedText(NamedTuple):
    """A text after input reduction.

    Attributes:
      token_ids: `Int32[L]`. The ids that the model read.
      tokens: the same as readable strings.
      kept: `Bool[L]`. Which of them are left.
      predictions: what the model predicts with all tokens, and with those that are left, as readable strings.
      probabilities: `Float32[M]`. The probabilities of the predictions with all tokens.
      reduced_probabilities: `Float32[M]`. The same with the tokens that are left.
    """

    token_ids: np.ndarray
    tokens: tuple[str, ...]
    kept: np.ndarray
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
      predictions: what the model predicts for the text, as readable strings.
      flipped_predictions: what it predicts for the changed text.
      succeeded: whether the prediction changed; with a target, whether it is the target now.
    """

    token_ids: np.ndarray
    tokens: tuple[str, ...]
    flipped_ids: np.ndarray
    flipped_tokens: tuple[str, ...]
    order: np.ndarray
    predictions: tuple[str, ...]
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
    read = _read(loaded, texts)
    kept = {id for token in keep if (id := _id_of(loaded, token)) is not None}
    may = _changeable(read, _special_ids(loaded) | kept)
    program = _reduction(loaded.model, beam)
    found = jax.device_get(program(loaded.params, read.inputs, read.positions, may))
    return [
        ReducedText(
            ids,
            tuple(read.reader.strings(ids)),
            found.kept[row, : len(ids)],
            read.target_strings(found.predictions[row, :number]),
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
    read = _read(loaded, texts)
    plain = _plain_ids(loaded)
    kept = {id for token in keep if (id := _id_of(loaded, token)) is not None}
    unchanged = (set(np.flatnonzero(~plain).tolist()) | kept | _special_ids(loaded)) if plain.any() else kept
    may = _changeable(read, unchanged)
    aims = None if targets is None else _target_ids(loaded, read, targets)
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
            read.target_strings(found.predictions[row, :number]),
            read.target_strings(found.flipped_predictions[row, :number]),
            bool(found.succeeded[row]),
        )
        for row, (ids, number) in enumerate(zip(read.ids, read.numbers, strict=True))
    ]


class _ReadTexts(NamedTuple):
    """Texts as rows for one compiled call, with the ids of the row that is changed."""

    reader: TextReader
    ids: list[np.ndarray]
    numbers: list[int]
    inputs: models.Inputs
    positions: Any

    def target_strings(self, ids: np.ndarray) -> tuple[str, ...]:
        return tuple(self.reader.strings(ids))


@functools.lru_cache(maxsize=8)
def _reduction(model: models.Model, beam: int) -> Any:
    return jax.jit(functools.partial(reduce_inputs, model, beam=beam))


@functools.lru_cache(maxsize=8)
def _flipping(model: models.Model) -> Any:
    return jax.jit(functools.partial(flip_tokens, model))


def _read(loaded: pretrained.Loaded, texts: Any) -> _ReadTexts:
    reader = TextReader(loaded)
    rows = list(tokenizers.as_texts(texts))
    if not rows:
        raise UsageError("an attack needs a text: got none")
    encoded = [_encoded(reader, text) for text in rows]
    longest = models.longest_text(loaded.config)
    own = [text.tokens for text in encoded]
    inputs = _padded(own, longest)
    ids = own
    if reader.kind == "seq2seq":
        ids = [text.source for text in encoded if text.source is not None]
        inputs = inputs._replace(encoder=_padded(ids, longest))
    most = max(len(text.positions) for text in encoded)
    positions = np.full((len(rows), most), -1, np.int32)
    for row, text in enumerate(encoded):
        positions[row, : len(text.positions)] = text.positions
    return _ReadTexts(reader, ids, [len(text.positions) for text in encoded], inputs, jnp.asarray(positions))


def _encoded(reader: TextReader, text: Any) -> EncodedText:
    """A text with the prediction that is attacked: the next token, the masks, or the first one written."""
    if reader.kind == "masked":
        return reader.encode(text)
    any_id = np.zeros(1, np.int32)
    encode = reader.encode if reader.kind == "seq2seq" else reader.encode_continuation
    return encode(text, any_id)


def _padded(rows: Sequence[np.ndarray], longest: int) -> models.Inputs:
    length = min(ops.bucket(max(map(len, rows)), SHORTEST_ROW), longest)
    tokens, segments = np.zeros((len(rows), length), np.int32), np.zeros((len(rows), length), np.int32)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)], segments[row, : len(ids)] = ids, 1
    return models.Inputs(tokens=jnp.asarray(tokens), segments=jnp.asarray(segments))


def _changeable(read: _ReadTexts, unchanged: Collection[int]) -> jax.Array:
    """`Bool[B L]`, True where a token may be removed or replaced."""
    row = read.inputs if read.inputs.encoder is None else read.inputs.encoder
    tokens = np.asarray(row.required_tokens())
    may = (np.asarray(row.segments) > 0) & ~np.isin(tokens, sorted(unchanged))
    if read.reader.kind == "masked":
        for number, positions in enumerate(np.asarray(read.positions)):
            may[number, positions[positions >= 0]] = False
    return jnp.asarray(may)


def _special_ids(loaded: pretrained.Loaded) -> set[int]:
    return set() if loaded.tokenizer is None else set(loaded.tokenizer.special_ids)


def _plain_ids(loaded: pretrained.Loaded) -> np.ndarray:
    """`Bool[V]`, True for tokens of letters and digits, after a mark of a word's beginning or inside."""
    plain = np.zeros(loaded.config.required_vocab_size(), bool)
    tokenizer = loaded.tokenizer
    if tokenizer is None:
        return plain
    special = set(tokenizer.special_ids)
    for id in range(min(len(plain), tokenizer.vocab_size)):
        token = "" if id in special else tokenizer.token(id)
        plain[id] = token.removeprefix("##").lstrip("Ġ▁ ").isalnum()
    return plain


def _id_of(loaded: pretrained.Loaded, token: str) -> int | None:
    return None if loaded.tokenizer is None else loaded.tokenizer.id(token)


def _target_ids(loaded: pretrained.Loaded, read: _ReadTexts, targets: Any) -> jax.Array:
    several = [targets] if isinstance(targets, (str, int, np.integer)) else list(targets)
    if len(several) != len(read.ids):
        raise UsageError(f"every text has a target: got {len(several)} for {len(read.ids)} texts")
    aims = np.zeros(read.positions.shape, np.int32)
    for row, target in enumerate(several):
        own = [target] if isinstance(target, (str, int, np.integer)) else list(target)
        if len(own) != read.numbers[row]:
            raise UsageError(f"a text has a target for each prediction, {read.numbers[row]}: got {len(own)}")
        aims[row, : len(own)] = [_one_target(loaded, one) for one in own]
    return jnp.asarray(aims)


def _one_target(loaded: pretrained.Loaded, target: Any) -> int:
    id = _id_of(loaded, target) if isinstance(target, str) else int(target)
    if id is None or not 0 <= id < loaded.config.required_vocab_size():
        raise UsageError(f"a target is one token of the vocabulary: got {target!r}")
    return id
