"""Scores of a wild type's mutants, by the names of the conventions."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.scoring.engine import LogProbForward, Query, QueryScores
from jaxlm.scoring.measures import (
    Context,
    JoinedQueries,
    LongPolicy,
    MaskedSpans,
    MaskedText,
    Measure,
    Question,
    Round,
    ScoreError,
    ScoreRow,
    Vocabulary,
    check_choices,
    check_vocabulary,
    mask_each_token,
    mask_id_of,
    masked_text,
    nats,
    too_long_error,
    usual_frame,
    vocabulary_ids,
)
from jaxlm.scoring.variants._mutations import Variant, parse_variant
from jaxlm.scoring.variants._variant_contexts import (
    FILLS,
    AnswerIndex,
    ContextFill,
    VariantQueries,
    ask_fill,
    mutation_window,
    score_difference,
)
from jaxlm.scoring.variants._variant_measurements import check_pattern, measured_value
from jaxlm.scoring.variants._variant_sequences import CausalWindows, Reduce, likelihood_ratio

VariantMethod = Literal[ContextFill, "pllr", "llr"]
VARIANT_METHODS: dict[Question, tuple[VariantMethod, ...]] = {
    "fill": (*FILLS, "pllr"),
    "next_token": ("llr",),
}
DEFAULTS: dict[Question, tuple[VariantMethod, ...]] = {"fill": ("wt-fill",), "next_token": ("llr",)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariantEffect(Measure):
    """How much likelier a mutant is than its wild type, in nats; below 0 if the wild type is likelier.

    The wild type is the unmutated sequence. A document's text is a variant of it: `A23T`, `A23T:G45C`, or the
    mutant's whole sequence (see `parse_variant`). Six of the methods sum `log p(mutant's symbol) - log p(wild
    type's symbol)` over the mutated positions. They differ in the sequence that the model reads:
    "wt-marginals" reads the wild type and "mutant-marginals" the mutant, unmasked. The others mask the
    position in question, and have at the other mutated positions the wild type's symbols ("wt-fill"), masks
    ("mask-fill"), the mutant's symbols ("mut-fill"), or the symbols of the sequence whose probability is
    asked ("match-fill"). "Masked marginals" means "wt-fill" in the code of ESM and ProteinGym, and
    "mask-fill" in the paper of ESM. "pllr" is the difference between the two sequences'
    pseudo-log-likelihoods, and "llr", for a causal model, the difference between their log-likelihoods.
    "pllr" and "llr" also compare sequences of different lengths; each likelihood is divided by its sequence's
    length, unless `reduce="sum"`.

    Several methods are computed together, and a sequence that methods or variants have in common is read
    once: all single mutants of a position share one pass of "wt-fill", and all single mutants one pass of
    "wt-marginals".

    Attributes:
      wild_type: the sequence that texts are variants of.
      methods: one or several methods; each makes a column: "wt-marginals", "mutant-marginals", "wt-fill",
        "mask-fill", "mut-fill", "match-fill" and "pllr" for a masked LM, "llr" for a causal one. Empty:
        "wt-fill" for a masked LM, "llr" for a causal one.
      first: the number that names such as `A23T` give to the wild type's first symbol.
      vocabulary: the ids that the distributions are over: "all" ids, the "regular" ids without special
        tokens, or the ids of the 20 "amino-acids".
      reduce: for "pllr" and "llr", the "mean" over each sequence's symbols, or the "sum".
      long: what happens to sequences longer than the model reads: "error" refuses them; "window" reads a
        window around the mutated positions (for "pllr", around each position).
      ends: whether the tokenizer's opening and closing tokens, such as [CLS] and [SEP], are put around
        sequences (for "llr", only the opening tokens); None: they are if the model was trained with them.
      measured: the field of `meta` (the column of a table) with the measured value, which scores are ranked
        against; None: there are no measured values.
      measured_pattern: for FASTA files, a regular expression that is searched for in the header; its first
        group is the measured value. None: headers hold no measured value.

    Raises:
      ScoreError: if an option has an unknown value, or two options exclude each other.

    Example:
      >>> from jaxlm.scoring import VariantEffect
      >>> VariantEffect(wild_type="MKT", methods=("wt-fill", "mask-fill")).options()["methods"]
      ('wt-fill', 'mask-fill')

    References:
      Meier et al., "Language models enable zero-shot prediction of the effects of mutations on protein
        function", 2021, https://doi.org/10.1101/2021.07.09.450648 (appendix A).
    """

    name: ClassVar[str] = "variant-effect"
    questions: ClassVar[tuple[Question, ...]] = ("fill", "next_token")

    reads_each_token: ClassVar[bool] = True

    wild_type: str = ""
    methods: tuple[VariantMethod, ...] = ()
    first: int = 1
    vocabulary: Vocabulary = "all"
    reduce: Reduce = "mean"
    long: LongPolicy = "window"
    ends: bool | None = None
    measured: str | None = None
    measured_pattern: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.methods:
            check_choices("methods", self.methods, sum(VARIANT_METHODS.values(), ()))
        if self.measured and self.measured_pattern:
            raise ScoreError("measured names a column, measured_pattern searches headers: give one of them")
        check_pattern(self.measured_pattern)

    @property
    def fields(self) -> tuple[str, ...]:
        """The field of `meta` that holds the measured value, if one is named."""
        return () if self.measured is None else (self.measured,)

    @property
    def is_measured(self) -> bool:
        """Whether rows have a measured value."""
        return self.measured is not None or self.measured_pattern is not None

    def resolved(self, context: Context) -> "VariantEffect":
        """Returns the measure with every option filled in that follows from the model.

        Args:
          context: the model that is asked, with its tokenizer and its limits.

        Raises:
          ScoreError: if a method needs another kind of model, or the tokenizer cannot write the wild type.
        """
        question: Question = "next_token" if context.kind.next_token else "fill"
        methods = self.methods or DEFAULTS[question]
        other = sorted(set(methods) - set(VARIANT_METHODS[question]))
        if other:
            raise ScoreError(
                f"{', '.join(other)} cannot be asked of a {context.kind.name}, which has the methods "
                f"{', '.join(VARIANT_METHODS[question])}"
            )
        if not self.wild_type:
            raise ScoreError(f"{self.name} needs wild_type, the sequence that texts are variants of")
        as_trained = context.ends if context.kind.fill else bool(usual_frame(context).opening)
        ends = as_trained if self.ends is None else self.ends
        measure = dataclasses.replace(self, methods=methods, ends=ends)
        try:
            measure._check_wild_type(context)
        except ScoreError as error:
            raise ScoreError(f"wild type: {error}") from error
        return measure

    def forward(self, context: Context) -> LogProbForward:
        """Returns a forward for log-probabilities over the ids of `vocabulary`."""
        ids = vocabulary_ids(context.tokenizer, context.config.vocab_size, self.vocabulary)
        return LogProbForward(vocabulary=ids)

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns no text to encode ahead, because few variants are written as whole sequences."""
        del record
        return ()

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns the variant's name and sizes, a column for each method, and the measured value."""
        del context
        measured = [pa.field("measured", pa.float64())] if self.is_measured else []
        return [
            pa.field("variant", pa.string()),
            pa.field("num_symbols", pa.int64()),
            pa.field("num_mutations", pa.int64()),
            *(nats(column(method)) for method in self.methods),
            *measured,
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns the queries of a variant; there are none for the wild type itself.

        Args:
          context: the model that is asked, with its tokenizer and its limits.
          record: a document whose text names the variant.

        Raises:
          ScoreError: if the variant or its measured value cannot be read.
        """
        variant = parse_variant(record.text, self.wild_type, first=self.first)
        measured = measured_value(record, self.measured, self.measured_pattern) if self.is_measured else None
        state = _VariantState(variant, measured, {}, [], [])
        if variant.substitutions == ():
            return Round(state, [])
        if context.kind.next_token:
            state = state._replace(sequences=self._causal(context, variant))
        else:
            state = self._masked(context, variant, state)
        return Round(state, JoinedQueries([state.fill_queries, *state.sequences]))

    def advance(self, state: "_VariantState", answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the variant's scores by column.

        The wild type's scores are 0. For an insertion or a deletion only "pllr" and "llr" have a score; the
        other columns are None.

        Args:
          state: what `start` kept about the variant.
          answers: one answer for each query of the variant, in order.
        """
        changes = state.variant.substitutions
        scores: dict[str, float | None] = dict.fromkeys(map(column, self.methods), None)
        if changes is not None:
            for method in self.methods:
                scores[column(method)] = score_difference(state.terms.get(method, []), answers)
        if state.sequences:
            ratio = "llr" if "llr" in self.methods else "pllr"
            of_sequences = answers[len(state.fill_queries) :]
            scores[ratio] = likelihood_ratio(state.sequences, of_sequences, self.reduce)
        row = {"variant": state.variant.name(self.first), "num_symbols": len(state.variant.sequence)}
        row |= {"num_mutations": None if changes is None else len(changes), **scores}
        return row | ({"measured": state.measured} if self.is_measured else {})

    def _check_wild_type(self, context: Context) -> None:
        if context.kind.next_token:
            self._causal(context, parse_variant("WT", self.wild_type))
            return
        mask_id_of(context, self.name)
        self._checked_length(context, self._text(context, self.wild_type))

    def _causal(self, context: Context, variant: Variant) -> list[CausalWindows]:
        sequences = (variant.sequence, self.wild_type)
        for sequence in sequences:
            check_vocabulary(context, masked_text(context, sequence, ends=False), self.vocabulary)
        opened = bool(self.ends)
        return [CausalWindows(context, sequence, self.long, opened=opened) for sequence in sequences]

    def _masked(self, context: Context, variant: Variant, state: "_VariantState") -> "_VariantState":
        wild, mask = self._text(context, self.wild_type), mask_id_of(context, self.name)
        mutant = self._mutant(context, variant, wild)
        queries, terms = self._fills(context, variant, wild, mutant, mask)
        sequences = []
        if "pllr" in self.methods:
            room = wild.room(context.longest)
            sequences = [mask_each_token(text, mask_id=mask, room=room) for text in (mutant, wild)]
        return state._replace(fill_queries=queries, terms=terms, sequences=sequences)

    def _text(self, context: Context, sequence: str) -> MaskedText:
        text = masked_text(context, sequence, ends=self.ends)
        if text.tokens.size != len(sequence) or not text.regular.all():
            raise ScoreError(
                f"variants need a token for each symbol: {len(sequence)} symbols are {text.tokens.size} "
                f"tokens, {int((~text.regular).sum())} of them specials"
            )
        check_vocabulary(context, text, self.vocabulary)
        return text

    def _checked_length(self, context: Context, text: MaskedText) -> MaskedText:
        if text.tokens.size > text.room(context.longest) and self.long == "error":
            raise too_long_error(text, text.room(context.longest))
        return text

    def _mutant(self, context: Context, variant: Variant, wild: MaskedText) -> MaskedText:
        """Returns the mutant's ids: the wild type's with other symbols, or those of another length."""
        if variant.substitutions is None:
            if "pllr" not in self.methods:
                raise ScoreError(
                    f"{len(variant.sequence)} symbols where the wild type has {len(self.wild_type)}: only "
                    f"pllr scores an insertion or a deletion"
                )
            return self._checked_length(context, self._text(context, variant.sequence))
        symbols = self._text(context, "".join(change.mutant for change in variant.substitutions))
        tokens = wild.tokens.copy()
        tokens[[change.place for change in variant.substitutions]] = symbols.tokens
        return wild._replace(tokens=tokens)

    def _fills(
        self, context: Context, variant: Variant, wild: MaskedText, mutant: MaskedText, mask: int
    ) -> tuple[list[Query], dict[str, list[tuple[AnswerIndex, AnswerIndex]]]]:
        fills: list[ContextFill] = [fill for fill in FILLS if fill in self.methods]
        fills.sort(key=self.methods.index)
        if variant.substitutions is None or not fills:
            return [], {}
        room = wild.room(context.longest)
        places = np.array([change.place for change in variant.substitutions])
        asked = VariantQueries(wild, mutation_window(wild.tokens.size, places, room), room)
        terms = {fill: ask_fill(asked, fill, wild.tokens, mutant.tokens, mask) for fill in fills}
        return asked.queries(), terms


class _VariantState(NamedTuple):
    """A variant whose queries are being answered.

    Attributes:
      variant: its sequence and substitutions.
      measured: its measured value, if there is one.
      terms: by fill, which answers are subtracted from each other.
      fill_queries: of all fills.
      sequences: the queries of the mutant's whole sequence and those of the wild type's, for ratios.
    """

    variant: Variant
    measured: float | None
    terms: dict[str, list[tuple[AnswerIndex, AnswerIndex]]]
    fill_queries: list[Query]
    sequences: Sequence[MaskedSpans | CausalWindows]


def column(method: VariantMethod) -> str:
    """Returns the name of a method's column.

    Example:
      >>> from jaxlm.scoring.variants._variant_effect import column
      >>> column("wt-fill")
      'wt_fill'
    """
    return method.replace("-", "_")
