"""Scores of a wild type's mutants under a masked LM, by the names of the conventions.

Letters: `n` symbols of a sequence.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from jaxlm import data
from jaxlm.scoring._masked_checks import Long, check_choice, check_vocabulary, mask_of, too_long
from jaxlm.scoring._masked_spans import JoinedPieces, MaskedSpans, every_token
from jaxlm.scoring._masked_texts import MaskedText, masked_text
from jaxlm.scoring._measure import Context, Measure, Needs, Planned, ScoreError, nats
from jaxlm.scoring._mutations import Variant, parse_variant
from jaxlm.scoring._pieces import Piece, PieceScores
from jaxlm.scoring._variant_contexts import (
    FILLS,
    Answer,
    Fill,
    Questions,
    ask_fill,
    difference,
    mutation_window,
)
from jaxlm.scoring._vocabularies import Vocabulary, vocabulary_ids

Method = Literal[Fill, "pllr"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariantEffect(Measure):
    """How a mutant compares with its wild type, in nats: above 0, the model finds the mutant likelier.

    A document's text is a variant: `A23T`, `A23T:G45C`, or the mutant's whole sequence (see `parse_variant`).
    The fills sum `log p(mutant's symbol) - log p(wild type's)` over the mutated places and differ in what the
    model reads: `contexts` has their table. What others call "masked marginals" is "wt-fill" in ESM's and
    ProteinGym's code and "mask-fill" in ESM's paper. "pllr" is the difference of the two sequences'
    pseudo-log-likelihoods, the only one that compares sequences of different lengths; each is divided by its
    own length, unless `pllr="sum"`.

    Several are computed together, and what they and other variants of the same block read in common is read
    once: all single mutants at a place are one pass of "wt-fill", and all of them one of "wt-marginals".

    Attributes:
      wild_type: the sequence that texts are variants of.
      methods: one or several of "wt-marginals", "mutant-marginals", "wt-fill", "mask-fill", "mut-fill",
        "match-fill" and "pllr", a column each.
      first: the number of the wild type's first symbol in names such as `A23T`.
      vocabulary: what distributions are over: "all" ids, the "regular" ones, or the 20 "amino-acids".
      pllr: "mean", of each sequence's symbols, or "sum".
      long: of sequences longer than the model reads: "error", or "window", the window whose middle is that of
        the mutated places (of "pllr", of each place).
      ends: whether the tokenizer's own tokens open and close sequences; None: as the model was trained.
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
    objectives: ClassVar[tuple[str, ...]] = ("masked_lm",)

    wild_type: str = ""
    methods: tuple[Method, ...] = ("wt-fill",)
    first: int = 1
    vocabulary: Vocabulary = "all"
    pllr: Literal["mean", "sum"] = "mean"
    long: Long = "window"
    ends: bool | None = None
    measured: str | None = None
    measured_pattern: str | None = None

    def __post_init__(self) -> None:
        check_choice("methods", self.methods, METHODS)
        if self.measured and self.measured_pattern:
            raise ScoreError("measured names a column, measured_pattern searches headers: give one")

    @property
    def is_measured(self) -> bool:
        """Whether there is a column of what was measured."""
        return self.measured is not None or self.measured_pattern is not None

    def resolved(self, context: Context) -> "VariantEffect":
        """Returns the measure with `ends` filled in; refuses a wild type that cannot be scored."""
        measure = dataclasses.replace(self, ends=context.ends if self.ends is None else self.ends)
        mask_of(context, self.name)
        if not self.wild_type:
            raise ScoreError(f"{self.name} needs the wild type that texts are variants of")
        try:
            wild = measure._text(context, self.wild_type)
        except ScoreError as error:
            raise ScoreError(f"wild type: {error}") from error
        if wild.tokens.size > wild.room(context.longest) and self.long == "error":
            raise ScoreError(f"wild type: {too_long(wild, wild.room(context.longest))}")
        return measure

    def needs(self, context: Context) -> Needs:
        """Returns the vocabulary."""
        ids = vocabulary_ids(context.tokenizer, context.config.vocab_size, self.vocabulary)
        return Needs(vocabulary=ids)

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
            pa.field("num_mutations", pa.int64()),
            pa.field("num_tokens", pa.int64()),
            *(nats(column(method)) for method in self.methods),
            *measured,
        ]

    def pieces(self, context: Context, record: data.Record) -> Planned:
        """Returns what is read for a variant; nothing for the wild type itself."""
        measured = self._measured(record)
        try:
            variant = parse_variant(record.text, self.wild_type, first=self.first)
        except ValueError as error:
            raise ScoreError(str(error)) from error
        wild = self._text(context, self.wild_type)
        mutant = self._mutant(context, variant, wild)
        plan = _Plan(variant.name(self.first), variant, measured, len(variant.sequence), {}, [])
        if variant.substitutions == ():
            return Planned([], plan)
        mask = mask_of(context, self.name)
        direct, terms = self._fills(context, variant, wild, mutant, mask)
        copies = []
        if "pllr" in self.methods:
            room = wild.room(context.longest)
            copies = [every_token(one, mask_id=mask, room=room) for one in (mutant, wild)]
        return Planned(JoinedPieces([direct, *copies]), plan._replace(terms=terms, copies=copies))

    def row(self, planned: Planned, scores: Sequence[PieceScores]) -> dict[str, Any]:
        """Returns the variant's scores: 0 for the wild type, None for a fill of an insertion or deletion."""
        plan = planned.state
        found: dict[str, float | None] = dict.fromkeys(map(column, self.methods), None)
        if plan.variant.substitutions is not None:
            found |= {column(one): difference(plan.terms.get(one, []), scores) for one in self.methods}
        if plan.copies:
            found[column("pllr")] = self._ratio(plan.copies, scores)
        changes = plan.variant.substitutions
        row = {"variant": plan.name, "num_mutations": None if changes is None else len(changes)}
        row |= {"num_tokens": plan.length, **found}
        return row | ({"measured": plan.measured} if self.is_measured else {})

    def _text(self, context: Context, sequence: str) -> MaskedText:
        text = masked_text(context, sequence, ends=self.ends)
        if text.tokens.size != len(sequence) or not text.regular.all():
            raise ScoreError(
                f"variants need a token for each symbol: {len(sequence)} symbols are {text.tokens.size} "
                f"tokens, {int((~text.regular).sum())} of them specials"
            )
        check_vocabulary(context, text, self.vocabulary)
        return text

    def _mutant(self, context: Context, variant: Variant, wild: MaskedText) -> MaskedText:
        """The mutant's ids; of an exchange they are the wild type's but for what is exchanged."""
        if variant.substitutions is None:
            if "pllr" not in self.methods:
                raise ScoreError(
                    f"{len(variant.sequence)} symbols where the wild type has {len(self.wild_type)}: of an "
                    f"insertion or a deletion only pllr can be asked"
                )
            mutant = self._text(context, variant.sequence)
            if mutant.tokens.size > mutant.room(context.longest) and self.long == "error":
                raise too_long(mutant, mutant.room(context.longest))
            return mutant
        if not variant.substitutions:
            return wild
        symbols = self._text(context, "".join(one.mutant for one in variant.substitutions))
        tokens = wild.tokens.copy()
        tokens[[one.place for one in variant.substitutions]] = symbols.tokens
        return wild._replace(tokens=tokens)

    def _fills(
        self, context: Context, variant: Variant, wild: MaskedText, mutant: MaskedText, mask: int
    ) -> tuple[list[Piece], dict[str, list[tuple[Answer, Answer]]]]:
        fills = [one for one in self.methods if one in FILLS]
        if variant.substitutions is None or not fills:
            return [], {}
        room = wild.room(context.longest)
        places = np.array([one.place for one in variant.substitutions])
        questions = Questions(wild, mutation_window(wild.tokens.size, places, room), room)
        terms = {one: ask_fill(questions, one, wild.tokens, mutant.tokens, mask) for one in fills}
        return questions.pieces(), terms

    def _ratio(self, copies: list[MaskedSpans], scores: Sequence[PieceScores]) -> float:
        mutant, wild = copies
        behind = len(scores) - len(wild)
        found = (
            mutant.read(scores[behind - len(mutant) : behind]),
            wild.read(scores[behind:]),
        )
        sizes = [len(one) if self.pllr == "mean" else 1 for one in found]
        new, old = (math.fsum(one) / size for one, size in zip(found, sizes, strict=True))
        return new - old

    def _measured(self, record: data.Record) -> float | None:
        if not self.is_measured:
            return None
        said = self._said(record).strip()
        if said.lower() in ("", "na", "nan", "null", "none"):
            return None
        try:
            return float(said)
        except ValueError as error:
            raise ScoreError(f"expected a number that was measured, got {said[:40]!r}") from error

    def _said(self, record: data.Record) -> str:
        if self.measured_pattern is None:
            return str(record.meta.get(self.measured, ""))
        header = f"{record.id} {record.meta.get('description', '')}".rstrip()
        found = re.search(self.measured_pattern, header)
        if found is None:
            raise ScoreError(f"measured_pattern {self.measured_pattern!r} finds nothing in {header[:80]!r}")
        return found[1] if found.re.groups else found[0]


class _Plan(NamedTuple):
    name: str
    variant: Variant
    measured: float | None
    length: int
    terms: dict[str, list[tuple[Answer, Answer]]]
    copies: list[MaskedSpans]


def column(method: Method) -> str:
    """Returns the name of a method's column.

    Example:
      >>> column("wt-fill")
      'wt_fill'
    """
    return method.replace("-", "_")
