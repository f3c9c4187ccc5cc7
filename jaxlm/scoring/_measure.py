"""The contract of every measure: from a document to pieces, and from their scores to one row."""

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
from jaxlm.scoring._pieces import Piece, PieceScores

Question = Literal["next_token", "fill"]
MODELS_ASKED: dict[Question, str] = {"next_token": "causal LM", "fill": "masked LM"}
# What options that several measures have are at least.
LEAST_OPTIONS = {"window": 1, "context": 1, "stride": 1, "top_k": 0, "random_ids": 1}


class Context(NamedTuple):
    """What measures know of the model that they ask.

    Attributes:
      config: of the model.
      kind: of the model.
      tokenizer: of the model.
      longest: the most tokens that a piece may have.
      ends: whether the model was trained on texts with ends (see `pretrained.has_ends`).
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


class Needs(NamedTuple):
    """What a measure wants of the engine beside log-probabilities; the same for all its pieces.

    Attributes:
      details: ranks, entropy and confidence.
      top_k: how many of the likeliest ids.
      sets: `Bool[s V]` sets of ids whose probabilities are summed up, or None.
      vocabulary: the ids that distributions are over, all others having probability 0 and no part in the sum;
        targets are among them. None: every id of the model.
      shared_contexts: whether pieces have contexts to be shared.
    """

    details: bool = False
    top_k: int = 0
    sets: np.ndarray | None = None
    vocabulary: tuple[int, ...] | None = None
    shared_contexts: bool = False


class Planned(NamedTuple):
    """A document on its way: the pieces that are asked, and what makes a row of their answers.

    Attributes:
      pieces: what the model reads; may be empty.
      state: whatever the measure's `row` needs beside the scores.
    """

    pieces: Sequence[Piece]
    state: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure(abc.ABC):
    """A kind of score and its options, a frozen dataclass each; options are what its description says.

    Attributes:
      name: what commands call it.
      questions: by what the models that it can be asked of are scored, see `ModelKind.question`.
    """

    name: ClassVar[str]
    questions: ClassVar[tuple[Question, ...]]

    def __post_init__(self) -> None:
        """Refuses options of another type, or of no range that any measure has.

        Raises:
          ScoreError: naming the option.
        """
        try:
            check_numbers(self)
        except ConfigError as error:
            raise ScoreError(str(error)) from None
        for name, least in LEAST_OPTIONS.items():
            value = getattr(self, name, None)
            if isinstance(value, int) and value < least:
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

    def needs(self, context: Context) -> Needs:
        """Returns what the engine has to compute.

        Args:
          context: of the model.
        """
        del context
        return Needs()

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns the texts of a record that `pieces` will encode, for encoding whole blocks of them ahead.

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
    def pieces(self, context: Context, record: data.Record) -> Planned:
        """Returns what the model is asked for a document.

        Args:
          context: of the model.
          record: the document.

        Raises:
          ScoreError: if the document cannot be scored.
        """

    @abc.abstractmethod
    def row(self, planned: Planned, scores: Sequence[PieceScores]) -> dict[str, Any]:
        """Returns the row of a document: plain values by column.

        Args:
          planned: what `pieces` returned.
          scores: of its pieces, in their order.
        """

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
