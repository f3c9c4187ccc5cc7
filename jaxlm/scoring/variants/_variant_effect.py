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
from jaxlm.scoring.variants._variant_measurements import check_pattern, measurement
from jaxlm.scoring.variants._variant_sequences import CausalWindows, Reduce, likelihood_ratio

Method = Literal[ContextFill, "pllr", "llr"]
METHODS: dict[Question, tuple[Method, ...]] = {"fill": (*FILLS, "pllr"), "next_token": ("llr",)}
DEFAULTS: dict[Question, tuple[Method, ...]] = {"fill": ("wt-fill",), "next_token": ("llr",)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariantEffect(Measure):
    """How a mutant compares with its wild type, in nats: above 0, the model finds the mutant likelier.

    A document's text is a variant: `A23T`, `A23T:G45C`, or the mutant's whole sequence (see `parse_variant`).
    The fills sum `log p(mutant's symbol) - log p(wild type's)` over the mutated places and differ in what the
    model reads: `contexts` has their table. What others call "masked marginals" is "wt-fill" in ESM's and
    ProteinGym's code and "mask-fill" in ESM's paper. "pllr" is the difference of the two sequences'
    pseudo-log-likelihoods, and "llr", of a causal model, that of their log-likelihoods: these two compare
    sequences of different lengths, too. Each is divided by its own length, unless `reduce="sum"`.

    Several are computed together, and what they and other variants of the same block read in common is read
    once: all single mutants at a place are one pass of "wt-fill", and all of them one of "wt-marginals".

    Attributes:
      wild_type: the sequence that texts are variants of.
      methods: one or several of "wt-marginals", "mutant-marginals", "wt-fill", "mask-fill", "mut-fill",
        "match-fill" and "pllr" of a masked LM, "llr" of a causal one, a column each; none:
        "wt-fill", or "llr".
      first: the number of the wild type's first symbol in names such as `A23T`.
      vocabulary: what distributions are over: "all" ids, the "regular" ones, or the 20 "amino-acids".
      reduce: of "pllr" and "llr": the "mean" over each sequence's symbols, or the "sum".
      long: of sequences longer than the model reads: "error", or "window", the window whose middle is that of
        the mutated places (of "pllr", of each place).
      ends: whether the tokenizer's own tokens open and close sequences ("llr": open); None: as in training.
      measured: the field of `meta` (the column of a table) that holds what was measured, to rank by.
      measured_pattern: of a FASTA file, a regular expression whose first group is what was measured, searched
        for in the header.

    Example:
      >>> VariantEffect(wild_type="MKT", methods=("wt-fill", "mask-fill")).options()["measure"]
      'variant-effect'

    References:
      Meier et al., "Language models enable zero-shot prediction of the effects of mutations on protein
        function", 2021, https://doi.org/10.1101/2021.07.09.450648 (appendix A).
    """

    name: ClassVar[str] = "variant-effect"
    questions: ClassVar[tuple[Question, ...]] = ("fill", "next_token")

    reads_each_token: ClassVar[bool] = True

    wild_type: str = ""
    methods: tuple[Method, ...] = ()
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
            check_choices("methods", self.methods, sum(METHODS.values(), ()))
        if self.measured and self.measured_pattern:
            raise ScoreError("measured names a column, measured_pattern searches headers: give one")
        check_pattern(self.measured_pattern)

    @property
    def fields(self) -> tuple[str, ...]:
        return () if self.measured is None else (self.measured,)

    @property
    def is_measured(self) -> bool:
        return self.measured is not None or self.measured_pattern is not None

    def resolved(self, context: Context) -> "VariantEffect":
        """Returns the measure with all filled in; refuses methods of other models and bad wild types."""
        methods = self.methods or DEFAULTS[context.kind.question]
        other = sorted(set(methods) - set(METHODS[context.kind.question]))
        if other:
            raise ScoreError(
                f"{', '.join(other)} cannot be asked of a {context.kind.name}: of one there are "
                f"{', '.join(METHODS[context.kind.question])}"
            )
        if not self.wild_type:
            raise ScoreError(f"{self.name} needs wild_type, the sequence that texts are variants of")
        usual = context.ends if context.kind.fill else bool(usual_frame(context).opening)
        ends = usual if self.ends is None else self.ends
        measure = dataclasses.replace(self, methods=methods, ends=ends)
        try:
            measure._check_wild_type(context)
        except ScoreError as error:
            raise ScoreError(f"wild type: {error}") from error
        return measure

    def forward(self, context: Context) -> LogProbForward:
        """Returns the vocabulary."""
        ids = vocabulary_ids(context.tokenizer, context.config.vocab_size, self.vocabulary)
        return LogProbForward(vocabulary=ids)

    def texts(self, record: data.Record) -> Sequence[str]:
        """Returns nothing: few texts are whole sequences."""
        del record
        return ()

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns what differs, a column a method, and what was measured."""
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
        """Returns what is read for a variant; nothing for the wild type itself."""
        variant = parse_variant(record.text, self.wild_type, first=self.first)
        measured = measurement(record, self.measured, self.measured_pattern) if self.is_measured else None
        plan = _Plan(variant, measured, {}, [], [])
        if variant.substitutions == ():
            return Round(plan, [])
        if context.kind.next_token:
            plan = plan._replace(halves=self._from_left(context, variant))
        else:
            plan = self._masked(context, variant, plan)
        return Round(plan, JoinedQueries([plan.direct, *plan.halves]))

    def advance(self, state: "_Plan", answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the variant's scores: 0 for the wild type, None for a fill of an insertion or deletion."""
        plan = state
        changes = plan.variant.substitutions
        found: dict[str, float | None] = dict.fromkeys(map(column, self.methods), None)
        if changes is not None:
            found |= {column(one): score_difference(plan.terms.get(one, []), answers) for one in self.methods}
        if plan.halves:
            whole = "llr" if "llr" in self.methods else "pllr"
            found[whole] = likelihood_ratio(plan.halves, answers[len(plan.direct) :], self.reduce)
        row = {"variant": plan.variant.name(self.first), "num_symbols": len(plan.variant.sequence)}
        row |= {"num_mutations": None if changes is None else len(changes), **found}
        return row | ({"measured": plan.measured} if self.is_measured else {})

    def _check_wild_type(self, context: Context) -> None:
        if context.kind.next_token:
            self._from_left(context, parse_variant("WT", self.wild_type))
            return
        mask_id_of(context, self.name)
        self._fitting(context, self._text(context, self.wild_type))

    def _from_left(self, context: Context, variant: Variant) -> list[CausalWindows]:
        sequences = (variant.sequence, self.wild_type)
        for one in sequences:
            check_vocabulary(context, masked_text(context, one, ends=False), self.vocabulary)
        return [CausalWindows(context, one, self.long, opened=self.ends) for one in sequences]

    def _masked(self, context: Context, variant: Variant, plan: "_Plan") -> "_Plan":
        wild, mask = self._text(context, self.wild_type), mask_id_of(context, self.name)
        mutant = self._mutant(context, variant, wild)
        direct, terms = self._fills(context, variant, wild, mutant, mask)
        room, halves = wild.room(context.longest), []
        if "pllr" in self.methods:
            halves = [mask_each_token(one, mask_id=mask, room=room) for one in (mutant, wild)]
        return plan._replace(direct=direct, terms=terms, halves=halves)

    def _text(self, context: Context, sequence: str) -> MaskedText:
        text = masked_text(context, sequence, ends=self.ends)
        if text.tokens.size != len(sequence) or not text.regular.all():
            raise ScoreError(
                f"variants need a token for each symbol: {len(sequence)} symbols are {text.tokens.size} "
                f"tokens, {int((~text.regular).sum())} of them specials"
            )
        check_vocabulary(context, text, self.vocabulary)
        return text

    def _fitting(self, context: Context, text: MaskedText) -> MaskedText:
        if text.tokens.size > text.room(context.longest) and self.long == "error":
            raise too_long_error(text, text.room(context.longest))
        return text

    def _mutant(self, context: Context, variant: Variant, wild: MaskedText) -> MaskedText:
        """The mutant's ids; of an exchange they are the wild type's but for what is exchanged."""
        if variant.substitutions is None:
            if "pllr" not in self.methods:
                raise ScoreError(
                    f"{len(variant.sequence)} symbols where the wild type has {len(self.wild_type)}: of an "
                    f"insertion or a deletion only pllr can be asked"
                )
            return self._fitting(context, self._text(context, variant.sequence))
        symbols = self._text(context, "".join(one.mutant for one in variant.substitutions))
        tokens = wild.tokens.copy()
        tokens[[one.place for one in variant.substitutions]] = symbols.tokens
        return wild._replace(tokens=tokens)

    def _fills(
        self, context: Context, variant: Variant, wild: MaskedText, mutant: MaskedText, mask: int
    ) -> tuple[list[Query], dict[str, list[tuple[AnswerIndex, AnswerIndex]]]]:
        fills = [one for one in self.methods if one in FILLS]
        if variant.substitutions is None or not fills:
            return [], {}
        room = wild.room(context.longest)
        places = np.array([one.place for one in variant.substitutions])
        questions = VariantQueries(wild, mutation_window(wild.tokens.size, places, room), room)
        terms = {one: ask_fill(questions, one, wild.tokens, mutant.tokens, mask) for one in fills}
        return questions.pieces(), terms


class _Plan(NamedTuple):
    """A variant on its way: the pieces of fills and where their answers are, and those of whole sequences."""

    variant: Variant
    measured: float | None
    terms: dict[str, list[tuple[AnswerIndex, AnswerIndex]]]
    direct: list[Query]
    halves: Sequence[MaskedSpans | CausalWindows]


def column(method: Method) -> str:
    """Returns the name of a method's column.

    Example:
      >>> column("wt-fill")
      'wt_fill'
    """
    return method.replace("-", "_")
