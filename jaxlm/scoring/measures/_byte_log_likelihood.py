"""The log-likelihood of the bytes of texts, which is comparable between tokenizers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from jaxlm import data, pretrained, tokenizers
from jaxlm.decoding.bytes import ByteScores, make_byte_model
from jaxlm.errors import JaxlmError
from jaxlm.scoring.engine import EngineConfig, Query, complete_config
from jaxlm.scoring.measures._byte_engine import ByteEngine
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring.measures._openings import trained_frame
from jaxlm.scoring.measures._text_numbers import count_words, perplexity_of_nats
from jaxlm.scoring.measures._windows import LongPolicy

NO_PLACES = np.zeros(0, np.int32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByteLogLikelihood(Measure):
    """`log P(text)` of a text's bytes: the sum of log p(byte | the bytes before it), in nats.

    A tokenizer can divide a text in many ways, and the log-likelihood of its tokens is that of one of them.
    This is the log of the sum over many: P_stem, the probability of all texts that begin with these bytes,
    divided as the tokenizer divides them, except for the last token, which may go beyond the bytes (see
    `decoding.bytes.ByteModel`). P_canonical <= P_stem <= P. It can be compared between models with different
    tokenizers. The model reads each text once, as a tree of about one token for each byte. Special tokens
    that are written in a text are plain bytes.

    Attributes:
      probability: "stem", or "canonical", in which the last token is one of the tokenizer's, too.
      max_stems: how many divisions are summed at a byte; the column `dropped` tells what was left out.
      eos: whether the end of the text is scored behind its last byte. The log-likelihood, and the
        perplexities and bits that are made of it, then include it.
      long: what happens to texts that are longer than a window: "window" splits them, "error" refuses them.
      window: the number of tokens that the model reads at once; None: the largest that the model allows.
      context: the smallest number of tokens that every window after the first reads before its first
        prediction; None: half a window.
      bos: what is read before a text: "document": the tokens that begin texts, before its first token;
        "window": these tokens before each of its windows.
      bytes: whether the row of a text has a list with the log-probability of each byte.

    Raises:
      ScoreError: if an option has no such value.

    Example:
      >>> from jaxlm.scoring import ByteLogLikelihood
      >>> ByteLogLikelihood(bytes=True).options()["probability"]
      'stem'
    """

    name: ClassVar[str] = "byte-log-likelihood"
    questions: ClassVar[tuple[Question, ...]] = ("next_token",)

    probability: Literal["stem", "canonical"] = "stem"
    max_stems: int = 16
    eos: bool = False
    long: LongPolicy = "window"
    window: int | None = None
    context: int | None = None
    bos: Literal["document", "window"] = "document"
    bytes: bool = False

    def own_engine(self, loaded: pretrained.Loaded, config: EngineConfig | None) -> ByteEngine:
        """Returns the byte model, which reads many texts together.

        Raises:
          UnknownBytesError: if the tokenizer's file does not determine the bytes of its ids.
          UsageError: if an option is out of range.
          ScoreError: if the config has sizes of rows, or the end of a text is to be scored, and nothing ends
            texts.
        """
        byte_model = make_byte_model(loaded, max_stems=self.max_stems, probability=self.probability)
        if self.eos and not byte_model.eos_ids:
            raise ScoreError("no token ends texts: the tokenizer has no eos; leave eos out")
        windows = {"long": self.long, "window": self.window, "context": self.context, "bos": self.bos}
        return ByteEngine(byte_model, complete_config(None, loaded), config, windows)

    def remark(self, context: Context, asked: "ByteLogLikelihood") -> str:
        """Returns a warning that no token opens texts; "" if one does."""
        del asked
        trained = trained_frame(context)
        if any(tokenizers.text_frame(context.tokenizer, use, trained).opening for use in ("score", "prefix")):
            return ""
        return "no token opens texts: each token counts as equally likely at the beginning of a text"

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns nothing: texts are not encoded ahead."""
        del record
        return ()

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, the log-likelihood with its rates, the probability's name, and lists of bytes."""
        del context
        rates = [
            pa.field(name, pa.float64()) for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")
        ]
        return [
            pa.field("num_words", pa.int64()),
            pa.field("num_bytes", pa.int64()),
            nats("log_likelihood", tokens="num_bytes"),
            *rates,
            pa.field("probability", pa.string()),
            pa.field("dropped", pa.float64()),
            pa.field("num_windows", pa.int64()),
            *([nats("byte_log_probs", pa.list_(pa.float32()))] if self.bytes else []),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query, whose tokens are the bytes of the text.

        Raises:
          ScoreError: if the text is empty, or cannot be written in UTF-8.
        """
        del context
        try:
            written = record.text.encode()
        except UnicodeEncodeError as error:
            raise ScoreError(
                f"half a surrogate pair at character {error.start} cannot be written in UTF-8"
            ) from error
        if not written:
            raise ScoreError("no bytes: the text is empty")
        numbers = np.frombuffer(written, np.uint8)
        return Round((record.text, len(written)), [Query(numbers, NO_PLACES, NO_PLACES)])

    def advance(self, state: tuple[str, int], answers: Sequence[ByteScores | JaxlmError]) -> ScoreRow:
        """Returns the row of a document: its values by column.

        Args:
          state: the text, and how many bytes it has.
          answers: the scores of its bytes, or why there are none.

        Raises:
          ScoreError: if there are none, or the probability is 0.
        """
        (text, num_bytes), (scores,) = state, answers
        if isinstance(scores, JaxlmError):
            raise ScoreError(str(scores)) from scores
        total = scores.log_prob + (scores.end_log_prob if self.eos else 0.0)
        if not math.isfinite(total):
            raise ScoreError(impossible(text, scores))
        num_words = count_words(text)
        row: ScoreRow = {
            "num_words": num_words,
            "num_bytes": num_bytes,
            "log_likelihood": total,
            "word_perplexity": perplexity_of_nats(total, num_words) if num_words else None,
            "byte_perplexity": perplexity_of_nats(total, num_bytes),
            "bits_per_byte": -total / (math.log(2.0) * num_bytes),
            "probability": scores.name,
            "dropped": scores.dropped,
            "num_windows": scores.num_windows,
        }
        if self.bytes:
            row["byte_log_probs"] = scores.log_probs.tolist()
        return row


def impossible(text: str, scores: ByteScores) -> str:
    """Returns in words where a text gets the probability 0.

    Args:
      text: the text.
      scores: of its bytes.
    """
    where = np.flatnonzero(~np.isfinite(scores.log_probs))
    if not where.size:
        return "the model gives the text's end the probability 0"
    first = int(where[0])
    return f"the model gives byte {first}, {text.encode()[first : first + 1]!r}, the probability 0"
