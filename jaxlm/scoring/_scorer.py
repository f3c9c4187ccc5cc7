"""From documents to rows: a model, a measure and an engine together, streaming and in order."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

import jaxlm
from jaxlm import data, models, pretrained, tokenizers
from jaxlm.errors import JaxlmError
from jaxlm.scoring._measures import MEASURES
from jaxlm.scoring._score import Score
from jaxlm.scoring.engine import Engine, EngineConfig, Query, WorkCounts, extent, filled, longest_query
from jaxlm.scoring.measures import (
    BATCHES_OF_GENERATION,
    MODELS_ASKED,
    OPEN_BUFFERS,
    Context,
    GenerationSize,
    Measure,
    Round,
    ScoreError,
    ScoreRow,
    rows_in_rounds,
)

# Documents that are encoded together, and characters that end such a block early.
DOCUMENTS_AT_ONCE, BLOCK_CHARACTERS = 256, 1 << 20
LOG = logging.getLogger(__name__)


class Scorer:
    """Rows of documents; keeps what was compiled from one call to the next.

    Attributes:
      measure: with every option filled in.
      schema: of a row: the measure's columns, those in nats with the metadata `{"unit": "nats"}`.
      description: JSON values, all that the numbers depend on beyond rounding.
      engine: of the model.

    Args:
      loaded: a causal or a masked LM with its tokenizer.
      measure: what is asked.
      config: how the work is cut.

    Raises:
      ScoreError: if the model cannot be asked for that, with the reason.
    """

    def __init__(
        self, loaded: pretrained.Loaded, measure: Measure, config: EngineConfig | None = None
    ) -> None:
        if loaded.kind.head is None:
            raise ScoreError(pretrained.without_head("this model"))
        if loaded.kind.question not in measure.questions:
            wanted = " or a ".join(MODELS_ASKED[question] for question in measure.questions)
            raise ScoreError(f"{measure.name} is asked of a {wanted}: this model is a {loaded.kind.name}")
        if loaded.tokenizer is None:
            raise ScoreError("there is no tokenizer beside this model: texts cannot be scored")
        self._encoded: dict[str, np.ndarray] = {}
        config = filled(config, loaded)
        self._context = Context(
            loaded.config,
            loaded.kind,
            loaded.tokenizer,
            longest_query(config, loaded),
            loaded.ends,
            self._encode,
            loaded.extra,
        )
        self.measure = measure.resolved(self._context)
        remark = self.measure.remark(self._context, measure)
        if remark:
            LOG.warning(remark)
        self._forward = self.measure.forward(self._context)
        self.engine = Engine(loaded, config, self._forward)
        self.schema = pa.schema(self.measure.columns(self._context))
        self.description = {
            "model": pretrained.weights_fingerprint(loaded.params),
            "config": models.flat_config(loaded.config),
            "objective": loaded.kind.name,
            "tokenizer": loaded.tokenizer.fingerprint,
            "row_length": self.engine.config.row_length,
            "combine": self.engine.config.combine,
            **self.measure.options(),
            "version": jaxlm.__version__,
        }

    @property
    def work(self) -> WorkCounts:
        """What the engine has done so far."""
        return self.engine.work

    def __call__(self, records: Iterable[data.Record]) -> Iterator[ScoreRow]:
        """Yields one row a record, in order, as records come; `{"error": line}` where there is no score.

        Args:
          records: documents; of a measure that asks once they are drawn, encoded and planned by a thread
            while the devices work.
        """
        drawn = self._drawn(records)
        if self.measure.asks_again:
            yield from rows_in_rounds(drawn, self._start, self._advance, self.engine, self._generation_size())
            return
        begun: deque[Round | ScoreRow] = deque()
        held: deque[Any] = deque()
        for answer in self.engine(self._pieces(drawn, begun)):
            held.append(answer)
            yield from self._rows(begun, held)
        yield from self._rows(begun, held)

    def _drawn(self, records: Iterable[data.Record]) -> Iterator[data.Record]:
        """The records, whose texts have been encoded by the block."""
        for block in _blocks(records):
            self._encode_ahead([text for record in block for text in self.measure.texts(record)])
            yield from block

    def _pieces(self, records: Iterable[data.Record], begun: deque[Round | ScoreRow]) -> Iterator[Query]:
        for record in records:
            now = self._start(record)
            begun.append(now)
            if isinstance(now, Round):
                yield from now.queries

    def _rows(self, begun: deque[Round | ScoreRow], held: deque[Any]) -> Iterator[ScoreRow]:
        while begun:
            now = begun[0]
            if isinstance(now, Round):
                if len(held) < len(now.queries):
                    return
                now = self._advance(now, [held.popleft() for _ in range(len(now.queries))])
                if isinstance(now, Round):
                    raise TypeError(f"{self.measure.name} asks again: its class has to say asks_again = True")
            yield now
            begun.popleft()

    def _start(self, record: data.Record) -> Round | ScoreRow:
        """The first round of a document, or the row that says why there is none."""
        try:
            return self._checked(self.measure.start(self._context, record))
        # A tokenizer says so that it has no ids for a text.
        except JaxlmError as error:
            return _refused(error)

    def _advance(self, now: Round, answers: Sequence[Any]) -> Round | ScoreRow:
        fault = next((told for answer in answers if (told := self._forward.fault(answer))), "")
        if fault:
            return {"error": fault}
        try:
            return self._checked(self.measure.advance(now.state, answers))
        except JaxlmError as error:
            return _refused(error)

    def _checked(self, now: Round | ScoreRow) -> Round | ScoreRow:
        if isinstance(now, Round):
            self._check(now.queries)
        return now

    def _generation_size(self) -> GenerationSize:
        config = self.engine.config
        tokens = BATCHES_OF_GENERATION * config.rows * config.row_length
        return GenerationSize(config.buffer, tokens, OPEN_BUFFERS * config.buffer)

    def _check(self, pieces: Sequence[Query]) -> None:
        longest, top = extent(pieces)
        if longest > self.engine.longest:
            raise ScoreError(
                f"{longest} tokens are read at once, and at most {self.engine.longest} can be: "
                "shorten the document, or raise row_length where the model allows"
            )
        known = self._context.config.vocab_size
        if top >= known:
            raise ScoreError(f"the tokenizer gave id {top}, and the model has ids 0 to {known - 1}")

    def _encode(self, text: str) -> np.ndarray:
        found = self._encoded.get(text)
        return self._context.tokenizer.encode(text) if found is None else found

    def _encode_ahead(self, texts: list[str]) -> None:
        try:
            found = self._context.tokenizer.encode_batch(texts)
        # One of them has no ids: which, its own encoding will say.
        except JaxlmError:
            found = []
        self._encoded = dict(zip(texts, found, strict=False))


def make_scorer(
    loaded: pretrained.Loaded, measure: Measure | str, config: EngineConfig | None = None
) -> Scorer:
    """Returns a `Scorer`.

    Args:
      loaded: what `pretrained.load` returned.
      measure: a measure with its options, or the name of one.
      config: how the work is cut; of an ensemble, `combine` says what is averaged.

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
    """Yields the score of each record, in order, as records come.

    Args:
      loaded: what `pretrained.load` returned.
      records: documents, or texts, whose ids are then their numbers; a string, or a record, is one.
      measure: a measure with its options, or the name of one; None: the log-likelihood of a causal model, the
        pseudo-log-likelihood of a masked one.
      config: how the work is cut.

    Raises:
      ScoreError: if the model cannot be asked for that measure.
      TypeError: if a record is neither a text nor a `data.Record`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxlm import models, scoring, tokenizers
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> for score in scoring.score(loaded, ["a text", ""]):  # of a model on disk: pretrained.load("folder")
      ...     print(score.id, score.values.get("num_scored"), score.error)
      0 5 None
      1 None no tokens: the text is empty
    """
    usual = "pseudo-log-likelihood" if loaded.kind.fill else "log-likelihood"
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


def _refused(error: JaxlmError) -> ScoreRow:
    return {"error": " ".join(str(error).split())}


def _blocks(records: Iterable[data.Record]) -> Iterator[list[data.Record]]:
    """Records by the block: as many as are encoded together."""
    records = iter(records)
    while block := list(islice(records, 1)):
        size = len(block[0].text)
        for record in islice(records, DOCUMENTS_AT_ONCE - 1):
            block.append(record)
            size += len(record.text)
            if size >= BLOCK_CHARACTERS:
                break
        yield block
