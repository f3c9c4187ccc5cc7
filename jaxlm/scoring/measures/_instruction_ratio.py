"""How unexpected each instruction of a trace is: its own tokens compared with the likeliest ones there."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import LogProbForward, QueryScores, instruction_positions_on_host
from jaxlm.scoring.measures._masked_checks import mask_id_of, too_long_error
from jaxlm.scoring.measures._masked_spans import MaskedQuestions, MaskedSpans
from jaxlm.scoring.measures._masked_texts import MaskedText, masked_text
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring.measures._unknown import UnknownPolicy
from jaxlm.scoring.measures._windows import LongPolicy


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstructionRatio(Measure):
    """The log-likelihood ratio of each instruction of a trace, in nats: 0 for an expected instruction.

    A trace is the sequence of machine instructions of a function, as tokens. The ratio is `sum_i (max_v log
    p_i(v) - log p_i(t_i))` over the tokens of an instruction, given the rest of the trace: how much likelier
    the likeliest tokens are than the actual ones. The ratio is 0 or more, and high for an instruction that
    the model does not expect. Special tokens, such as the end of an instruction, stay visible and are not
    counted; an instruction of special tokens alone has the value null, and is left out of the mean.

    With `masking="instruction"` a whole instruction is masked, in one copy of the trace for each instruction;
    with "token" each token is masked alone, in one copy for each token. The mean of the token-wise ratios
    over an instruction is the expected value of masking one of its tokens at random.

    Attributes:
      masking: what is masked together in one copy of the trace: an "instruction" or a single "token".
      long: what happens to a trace longer than the model reads: "error" refuses it, "window" reads a window
        with the instruction in its middle.
      unknown: what happens with a symbol that the vocabulary cannot write: "error" refuses the trace; "score"
        scores the unknown token in its place like any other token.
      ends: whether the tokenizer's opening and closing tokens, such as [CLS] and [SEP], are put around a
        trace; None: they are if the model was trained with them.

    Example:
      >>> from jaxlm.scoring import InstructionRatio
      >>> InstructionRatio(masking="token").options()["masking"]
      'token'
    """

    name: ClassVar[str] = "instruction-ratio"
    questions: ClassVar[tuple[Question, ...]] = ("fill",)

    reads_each_token: ClassVar[bool] = True

    masking: Literal["instruction", "token"] = "instruction"
    long: LongPolicy = "window"
    unknown: UnknownPolicy = "score"
    ends: bool | None = None

    def resolved(self, context: Context) -> "InstructionRatio":
        """Returns the measure with `ends` filled in; a tokenizer without instructions is a `ScoreError`."""
        mask_id_of(context, self.name)
        _next_id(context)
        return dataclasses.replace(self, ends=context.ends if self.ends is None else self.ends)

    def forward(self, context: Context) -> LogProbForward:
        """Returns a forward for log-probabilities and, at each masked position, the likeliest id."""
        del context
        return LogProbForward(top_k=1)

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, the largest and the mean ratio, and lists with one entry per instruction."""
        del context
        return [
            *(pa.field(f"num_{name}", pa.int64()) for name in ("tokens", "scored", "instructions")),
            nats("max_ratio"),
            nats("mean_ratio"),
            pa.field("most_unexpected", pa.int64()),
            pa.field("most_unexpected_instruction", pa.string()),
            nats("instruction_ratios", pa.list_(pa.float32())),
            nats("instruction_log_likelihoods", pa.list_(pa.float32())),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns the masked copies of a trace.

        Raises:
          ScoreError: if the trace has nothing to score, or is too long.
        """
        text = masked_text(context, record.text, ends=self.ends, unknown=self.unknown)
        room = text.room(context.longest)
        fits = text.tokens.size <= room
        if not fits and self.long == "error":
            raise too_long_error(text, room)
        numbers = instruction_positions_on_host(text.tokens, _next_id(context))[:, 0]
        spans, instructions = _spans(text, numbers, self.masking)
        centres = None if fits else _centres(numbers, room)
        copies = MaskedSpans(text, spans, mask_id=mask_id_of(context, self.name), room=room, centres=centres)
        names = _texts(context, text.tokens, numbers)
        return Round(_TraceState(instructions, names, text.tokens.size, copies), copies)

    def advance(self, state: "_TraceState", answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the row of a trace; an instruction of special tokens alone has the ratio None."""
        instructions, names, size, copies = state
        own = copies.read(answers)
        best = copies.read(answers, "top_log_probs")[:, 0].astype(np.float64)
        ratios, likelihoods = np.zeros(len(names)), np.zeros(len(names))
        np.add.at(ratios, instructions, np.maximum(best - own, 0.0))
        np.add.at(likelihoods, instructions, own)
        asked = np.bincount(instructions, minlength=len(names)) > 0
        worst = int(np.where(asked, ratios, -1.0).argmax())
        return {
            "num_tokens": size,
            "num_scored": len(own),
            "num_instructions": len(names),
            "max_ratio": float(ratios[worst]),
            "mean_ratio": math.fsum(ratios) / int(asked.sum()),
            "most_unexpected": worst,
            "most_unexpected_instruction": names[worst],
            "instruction_ratios": _known(ratios, asked),
            "instruction_log_likelihoods": _known(likelihoods, asked),
        }


class _TraceState(NamedTuple):
    """What the row of a trace needs in addition to its scores.

    Attributes:
      instructions: `Int[m]` the instruction of each scored token.
      names: the text of each instruction.
      size: tokens of the trace.
      copies: the masked copies.
    """

    instructions: np.ndarray
    names: list[str]
    size: int
    copies: MaskedSpans


def _spans(text: MaskedText, numbers: np.ndarray, masking: str) -> tuple[MaskedQuestions, np.ndarray]:
    """The span that is masked for each regular token, and the token's instruction.

    A special token within an instruction divides it into spans, so that it stays visible.
    """
    places = np.flatnonzero(text.regular)
    if masking == "token":
        return MaskedQuestions(places, places + 1, places), numbers[places]
    begins = np.ones(len(places), bool)
    begins[1:] = (np.diff(places) > 1) | (np.diff(numbers[places]) > 0)
    run = np.cumsum(begins) - 1
    first = places[begins]
    last = places[np.append(np.flatnonzero(begins)[1:], len(places)) - 1]
    return MaskedQuestions(first[run], last[run] + 1, places), numbers[places]


def _centres(numbers: np.ndarray, room: int) -> np.ndarray:
    """The middle of each token's instruction."""
    counts = np.bincount(numbers)
    if counts.max() > room:
        raise ScoreError(f"an instruction of {counts.max()} tokens is longer than a window of {room}")
    ends = np.cumsum(counts)
    return ((ends - counts + ends) / 2)[numbers]


def _known(values: np.ndarray, asked: np.ndarray) -> list[float | None]:
    """Values of instructions, None for instructions without a scored token."""
    pairs = zip(values.astype(np.float32).tolist(), asked.tolist(), strict=True)
    return [value if known else None for value, known in pairs]


def _next_id(context: Context) -> int:
    """The id that ends an instruction."""
    next_id = context.tokenizer.specials.next
    if next_id is None:
        raise ScoreError(
            f"{InstructionRatio.name} is for traces of instructions, and this {context.tokenizer.kind} "
            "tokenizer has no [NEXT] that ends one"
        )
    return next_id


def _texts(context: Context, tokens: np.ndarray, numbers: np.ndarray) -> list[str]:
    next_id = _next_id(context)
    parts = np.split(tokens, np.flatnonzero(np.diff(numbers)) + 1)
    return [context.tokenizer.decode(part[part != next_id]) for part in parts]
