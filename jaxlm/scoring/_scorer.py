"""From documents to rows, streaming and in order: the stages of scoring, in the order in which they run."""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

import jaxlm
from jaxlm import data, models, pretrained, tokenizers
from jaxlm.errors import JaxlmError
from jaxlm.scoring._documents import DocumentQueue, error_row, text_blocks
from jaxlm.scoring._measures import MEASURES
from jaxlm.scoring._score import Score
from jaxlm.scoring.engine import (
    Engine,
    EngineConfig,
    Query,
    QueryBlock,
    QueryEngine,
    QueryExtent,
    WorkCounts,
    check_answers,
    complete_config,
    extent,
    extent_of_block,
    longest_query,
    map_ahead,
    prefetch,
    query_blocks,
)
from jaxlm.scoring.measures import (
    Context,
    DocumentBlock,
    Measure,
    Round,
    ScoreError,
    ScoreRow,
    generation_size,
    rows_in_rounds,
)

LOG = logging.getLogger(__name__)
# What a model is asked if its user does not say it, by the first question that it answers.
USUAL_MEASURES: tuple[tuple[models.Question, str], ...] = (
    ("fill", "pseudo-log-likelihood"),
    ("next_token", "log-likelihood"),
    ("outputs", "prediction"),
)


class Scorer:
    """Makes the row of scores of each document; programs that one call compiled are used by the next call.

    Attributes:
      measure: the measure that is computed, with a value for every option that depends on the model.
      schema: the columns of a row, an Arrow schema; columns in nats have the metadata `{"unit": "nats"}`.
      description: everything that the scores depend on beyond rounding, as JSON values.
      engine: what answers queries: an `Engine`, which runs the model on the devices, or the measure's own.

    Args:
      loaded: a model that answers one of the measure's `questions`, with its tokenizer.
      measure: the measure that is computed.
      config: how queries are packed into batches; None: values that follow from the model.

    Raises:
      ScoreError: if the model cannot be asked for the measure; the message says why.
    """

    def __init__(
        self, loaded: pretrained.Loaded, measure: Measure, config: EngineConfig | None = None
    ) -> None:
        check_answers(loaded.kind, measure.questions, measure.name)
        if loaded.tokenizer is None:
            raise ScoreError("there is no tokenizer beside this model: texts cannot be scored")
        # Each thread that makes queries knows the tokens of the block of texts that it is at.
        self._thread = threading.local()
        settings = complete_config(config, loaded)
        self._context = Context(
            loaded.config,
            loaded.kind,
            loaded.tokenizer,
            longest_query(settings, loaded),
            loaded.ends,
            self._encode,
            loaded.extra,
            loaded.head,
        )
        self.measure = measure.resolved(self._context)
        remark = self.measure.remark(self._context, measure)
        if remark:
            LOG.warning(remark)
        self._forward = self.measure.forward(self._context)
        own = self.measure.own_engine(loaded, config)
        self.engine: Engine | QueryEngine = Engine(loaded, config, self._forward) if own is None else own
        self.schema = pa.schema(self.measure.columns(self._context))
        self.description = {
            "model": pretrained.weights_fingerprint(loaded.params),
            "config": models.flat_config(loaded.config),
            "objective": loaded.kind.name,
            "tokenizer": loaded.tokenizer.fingerprint,
            **self.engine.description,
            **self.measure.options(),
            "version": jaxlm.__version__,
        }

    @property
    def work(self) -> WorkCounts | None:
        """How much the engine has computed so far: queries, batches, tokens and positions; None: unknown."""
        return self.engine.work

    def __call__(self, records: Iterable[data.Record]) -> Iterator[ScoreRow]:
        """Yields one row for each record, in order, as records come; `{"error": line}` if it has no score.

        A query is one sequence that the model reads and is asked about. The work has stages, each on blocks
        of documents: texts, their tokens, the queries of the measure, batch rows packed with queries, what
        the devices compute for these, the answers to the queries, and the documents' rows of scores. Two
        threads encode texts, a third one makes queries and packs them, and the caller's thread makes the rows
        of scores, while the devices work. If the measure's further questions depend on answers
        (`asks_again`), or it has an engine of its own, its queries are made in the caller's thread, too.

        Args:
          records: the documents to score.
        """
        texts = text_blocks(records)
        tokens = prefetch(map_ahead(self._with_tokens, texts))
        engine = self.engine
        if self.measure.asks_again or not isinstance(engine, Engine):
            one_by_one = (record for block in map(self._known, tokens) for record in block)
            size = generation_size(engine.config)
            return rows_in_rounds(one_by_one, self._start, self._advance, engine, size)
        documents = DocumentQueue(self.measure, self._forward, self._advance)
        queries = query_blocks(self._queries(tokens, documents, engine.longest))
        batches = engine.packed(queries)
        computed = engine.computed(batches)
        answers = engine.answers(computed)
        return documents.rows(answers)

    def _with_tokens(self, records: list[data.Record]) -> tuple[list[data.Record], dict[str, np.ndarray]]:
        """Documents, and the tokens of their texts."""
        texts = [text for record in records for text in self.measure.texts(record)]
        try:
            tokens = self._context.tokenizer.encode_batch(texts)
        # One of the texts has no ids: `_encode` raises the error for its document alone.
        except JaxlmError:
            tokens = []
        return records, dict(zip(texts, tokens, strict=False))

    def _known(self, block: tuple[list[data.Record], dict[str, np.ndarray]]) -> list[data.Record]:
        """The documents of a block; from now on this thread knows their tokens."""
        records, self._thread.tokens = block
        return records

    def _queries(
        self,
        encoded: Iterable[tuple[list[data.Record], dict[str, np.ndarray]]],
        documents: DocumentQueue,
        longest: int,
    ) -> Iterator[Query | QueryBlock]:
        """The queries of the documents, as blocks if the measure makes blocks."""
        for records in map(self._known, encoded):
            parts = self.measure.start_block(self._context, records)
            blocks = [part for part in parts if isinstance(part, DocumentBlock)]
            if any(self._misfit(extent_of_block(block.queries), longest) for block in blocks):
                parts = records
            for part in parts:
                if isinstance(part, DocumentBlock):
                    documents.extend(part.states, part.counts)
                    yield part.queries
                else:
                    now = self._start(part)
                    documents.append(now)
                    if isinstance(now, Round):
                        yield from now.queries

    def _start(self, record: data.Record) -> Round | ScoreRow:
        """The first round of a document, or the row with the reason why there is none."""
        try:
            return self._checked(self.measure.start(self._context, record))
        # Also raised by a tokenizer that has no ids for a text.
        except JaxlmError as error:
            return error_row(error)

    def _advance(self, now: Round, answers: Sequence[Any]) -> Round | ScoreRow:
        if isinstance(self.engine, Engine):
            fault = next((fault for answer in answers if (fault := self._forward.fault(answer))), "")
            if fault:
                return {"error": fault}
        try:
            return self._checked(self.measure.advance(now.state, answers))
        except JaxlmError as error:
            return error_row(error)

    def _checked(self, now: Round | ScoreRow) -> Round | ScoreRow:
        if isinstance(now, Round) and isinstance(self.engine, Engine):
            self._check(now.queries, self.engine.longest)
        return now

    def _check(self, queries: Sequence[Query], longest: int) -> None:
        misfit = self._misfit(extent(queries), longest)
        if misfit:
            raise ScoreError(misfit)

    def _misfit(self, asked: QueryExtent, longest: int) -> str:
        """Why the model cannot read queries of such an extent; "" where it can."""
        if asked.longest > longest:
            return (
                f"{asked.longest} tokens are read at once, and at most {longest} can be: "
                "shorten the document, or raise row_length where the model allows"
            )
        vocab_size = self._context.vocab_size
        if asked.largest_id >= vocab_size:
            return f"the tokenizer gave id {asked.largest_id}, and the model has ids 0 to {vocab_size - 1}"
        return ""

    def _encode(self, text: str) -> np.ndarray:
        tokens = getattr(self._thread, "tokens", {}).get(text)
        return self._context.tokenizer.encode(text) if tokens is None else tokens


def make_scorer(
    loaded: pretrained.Loaded, measure: Measure | str, config: EngineConfig | None = None
) -> Scorer:
    """Returns a `Scorer`, which makes the row of scores of each document.

    Args:
      loaded: what `pretrained.load` returned.
      measure: a measure with its options, or the name of a measure (a key of `MEASURES`), which stands for
        its default options.
      config: how queries are packed into batches, and for an ensemble what is averaged (`combine`); None:
        values that follow from the model.

    Raises:
      ScoreError: if there is no such measure, or the model cannot be asked for it.
    """
    if isinstance(measure, str):
        if measure not in MEASURES:
            raise ScoreError(f"no measure {measure!r}: there are {', '.join(MEASURES)}")
        measure = MEASURES[measure]()
    return Scorer(loaded, measure, config)


def score(
    loaded: pretrained.Loaded,
    records: Iterable[data.Record | str] | data.Record | str,
    measure: Measure | str | None = None,
    config: EngineConfig | None = None,
) -> Iterator[Score]:
    """Yields a `Score` for each record, in order, as records come.

    A document that cannot be scored, such as an empty text, stops nothing: its `Score` has no values and says
    why in `error`.

    Args:
      loaded: what `pretrained.load` returned.
      records: documents (`data.Record`) or texts; a text's id is its number, from 0. A single string or a
        single record is one document.
      measure: a measure with its options, or the name of a measure (a key of `MEASURES`), which stands for
        its default options; None: the log-likelihood for a causal model, the pseudo-log-likelihood for a
        masked one, and predictions for a classifier or a regression.
      config: how queries are packed into batches; None: values that follow from the model.

    Raises:
      ScoreError: if there is no such measure, or the model cannot be asked for it.
      TypeError: if a record is neither a text nor a `data.Record`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, scoring, tokenizers
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> for score in scoring.score(loaded, ["a text", ""]):  # of a model on disk: pretrained.load("folder")
      ...     print(score.id, score.values.get("num_scored"), score.error)
      0 5 None
      1 None no tokens: the text is empty
    """
    asked = (name for question, name in USUAL_MEASURES if question in loaded.kind.questions)
    usual = next(asked, MEASURES["log-likelihood"].name)
    scorer = make_scorer(loaded, usual if measure is None else measure, config)
    ids: deque[str] = deque()
    records = [records] if isinstance(records, data.Record) else tokenizers.as_texts(records)

    def drawn() -> Iterator[data.Record]:
        for number, record in enumerate(records):
            document = data.Record(str(number), record, {}) if isinstance(record, str) else record
            if not isinstance(document, data.Record):
                raise TypeError(
                    f"records are texts or data.Record: got {repr(record)[:60]} ({type(record).__name__})"
                )
            ids.append(document.id)
            yield document

    for row in scorer(drawn()):
        error = row.pop("error", None)
        yield Score(ids.popleft(), row, error)
