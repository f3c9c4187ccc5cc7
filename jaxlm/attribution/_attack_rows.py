"""Texts of a user as the rows that an attack changes.

Letters: `B` rows, `L` positions of a row, `M` predictions of a row, `V` vocabulary.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops, pretrained, tokenizers
from jaxlm.errors import UsageError
from jaxlm.steps import EncodedText, TextReader

SHORTEST_ATTACKED = 16


class AttackedRows(NamedTuple):
    """Texts as rows for one compiled call.

    Attributes:
      reader: which read the texts.
      ids: `Int32[L]`, for each text the ids of the row that is changed: of an encoder-decoder the encoder's.
      numbers: how many predictions each text has.
      inputs: the padded rows.
      positions: `Int32[B M]`, where the model predicts; -1 in unused entries.
    """

    reader: TextReader
    ids: list[np.ndarray]
    numbers: list[int]
    inputs: models.Inputs
    positions: Any

    def named(self, ids: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns ids, and the same as readable strings."""
        return ids, tuple(self.reader.strings(ids))


def read_texts(loaded: pretrained.Loaded, texts: Any) -> AttackedRows:
    """Returns texts as padded rows, with what the model predicts after them, or at their masks.

    Args:
      loaded: the model.
      texts: a text, several, or rows of ids.

    Raises:
      UsageError: if there is no text, or one is too long, empty or without a mask.
    """
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
    return AttackedRows(
        reader, ids, [len(text.positions) for text in encoded], inputs, jnp.asarray(positions)
    )


def _encoded(reader: TextReader, text: Any) -> EncodedText:
    """A text with the prediction that is attacked: the next token, the masks, or the first one written."""
    if reader.kind == "masked":
        return reader.encode(text)
    any_id = np.zeros(1, np.int32)
    encode = reader.encode if reader.kind == "seq2seq" else reader.encode_continuation
    return encode(text, any_id)


def _padded(rows: Sequence[np.ndarray], longest: int) -> models.Inputs:
    length = min(ops.bucket(max(map(len, rows)), SHORTEST_ATTACKED), longest)
    tokens, segments = np.zeros((len(rows), length), np.int32), np.zeros((len(rows), length), np.int32)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)], segments[row, : len(ids)] = ids, 1
    return models.Inputs(tokens=jnp.asarray(tokens), segments=jnp.asarray(segments))


def changeable_tokens(read: AttackedRows, unchanged: Collection[int]) -> jax.Array:
    """Returns `Bool[B L]`, True where a token may be removed or replaced: never at padding or at a mask.

    Args:
      read: the texts.
      unchanged: the ids of tokens that may not.
    """
    row = read.inputs if read.inputs.encoder is None else read.inputs.encoder
    tokens = np.asarray(row.required_tokens())
    may = (np.asarray(row.segments) > 0) & ~np.isin(tokens, sorted(unchanged))
    if read.reader.kind == "masked":
        for number, positions in enumerate(np.asarray(read.positions)):
            may[number, positions[positions >= 0]] = False
    return jnp.asarray(may)


def special_ids(loaded: pretrained.Loaded) -> set[int]:
    """Returns the ids of special tokens; none without a tokenizer."""
    return set() if loaded.tokenizer is None else set(loaded.tokenizer.special_ids)


def plain_ids(loaded: pretrained.Loaded) -> np.ndarray:
    """Returns `Bool[V]`, True for tokens of letters and digits, after a mark of a word's beginning or inside.

    Without a tokenizer it is False for all ids.
    """
    plain = np.zeros(loaded.config.required_vocab_size(), bool)
    tokenizer = loaded.tokenizer
    if tokenizer is None:
        return plain
    special = set(tokenizer.special_ids)
    for id in range(min(len(plain), tokenizer.vocab_size)):
        token = "" if id in special else tokenizer.token(id)
        plain[id] = token.removeprefix("##").lstrip("Ġ▁ ").isalnum()
    return plain


def token_id(loaded: pretrained.Loaded, token: str) -> int | None:
    """Returns the id of a token as the tokenizer writes it; None if there is none."""
    return None if loaded.tokenizer is None else loaded.tokenizer.id(token)


def target_ids(loaded: pretrained.Loaded, read: AttackedRows, targets: Any) -> jax.Array:
    """Returns the ids that the model is to predict, `Int32[B M]`.

    Args:
      loaded: the model.
      read: the texts.
      targets: for each text a token or an id, or a list of them for several masks.

    Raises:
      UsageError: if there are not as many targets as texts or masks, or a target is no token.
    """
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
    id = token_id(loaded, target) if isinstance(target, str) else int(target)
    if id is None or not 0 <= id < loaded.config.required_vocab_size():
        raise UsageError(f"a target is one token of the vocabulary: got {target!r}")
    return id
