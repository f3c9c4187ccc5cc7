"""The contract of every measure: from a document to queries, and from their answers to one row."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data, models, pretrained, tokenizers
from jaxlm.errors import ConfigError, ScoreError
from jaxlm.io import check_numbers
from jaxlm.scoring.engine import (
    EngineConfig,
    Forward,
    LogProbForward,
    Query,
    QueryBlock,
    QueryEngine,
    vocab_size_of,
)

Question = models.Question
# The smallest values of options that several measures have.
LEAST_OPTIONS = {"window": 1, "context": 1, "stride": 1, "top_k": 0, "random_ids": 1, "max_stems": 1}


class Context(NamedTuple):
    """The model that a measure asks, as far as a measure needs to know it.

    Attributes:
      config: the model's config.
      kind: what the model is and can do.
      tokenizer: the model's tokenizer.
      longest: the largest number of tokens that the model reads in one query.
      ends: whether the model was trained on texts with opening and closing tokens (see
        `pretrained.has_end_tokens`).
      encode: a function from a text to its ids without special tokens. It returns what `tokenizer.encode`
        returns, but looks first in the block of texts that was encoded ahead.
      extra: the further entries of the model's config.json (see `pretrained.Loaded`).
      head: the config of the head of a classifier or a regression; None: the kind has no config of a head.
    """

    config: models.TransformerConfig
    kind: models.ModelKind
    tokenizer: tokenizers.Tokenizer
    longest: int
    ends: bool
    encode: Callable[[str], np.ndarray]
    extra: Mapping[str, Any] = MappingProxyType({})
    head: models.Heads = None

    @property
    def sentence_settings(self) -> Mapping[str, Any]:
        """How a sentence-transformers model makes vectors (see `pretrained.load`); empty for other models."""
        settings = self.extra.get(pretrained.SENTENCE_SETTINGS)
        return settings if isinstance(settings, Mapping) else {}

    @property
    def vocab_size(self) -> int:
        """V, the number of ids that the model has."""
        return vocab_size_of(self.config)


ScoreRow = dict[str, Any]


class Round(NamedTuple):
    """One round of questions about a document: queries, and what the measure keeps until the answers come.

    Attributes:
      state: what `Measure.advance` needs in addition to the answers; only the measure looks into it.
      queries: the sequences that the model reads and is asked about; there may be none.
    """

    state: Any
    queries: Sequence[Query]


class DocumentBlock(NamedTuple):
    """The first round of questions about each of several consecutive documents, with the queries as columns.

    Attributes:
      states: for each document, the state of its round (`Round.state`).
      counts: for each document, how many of the queries belong to it.
      queries: the queries of all documents, in the order of the documents.
    """

    states: Sequence[Any]
    counts: Sequence[int]
    queries: QueryBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure(abc.ABC):
    """A kind of score, such as the log-likelihood: a frozen dataclass whose fields are its options.

    `start` returns what the model is asked about a document (a `Round` of queries), and `advance` makes the
    document's row of values from the answers. A measure whose further questions depend on answers sets
    `asks_again`: its `advance` may then return another `Round` instead of a row, any number of times. The
    queries of many documents are computed in the same batches.

    A measure may also make the queries of many documents at once (`start_block`), and their rows
    (`advance_block`), which is faster.

    Attributes:
      name: the measure's name on the command line and in `MEASURES`.
      questions: what a model is asked, of which it has to answer one: ("next_token",) stands for causal LMs,
        ("fill",) for masked LMs, both words for both, ("vectors",) for every model with a body, and
        ("outputs",) for classifiers and regressions; see `models.ModelKind.questions`.
      asks_again: whether `advance` may return another round.
      reads_blocks: whether `advance_block` can make the rows of many documents at once.
      reads_each_token: whether the model reads a text about as often as the text has tokens, so that each
        part of a job should hold fewer documents.
    """

    name: ClassVar[str]
    questions: ClassVar[tuple[Question, ...]]
    asks_again: ClassVar[bool] = False
    reads_blocks: ClassVar[bool] = False
    reads_each_token: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuses options of a wrong type or below the smallest value that any measure allows.

        Raises:
          ScoreError: names the option.
        """
        try:
            check_numbers(self)
        except ConfigError as error:
            raise ScoreError(str(error)) from None
        for name, value in vars(self).items():
            least = LEAST_OPTIONS.get(name)
            if least is not None and isinstance(value, int) and value < least:
                raise ScoreError(f"{name}: expected a whole number from {least}, got {value}")

    def resolved(self, context: Context) -> "Measure":
        """Returns this measure with a value for every option that depends on the model.

        Args:
          context: the model that is asked, with its tokenizer and its limits.

        Raises:
          ScoreError: if the model cannot be asked for this measure; the message says why.
        """
        del context
        return self

    def forward(self, context: Context) -> Forward:
        """Returns the forward: what the devices compute, by default the log-probabilities of targets.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
        """
        del context
        return LogProbForward()

    def own_engine(self, loaded: pretrained.Loaded, config: EngineConfig | None) -> QueryEngine | None:
        """Returns what answers this measure's queries in place of an `Engine`; None: an `Engine` does.

        Args:
          loaded: the model.
          config: how the user wants queries to be packed; None: as suits the model.

        Raises:
          JaxlmError: if the model cannot be asked for this measure.
        """
        del loaded, config
        return None

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of a corpus, other than the text, that the measure reads from `Record.meta`."""
        return ()

    @property
    def is_measured(self) -> bool:
        """Whether rows have a column `measured` of measured values, with which scores are rank-correlated."""
        return False

    def remark(self, context: Context, asked: "Measure") -> str:
        """Returns a warning for the user about how texts are read; "" if there is none.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
          asked: this measure as the user gave it, before `resolved` filled in its options.
        """
        del context, asked
        return ""

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns the texts of a record that `start` will encode, so that blocks of them are encoded ahead.

        Args:
          record: a document.
        """
        return (record.text,)

    @abc.abstractmethod
    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the columns of a row; columns in nats carry the metadata `{"unit": "nats"}`.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
        """

    @abc.abstractmethod
    def start(self, context: Context, record: data.Record) -> Round:
        """Returns what the model is asked about a document.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
          record: the document.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    @abc.abstractmethod
    def advance(self, state: Any, answers: Sequence[Any]) -> Round | ScoreRow:
        """Returns a document's row, plain values by column, or the next round of questions about it.

        Args:
          state: the state of the round that was answered (`Round.state`).
          answers: one answer for each query of the round, in order: what the forward computes, by default
            `QueryScores`.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    def start_block(
        self, context: Context, records: Sequence[data.Record]
    ) -> Sequence["DocumentBlock | data.Record"]:
        """Returns what the model is asked about many documents: for each, the questions that `start` returns.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
          records: consecutive documents.

        Returns:
          A sequence in the order of the documents. An entry is a block of consecutive documents, or a single
          document that is left to `start`.
        """
        del context
        return records

    def advance_block(self, states: Sequence[Any], answers: Any, starts: Sequence[int]) -> Sequence[ScoreRow]:
        """Returns the rows of consecutive documents: the same row that `advance` returns for each.

        The method is called only if `reads_blocks` is True, and only with answers that `Forward.fault` finds
        no fault with.

        Args:
          states: the states of the documents' rounds, one for each document.
          answers: the answers to the queries of all documents, joined into one.
          starts: for each document the index in `answers` at which its answers begin, and one more entry for
            where the last document's answers end.

        Raises:
          JaxlmError: if a document cannot be scored; `advance` is then called for each of them.
          NotImplementedError: if the measure makes no rows of blocks.
        """
        raise NotImplementedError(f"{self.name} makes the row of each document by itself")

    def options(self) -> dict[str, Any]:
        """Returns the measure's name and its options, as JSON values; the scores depend on all of them.

        Example:
          >>> from jaxlm.scoring import LogLikelihood
          >>> options = LogLikelihood(window=128).options()
          >>> options["measure"], options["window"]
          ('log-likelihood', 128)
        """
        return {"measure": self.name, **dataclasses.asdict(self)}


def nats(name: str, kind: pa.DataType | None = None, *, tokens: str | None = None) -> pa.Field:
    """Returns a column (an Arrow field) whose values are in nats.

    Args:
      name: the column's name.
      kind: the Arrow type of the column's values; None: float64.
      tokens: the name of the column with the number of tokens that a document's log-likelihood sums over. A
        summary then divides the sums of both columns over a corpus, which gives the corpus's loss per token.
        None: the column is no log-likelihood that a loss is made of.

    Example:
      >>> from jaxlm.scoring import nats
      >>> nats("log_likelihood").metadata
      {b'unit': b'nats'}
    """
    metadata = {"unit": "nats"} | ({} if tokens is None else {"tokens": tokens})
    return pa.field(name, pa.float64() if kind is None else kind, metadata=metadata)
