"""What classifiers and regressions predict of a text: a class and its probability, or values.

Letters: `C` outputs of the head.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from jaxlm import data, models
from jaxlm.scoring.engine import OutputForward, Query
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow
from jaxlm.scoring.measures._text_pieces import LongTexts, text_pieces, window_of

# The `problem_type` of a Hugging Face classifier whose classes do not exclude each other, and the probability
# from which such a class is predicted.
MULTI_LABEL, LEAST_PROBABILITY = "multi_label_classification", 0.5


class ClassNames(NamedTuple):
    """The classes of a classifier.

    Attributes:
      names: in the order of the outputs.
      is_multi_label: whether a text may have any number of classes, each with a probability of its own.
    """

    names: tuple[str, ...]
    is_multi_label: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction(Measure):
    """The class of a text and its probability, or the values of a regression in the units of its labels.

    A text with more tokens than the model reads at once is read in windows of W tokens, in each of which
    other tokens count: the last window begins earlier, so that it is full. Probabilities and values are the
    means of those of the windows, weighted by the tokens that count in each.

    If a run was trained on windows of texts around a place that their id names (`data.window`), these windows
    are read here, too.

    Of a classifier a row has `predicted_class`, the name of the likeliest class, its `probability`, and
    `probabilities`, those of all C classes, whose names are in the column's metadata as `classes`. If classes
    do not exclude each other, as in some Hugging Face models, each has a probability of its own, and
    `predicted_classes` lists those with at least 0.5. Of a regression a row has `value`, or with several
    outputs the list `values`. Both have `num_tokens`.

    Attributes:
      long: what happens to a text that is longer than a window: "window" reads all of it, "cut" reads its
        first window alone, "error" refuses the text.
      window: W, the number of tokens that the model reads at once, those around a text included; None: the
        most that the model and the engine's batches allow.

    Raises:
      ScoreError: if an option has no such value.

    Example:
      >>> from jaxlm.scoring import Prediction
      >>> Prediction(long="cut").options()
      {'measure': 'prediction', 'long': 'cut', 'window': None}
    """

    name: ClassVar[str] = "prediction"
    questions: ClassVar[tuple[Question, ...]] = ("outputs",)

    long: LongTexts = "window"
    window: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.long not in get_args(LongTexts):
            raise ScoreError(f"long: expected one of {', '.join(get_args(LongTexts))}, got {self.long!r}")

    def resolved(self, context: Context) -> "Prediction":
        """Returns the measure with `window` filled in.

        Raises:
          ScoreError: if the window is out of range, or the model's files name another number of classes than
            it has outputs.
        """
        classes_of_model(context)
        return dataclasses.replace(self, window=window_of(context, self.window))

    def forward(self, context: Context) -> OutputForward:
        """Returns a forward for the head's outputs."""
        del context
        return OutputForward()

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the number of tokens, and the columns of a classifier or of a regression."""
        classes, number = classes_of_model(context), pa.field("num_tokens", pa.int64())
        numbers = pa.list_(pa.float32(), num_outputs(context))
        if classes is None:
            is_one = numbers.list_size == 1
            return [number, pa.field("value", pa.float64()) if is_one else pa.field("values", numbers)]
        named = {"classes": json.dumps(classes.names, ensure_ascii=False)}
        several = pa.field("predicted_classes", pa.list_(pa.string()))
        return [
            number,
            pa.field("predicted_class", pa.string()),
            pa.field("probability", pa.float64()),
            pa.field("probabilities", numbers, metadata=named),
            *([several] if classes.is_multi_label else []),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query for each window of a text.

        Raises:
          ScoreError: if the text is empty or too long.
        """
        tokens = context.encode(cropped_as_trained(context, record).text)
        if not len(tokens):
            raise ScoreError("no tokens: the text is empty")
        pieces = text_pieces(context, tokens, window=self.window, long=self.long)
        place = np.zeros(1, np.int32)
        queries = [Query(piece.tokens, place, place) for piece in pieces]
        weights = np.array([piece.size - piece.counted_from for piece in pieces], np.float64)
        return Round(
            _PredictionState(classes_of_model(context), len(tokens), weights / weights.sum()), queries
        )

    def advance(self, state: "_PredictionState", answers: Sequence[np.ndarray]) -> ScoreRow:
        """Returns the row of a text: its class and the probabilities, or its values."""
        row: ScoreRow = {"num_tokens": state.num_tokens}
        outputs = np.stack(answers).astype(np.float64)
        if state.classes is None:
            values = state.shares @ outputs
            return row | ({"value": float(values[0])} if len(values) == 1 else {"values": _as_floats(values)})
        names, is_multi_label = state.classes
        each = 1 / (1 + np.exp(-outputs)) if is_multi_label else _softmax(outputs)
        probs = state.shares @ each
        likeliest = int(probs.argmax())
        row |= {"predicted_class": names[likeliest], "probability": float(probs[likeliest])}
        row["probabilities"] = _as_floats(probs)
        if is_multi_label:
            row["predicted_classes"] = [names[at] for at in np.flatnonzero(probs >= LEAST_PROBABILITY)]
        return row


def num_outputs(context: Context) -> int:
    """Returns C, the number of outputs of a classifier's or a regression's head.

    Args:
      context: the model that is asked.

    Raises:
      ScoreError: if the model has no config of such a head.
    """
    if not isinstance(context.head, models.HeadConfig):
        raise ScoreError(f"a {context.kind.name} has a HeadConfig as head: got {context.head!r:.60}")
    return context.head.required_outputs()


def classes_of_model(context: Context) -> ClassNames | None:
    """Returns the classes of a classifier, by the model's files or else by their numbers; None: it has none.

    Args:
      context: the model that is asked.

    Raises:
      ScoreError: if the files name another number of classes than the model has outputs.
    """
    number = num_outputs(context)
    if context.kind == models.REGRESSION or (context.kind != models.CLASSIFICATION and number == 1):
        return None
    known: Any = context.extra.get("classes") or list(range(number))
    if len(known) != number:
        raise ScoreError(f"the model's files name {len(known)} classes, and it has {number} outputs")
    return ClassNames(tuple(map(str, known)), context.extra.get("problem_type") == MULTI_LABEL)


def cropped_as_trained(context: Context, record: data.Record) -> data.Record:
    """Returns a record with the part of its text that a run read in training, if it read windows of texts.

    Args:
      context: the model that is asked.
      record: the document, whose id and description say where the window's centre is.

    Raises:
      CorpusError: if the run's pattern does not find the centre.
    """
    experiment = context.extra.get("experiment")
    told = experiment.get("data", {}) if isinstance(experiment, dict) else {}
    if not told.get("window"):
        return record
    config = data.DataConfig(window=told["window"], center_pattern=told["center_pattern"])
    return data.crop_record(record, config)


class _PredictionState(NamedTuple):
    """What the row of a text needs in addition to the outputs.

    Attributes:
      classes: of a classifier; None: a regression.
      num_tokens: of the text.
      shares: `Float64[w]` the share of each of w windows in the result.
    """

    classes: ClassNames | None
    num_tokens: int
    shares: np.ndarray


def _as_floats(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def _softmax(outputs: np.ndarray) -> np.ndarray:
    shares = np.exp(outputs - outputs.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)
