"""Vectors of texts, or of their tokens: the hidden vectors of a layer, pooled.

Letters: `n` tokens of a text, `D` width.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import Forward, PooledForward, Query, VectorForward, layer_number
from jaxlm.scoring.measures._masked_texts import regular_tokens
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow
from jaxlm.scoring.measures._text_pieces import LongTexts, TextPiece, text_pieces, window_of
from jaxlm.scoring.measures._token_rows import token_strings

Pooling = Literal["mean", "first", "last", "max", "none"]
# The smallest length of a vector that is divided by its length, as in torch's `normalize`.
LEAST_NORM = 1e-12
NOTHING_COUNTS = "nothing to pool: all tokens are specials; count them with specials=True"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding(Measure):
    """A vector for each text, or for each of its tokens: the hidden vectors of a layer, pooled.

    Options that are None take the value that the folder of a sentence-transformers model says, and for any
    other model the value that is named first below.

    A text with more tokens than the model reads at once is read in windows of W tokens, one behind the other,
    each with the tokens that open and close a text around it; the last window begins earlier, so that it is
    full, but each token counts once. What becomes of the windows depends on the pooling (see `pool`).

    Attributes:
      pool: how the vectors of a text become one. "mean": their mean; of a long text, the mean over the tokens
        of all windows. "first": the vector of the first token that the model reads, [CLS] in BERT; of a long
        text, that of the first window. "last": the vector of the last token that it reads; of a long text,
        that of the last window. "max": the largest number along each axis, over all windows. "none": no
        pooling: one vector a token, each from the window that the token counts in.
      layer: the layer that the vectors are from. -1: the last one, after the final norm; -2: the residual
        stream before the last block; 0: the embeddings. They are counted as `hidden_states` in
        `transformers`. Of an encoder-decoder, the layers are the encoder's.
      normalize: whether each vector is divided by its Euclidean length; None: no.
      specials: whether "mean", "max" and "none" count the tokens that open and close a text, and special
        tokens that are written out in it, and whether an empty text has a vector, of these tokens alone;
        None: no. The unknown token always counts.
      prompt: what is put before each text, such as "query: "; None: nothing.
      strip: whether white space is removed at both ends of a text; None: no.
      lower: whether a text is lower-cased; None: no.
      long: what happens to a text that is longer than a window: "window" reads all of it, "cut" reads its
        first window alone, "error" refuses the text; None: "window".
      window: W, the number of tokens that the model reads at once, those around a text included; None: the
        most that the model and the engine's batches allow.

    A row has `num_tokens`, the number of the text's tokens, and `vector`, `Float32[D]`. With `pool="none"` it
    has `token_vectors`, `Float32[n D]`, with the ids and strings of these tokens.

    Raises:
      ScoreError: if an option has no such value.

    Example:
      >>> from jaxlm.scoring import Embedding
      >>> options = Embedding(pool="first", normalize=True).options()
      >>> options["measure"], options["pool"], options["layer"]
      ('embedding', 'first', -1)

    References:
      Reimers and Gurevych, "Sentence-BERT", 2019, https://arxiv.org/abs/1908.10084.
    """

    name: ClassVar[str] = "embedding"
    questions: ClassVar[tuple[Question, ...]] = ("vectors",)

    pool: Pooling | None = None
    layer: int = -1
    normalize: bool | None = None
    specials: bool | None = None
    prompt: str | None = None
    strip: bool | None = None
    lower: bool | None = None
    long: LongTexts | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, words in (("pool", self.pool, Pooling), ("long", self.long, LongTexts)):
            if value is not None and value not in get_args(words):
                known = ", ".join(get_args(words))
                raise ScoreError(f"{name}: expected one of {known}, or None, got {value!r}")

    def resolved(self, context: Context) -> "Embedding":
        """Returns the measure with a value for every option.

        Raises:
          ScoreError: if the model has no such layer, the window is out of range, or the pooling of a
        sentence-transformers folder is not supported and no other one is asked for.
        """
        layer_number(context.config, self.layer)
        told = context.sentence_settings
        if "refused" in told and self.pool is None:
            raise ScoreError(str(told["refused"]))
        usual: dict[str, Any] = {
            "pool": "mean",
            "normalize": False,
            "specials": False,
            "prompt": "",
            "strip": False,
            "lower": False,
            "long": "window",
        }
        filled = {name: told.get(name, value) for name, value in usual.items() if getattr(self, name) is None}
        window = self.window
        if window is None and told.get("window") is not None:
            window = min(int(told["window"]), context.longest)
        return dataclasses.replace(self, **filled, window=window_of(context, window))

    def forward(self, context: Context) -> Forward:
        """Returns a forward for the vectors at places, or for their mean or maximum."""
        of = {"layer": self.layer, "encoder": context.kind.encoder}
        if self.pool == "none":
            return VectorForward(**of)
        return PooledForward(pool="max" if self.pool == "max" else "mean", **of)

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the number of tokens, and the vector or the lists of tokens."""
        vector = pa.list_(pa.float32(), context.config.width)
        number = pa.field("num_tokens", pa.int64())
        if self.pool != "none":
            return [number, pa.field("vector", vector)]
        ids, strings = pa.list_(pa.int32()), pa.list_(pa.string())
        lists = {"token_ids": ids, "token_strings": strings, "token_vectors": pa.list_(vector)}
        return [number, *(pa.field(name, kind) for name, kind in lists.items())]

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns the text as it is encoded: with the prompt, and without what `strip` removes."""
        return (self._text(record),)

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query for each window of a text that is pooled.

        Raises:
          ScoreError: if the text has no token that counts, or is too long.
        """
        tokens = context.encode(self._text(record))
        counted = np.ones(len(tokens), bool) if self.specials else regular_tokens(context.tokenizer, tokens)
        pieces = text_pieces(context, tokens, window=self.window, long=self.long or "window")
        queries = []
        for piece in self._pooled(pieces):
            places = self._places(piece, counted)
            if places.size:
                queries.append(Query(piece.tokens, places, np.zeros_like(places)))
        if not queries or not (len(tokens) or self.specials):
            raise ScoreError("no tokens: the text is empty" if not len(tokens) else NOTHING_COUNTS)
        return Round(_VectorState(context, len(tokens), queries), queries)

    def advance(self, state: "_VectorState", answers: Sequence[np.ndarray]) -> ScoreRow:
        """Returns the row of a text: its vector, or the vectors of its tokens."""
        row: ScoreRow = {"num_tokens": state.num_tokens}
        if self.pool == "none":
            ids = np.concatenate([query.tokens[query.scored] for query in state.queries]).tolist()
            strings = token_strings(state.context.tokenizer, ids)
            vectors = self._scaled(np.concatenate(answers))
            return row | {"token_ids": ids, "token_strings": strings, "token_vectors": vectors}
        return row | {"vector": self._scaled(self._joined(state, answers))}

    def _text(self, record: data.Record) -> str:
        text = (self.prompt or "") + record.text
        text = text.strip() if self.strip else text
        return text.lower() if self.lower else text

    def _pooled(self, pieces: Sequence[TextPiece]) -> Sequence[TextPiece]:
        """The windows that make the vector: for the first and the last token, one of them."""
        chosen = {"first": slice(1), "last": slice(-1, None)}.get(self.pool or "", slice(None))
        return pieces[chosen]

    def _places(self, piece: TextPiece, counted: np.ndarray) -> np.ndarray:
        if self.pool == "first" or self.pool == "last":
            last = len(piece.tokens) - 1
            return np.array([0 if self.pool == "first" else last][: last + 1], np.int32)
        own = piece.own_places(with_ends=bool(self.specials))
        inside = own - piece.first_place
        is_text = (inside >= 0) & (inside < piece.size)
        counts = np.ones(len(own), bool)
        counts[is_text] = counted[piece.start + inside[is_text]]
        return own[counts].astype(np.int32)

    def _joined(self, state: "_VectorState", answers: Sequence[np.ndarray]) -> np.ndarray:
        if len(answers) == 1:
            return np.asarray(answers[0])
        vectors = np.stack(answers)
        if self.pool == "max":
            return vectors.max(axis=0)
        weights = np.array([len(query.scored) for query in state.queries], np.float64)
        return (weights @ vectors.astype(np.float64) / weights.sum()).astype(np.float32)

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        if not self.normalize:
            return vectors
        lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(-1, keepdims=True))
        return (vectors / np.maximum(lengths, LEAST_NORM)).astype(np.float32)


class _VectorState(NamedTuple):
    """What the row of a text needs in addition to its vectors.

    Attributes:
      context: the model that is asked.
      num_tokens: of the text.
      queries: of its windows.
    """

    context: Context
    num_tokens: int
    queries: Sequence[Query]
