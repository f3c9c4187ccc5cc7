"""The contract of every measure: from a document to queries, and from their answers to one row."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data, models, tokenizers
from jaxlm.errors import ConfigError, ScoreError
from jaxlm.io import check_numbers
from jaxlm.scoring.engine import Forward, LogProbForward, Query, QueryBlock

Question = Literal["next_token", "fill"]
MODELS_ASKED: dict[Question, str] = {
    "next_token": models.CAUSAL_LM.name,
    "fill": models.MASKED_LM.name,
}
# What options that several measures have are at least.
LEAST_OPTIONS = {"window": 1, "context": 1, "stride": 1, "top_k": 0, "random_ids": 1}


class Context(NamedTuple):
    """What measures know of the model that they ask.

    Attributes:
      config: of the model.
      kind: of the model.
      tokenizer: of the model.
      longest: the most tokens that a piece may have.
      ends: whether the model was trained on texts with ends (see `pretrained.has_end_tokens`).
      encode: text to ids without specials, as `tokenizer.encode`, but answered from a block of texts that was
        encoded ahead, where there is one.
      extra: whatever else its config.json holds (see `pretrained.Loaded`).
    """

    config: models.TransformerConfig
    kind: models.ModelKind
    tokenizer: tokenizers.Tokenizer
    longest: int
    ends: bool
    encode: Callable[[str], np.ndarray]
    extra: Mapping[str, Any] = MappingProxyType({})


ScoreRow = dict[str, Any]


class Round(NamedTuple):
    """A document on its way: what the model is asked now, and what is kept until it has answered.

    Attributes:
      state: whatever `Measure.advance` needs beside the answers.
      queries: what the model reads; may be empty.
    """

    state: Any
    queries: Sequence[Query]


class DocumentBlock(NamedTuple):
    """What consecutive documents ask, as columns: the same as a `Round` of each of them.

    Attributes:
      states: of each document, as `Round.state`.
      counts: how many of the queries are each document's.
      queries: of all of them, in the documents' order.
    """

    states: Sequence[Any]
    counts: Sequence[int]
    queries: QueryBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure(abc.ABC):
    """A kind of score and its options, a frozen dataclass each; options are what its description says.

    `start` says what is asked of a document, `advance` makes the row of the answers. A measure that needs the
    answers to know what to ask next sets `asks_again`: its `advance` may return another `Round` in the place
    of a row, as often as it likes, and those of many documents are read in the same batches.

    Attributes:
      name: what commands call it.
      questions: which models it can be asked of: those that predict the "next_token", those that "fill"
        masks, or both; see `ModelKind.question`.
      asks_again: whether `advance` may return another round.
      reads_blocks: whether `advance_block` makes the rows of many documents at once.
      reads_each_token: whether a text is read about as often as it has tokens, so that less of a corpus is
        put into a part of a job.
    """

    name: ClassVar[str]
    questions: ClassVar[tuple[Question, ...]]
    asks_again: ClassVar[bool] = False
    reads_blocks: ClassVar[bool] = False
    reads_each_token: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuses options of another type, or of no range that any measure has.

        Raises:
          ScoreError: naming the option.
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
        """Returns this measure with every option filled in that follows from the model.

        Args:
          context: of the model.

        Raises:
          ScoreError: if the model cannot be asked for this, with the reason.
        """
        del context
        return self

    def forward(self, context: Context) -> Forward:
        """Returns what the devices compute: log-probabilities of targets, unless a measure says otherwise.

        Args:
          context: of the model.
        """
        del context
        return LogProbForward()

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of a corpus, beside the text's, that the measure reads from `Record.meta`."""
        return ()

    @property
    def is_measured(self) -> bool:
        """Whether rows have a column `measured`, by which the columns in nats are ranked."""
        return False

    def remark(self, context: Context, asked: "Measure") -> str:
        """Returns what a user has to know of how texts are read; "" where there is nothing.

        Args:
          context: of the model.
          asked: this measure before its options were filled in.
        """
        del context, asked
        return ""

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns the texts of a record that `start` will encode, for encoding whole blocks of them ahead.

        Args:
          record: a document.
        """
        return (record.text,)

    @abc.abstractmethod
    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the columns of a row; those in nats carry the metadata `{"unit": "nats"}`.

        Args:
          context: of the model.
        """

    @abc.abstractmethod
    def start(self, context: Context, record: data.Record) -> Round:
        """Returns what the model is asked of a document.

        Args:
          context: of the model.
          record: the document.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    @abc.abstractmethod
    def advance(self, state: Any, answers: Sequence[Any]) -> Round | ScoreRow:
        """Returns the row of a document, plain values by column, or what is asked of it next.

        Args:
          state: of the round.
          answers: to its queries, in their order: what the forward computes, `QueryScores` unless it is
            another.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    def start_block(
        self, context: Context, records: Sequence[data.Record]
    ) -> Sequence["DocumentBlock | data.Record"]:
        """Returns what the model is asked of many documents: the same as `start` of each, where that is faster.

        Args:
          context: of the model.
          records: consecutive documents.

        Returns:
          Blocks of consecutive documents, and those documents that `start` is to be asked about, in the order of
          the documents.
        """
        del context
        return records

    def advance_block(self, states: Sequence[Any], answers: Any, starts: Sequence[int]) -> Sequence[ScoreRow]:
        """Returns the rows of consecutive documents: the same as `advance` of each, where that is faster.

        It is called where `reads_blocks` is True, and never with answers that have a fault.

        Args:
          states: of the documents.
          answers: to the queries of all of them, joined as one answer.
          starts: where the answers of each document begin in `answers`; last, where they end.
        """
        raise NotImplementedError(f"{self.name} makes the row of each document by itself")

    def options(self) -> dict[str, Any]:
        """Returns name and options as JSON values: what the numbers depend on.

        Example:
          >>> from jaxlm.scoring import LogLikelihood
          >>> LogLikelihood().options()["measure"]
          'log-likelihood'
        """
        return {"measure": self.name, **dataclasses.asdict(self)}


def nats(name: str, kind: pa.DataType | None = None, *, tokens: str | None = None) -> pa.Field:
    """Returns a column in nats, float64 unless told.

    Args:
      name: of the column.
      kind: of its values.
      tokens: of the measure's log-likelihood, the column that says of how many tokens it is: both are summed
        up over a corpus, and their quotient is its loss.

    Example:
      >>> nats("log_likelihood").metadata
      {b'unit': b'nats'}
    """
    metadata = {"unit": "nats"} | ({} if tokens is None else {"tokens": tokens})
    return pa.field(name, pa.float64() if kind is None else kind, metadata=metadata)
