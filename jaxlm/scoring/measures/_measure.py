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
from jaxlm.scoring.engine import Forward, LogProbForward, Query, QueryBlock, vocab_size_of

Question = Literal["next_token", "fill"]
MODELS_ASKED: dict[Question, str] = {
    "next_token": models.CAUSAL_LM.name,
    "fill": models.MASKED_LM.name,
}
# The smallest values of options that several measures have.
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

    @property
    def vocab_size(self) -> int:
        """How many ids the model has."""
        return vocab_size_of(self.config)


ScoreRow = dict[str, Any]


class Round(NamedTuple):
    """What the model is asked about a document now, and what the measure keeps until the answers are there.

    Attributes:
      state: what `Measure.advance` needs in addition to the answers.
      queries: what the model reads; may be empty.
    """

    state: Any
    queries: Sequence[Query]


class DocumentBlock(NamedTuple):
    """The first rounds of consecutive documents, their queries as columns.

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
    """A kind of score: a frozen dataclass whose fields are its options.

    `start` says what the model is asked about a document, `advance` makes the row from the answers. A measure
    that needs answers before it can ask further sets `asks_again`: its `advance` may then return another
    `Round` instead of a row, any number of times. The rounds of many documents are read in the same batches.

    A measure may also make the queries of many documents at once (`start_block`), and their rows
    (`advance_block`), which is faster.

    Attributes:
      name: of the measure on the command line.
      questions: which models can be asked: those that predict the "next_token", those that "fill" masks, or
        both; see `ModelKind.question`.
      asks_again: whether `advance` may return another round.
      reads_blocks: whether `advance_block` makes the rows of many documents at once.
      reads_each_token: whether a text is read about as often as it has tokens, so that the parts of a job
        hold fewer documents.
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
          context: of the model.

        Raises:
          ScoreError: if the model cannot be asked for this measure; says why.
        """
        del context
        return self

    def forward(self, context: Context) -> Forward:
        """Returns what the devices compute: by default the log-probabilities of targets.

        Args:
          context: of the model.
        """
        del context
        return LogProbForward()

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns of a corpus, other than the text, that the measure reads from `Record.meta`."""
        return ()

    @property
    def is_measured(self) -> bool:
        """Whether rows have a column `measured`, with which the columns in nats are rank-correlated."""
        return False

    def remark(self, context: Context, asked: "Measure") -> str:
        """Returns a warning for the user about how texts are read; "" if there is none.

        Args:
          context: of the model.
          asked: this measure before `resolved`.
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
        """Returns the columns of a row; those in nats carry the metadata `{"unit": "nats"}`.

        Args:
          context: of the model.
        """

    @abc.abstractmethod
    def start(self, context: Context, record: data.Record) -> Round:
        """Returns what the model is asked about a document.

        Args:
          context: of the model.
          record: the document.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    @abc.abstractmethod
    def advance(self, state: Any, answers: Sequence[Any]) -> Round | ScoreRow:
        """Returns the row of a document, plain values by column, or the next round of questions about it.

        Args:
          state: of the round.
          answers: to the round's queries, in order: what the forward computes, by default `QueryScores`.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    def start_block(
        self, context: Context, records: Sequence[data.Record]
    ) -> Sequence["DocumentBlock | data.Record"]:
        """Returns what the model is asked about many documents, the same as `start` returns for each.

        Args:
          context: of the model.
          records: consecutive documents.

        Returns:
          Blocks of consecutive documents, and those documents that `start` is to be asked about, in the order
          of the documents.
        """
        del context
        return records

    def advance_block(self, states: Sequence[Any], answers: Any, starts: Sequence[int]) -> Sequence[ScoreRow]:
        """Returns the rows of consecutive documents, the same as `advance` returns for each.

        It is called only if `reads_blocks` is True, and never with answers that have a fault.

        Args:
          states: of the documents.
          answers: to the queries of all of them, joined as one answer.
          starts: where the answers of each document begin in `answers`; last, where they end.

        Raises:
          JaxlmError: if a document cannot be scored; `advance` is then called for each of them.
          NotImplementedError: if the measure does not offer this.
        """
        raise NotImplementedError(f"{self.name} makes the row of each document by itself")

    def options(self) -> dict[str, Any]:
        """Returns the name and the options as JSON values; the scores depend on all of them.

        Example:
          >>> from jaxlm.scoring import LogLikelihood
          >>> LogLikelihood().options()["measure"]
          'log-likelihood'
        """
        return {"measure": self.name, **dataclasses.asdict(self)}


def nats(name: str, kind: pa.DataType | None = None, *, tokens: str | None = None) -> pa.Field:
    """Returns a column whose values are in nats.

    Args:
      name: of the column.
      kind: of its values; None: float64.
      tokens: for the log-likelihood of a measure, the column with its number of tokens: both are summed over
        a corpus, and their quotient is the corpus's loss.

    Example:
      >>> from jaxlm.scoring import nats
      >>> nats("log_likelihood").metadata
      {b'unit': b'nats'}
    """
    metadata = {"unit": "nats"} | ({} if tokens is None else {"tokens": tokens})
    return pa.field(name, pa.float64() if kind is None else kind, metadata=metadata)
