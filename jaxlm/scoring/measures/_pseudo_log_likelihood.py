"""Pseudo-log-likelihoods: every token predicted from the others, masked alone or with others of its word.

Letters: `n` tokens of a text.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data, tokenizers
from jaxlm.scoring.engine import LogProbForward, QueryScores
from jaxlm.scoring.measures._masked_checks import check_choices, check_vocabulary, mask_id_of, too_long_error
from jaxlm.scoring.measures._masked_rows import list_by_token, word_texts
from jaxlm.scoring.measures._masked_spans import MaskedQuestions, MaskedSpans
from jaxlm.scoring.measures._masked_texts import MaskedText, Words, masked_text, word_numbers
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring.measures._text_numbers import count_columns, counts, perplexity_of_nats
from jaxlm.scoring.measures._token_rows import (
    check_top_k_fits,
    place_columns,
    token_places,
    top_columns,
    top_strings,
)
from jaxlm.scoring.measures._unknown import UnknownPolicy
from jaxlm.scoring.measures._vocabularies import Vocabulary, vocabulary_ids
from jaxlm.scoring.measures._windows import Long

MaskingScheme = Literal["original", "within-word", "whole-word"]
MASKINGS: tuple[MaskingScheme, ...] = ("original", "within-word", "whole-word")
COLUMNS: dict[MaskingScheme, str] = {
    "original": "pseudo_log_likelihood",
    "within-word": "pseudo_log_likelihood_within_word",
    "whole-word": "pseudo_log_likelihood_whole_word",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLogLikelihood(Measure):
    """The sum of log p(token | the others) over a text, in nats; one masked copy of the text a token.

    What is masked beside the token itself is the `masking`'s choice: "original", nothing; "within-word", the
    tokens that follow it in its word, so that a long word is not given away by its own end; "whole-word", all
    of its word. The last token of a word is the same question in the first two, the first token in the last
    two: together they cost a copy a token and one for each token that is not the last of its word.

    What opens and closes a text, and specials written out in it, are read and never scored. A text longer
    than the model reads is an error, or, with `long="window"`, each token is predicted within a window around
    its word.

    Attributes:
      masking: one or several of "original", "within-word" and "whole-word", a column each.
      vocabulary: what distributions are over: "all" ids, the "regular" ones without specials, or the 20
        "amino-acids".
      word_unit: what a word is: the "pieces" that the tokenizer divides texts into, what "spaces" divide, or
        "auto"; see `word_numbers`.
      long: "error" or "window".
      unknown: what the vocabulary cannot write is an "error", or "score" its token like others.
      ends: whether the tokenizer's own tokens open and close texts; None: as the model was trained.
      tokens: adds lists with an entry a token, null at specials: its id, string and place in the text's
        bytes, its word's number, its log-probability by each masking, and by the first its rank (0 = the
        likeliest) and the entropy.
      top_k: likeliest ids that `tokens` lists for each token, by the first masking.
      words: adds lists with an entry a word: its text, and the sum of its tokens by each masking.

    Example:
      >>> PseudoLogLikelihood(masking=("original", "within-word")).options()["masking"]
      ('original', 'within-word')

    References:
      Salazar et al., "Masked Language Model Scoring", 2020, https://arxiv.org/abs/1910.14659 (original).
      Kauf and Ivanova, "A Better Way to Do Masked Language Model Scoring", 2023,
        https://arxiv.org/abs/2305.10588 (within-word, whole-word).
    """

    name: ClassVar[str] = "pseudo-log-likelihood"
    questions: ClassVar[tuple[Question, ...]] = ("fill",)

    reads_each_token: ClassVar[bool] = True

    masking: tuple[MaskingScheme, ...] = ("original",)
    vocabulary: Vocabulary = "all"
    word_unit: Words = "auto"
    long: Long = "window"
    unknown: UnknownPolicy = "error"
    ends: bool | None = None
    tokens: bool = False
    top_k: int = 0
    words: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k and not self.tokens:
            raise ScoreError("top_k lists ids for each token: ask for tokens too")
        check_choices("masking", self.masking, MASKINGS)

    def resolved(self, context: Context) -> "PseudoLogLikelihood":
        """Returns the measure with `ends` filled in; refuses models without a mask, and words of proteins."""
        mask_id_of(context, self.name)
        ids = vocabulary_ids(context.tokenizer, context.config.vocab_size, self.vocabulary)
        check_top_k_fits(self.top_k, context.config.vocab_size if ids is None else len(ids))
        if context.tokenizer.kind == "residues" and self.masking != ("original",):
            raise ScoreError("a protein has residues and no words: ask for the original masking alone")
        return dataclasses.replace(self, ends=context.ends if self.ends is None else self.ends)

    def forward(self, context: Context) -> LogProbForward:
        """Returns the vocabulary."""
        ids = vocabulary_ids(context.tokenizer, context.config.vocab_size, self.vocabulary)
        return LogProbForward(details=self.tokens, top_k=self.top_k, vocabulary=ids)

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, a column a masking, the pseudo-perplexity of the first, and those of tokens."""
        del context
        perplexities = pa.field("pseudo_perplexity", pa.float64())
        first, *others = (COLUMNS[one] for one in self.masking)
        sums = [nats(first, tokens="num_scored"), *map(nats, others)]
        numbers = pa.list_(pa.float32())
        words = [pa.field("words", pa.list_(pa.string()))]
        words += [nats(_list_column("word", one), numbers) for one in self.masking]
        tokens = self._token_columns() if self.tokens else []
        return [*count_columns(), *sums, perplexities, *tokens, *(words if self.words else [])]

    def _token_columns(self) -> list[pa.Field]:
        ids, numbers = pa.list_(pa.int32()), pa.list_(pa.float32())
        return [
            *place_columns(),
            pa.field("token_words", ids),
            *(nats(_list_column("token", one), numbers) for one in self.masking),
            pa.field("token_ranks", ids),
            nats("token_entropies", numbers),
            *(top_columns() if self.top_k else []),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns the masked copies of a document."""
        text = masked_text(context, record.text, ends=self.ends, unknown=self.unknown)
        check_vocabulary(context, text, self.vocabulary)
        room = text.room(context.longest)
        fits = text.tokens.size <= room
        if not fits and self.long == "error":
            raise too_long_error(text, room)
        numbers = None
        if not fits or self.tokens or self.words or self.masking != ("original",):
            numbers = word_numbers(context.tokenizer, record.text, text.regular, self.word_unit)
        spans = _spans(text, numbers, self.masking)
        centres = None if fits else _centres(numbers, room, self.masking)
        copies = MaskedSpans(text, spans, mask_id=mask_id_of(context, self.name), room=room, centres=centres)
        return Round(_PllState(text, record.text, context.tokenizer, numbers, copies), copies)

    def advance(self, state: "_PllState", answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the sums of a document."""
        text, original, tokenizer, numbers, copies = state
        found = copies.read(answers).reshape(len(self.masking), -1)
        sums = {COLUMNS[one]: math.fsum(each) for one, each in zip(self.masking, found, strict=True)}
        first, count = sums[COLUMNS[self.masking[0]]], found.shape[1]
        row = {**counts(original, text.tokens.size, count), **sums}
        row["pseudo_perplexity"] = perplexity_of_nats(first, count)
        if self.tokens:
            row |= token_places(tokenizer, original, text.tokens)
            row["token_words"] = list_by_token(text, numbers[text.regular])
            lists = zip(self.masking, found, strict=True)
            row |= {_list_column("token", one): list_by_token(text, each) for one, each in lists}
            row |= {
                name: list_by_token(text, copies.read(answers, field)[:count])
                for name, field in self._details().items()
            }
            row |= {"top_strings": top_strings(tokenizer, row["top_ids"])} if self.top_k else {}
        if self.words:
            own = numbers[text.regular]
            row["words"] = word_texts(tokenizer, original, numbers)
            sums = (np.bincount(own, each).astype(np.float32).tolist() for each in found)
            row |= dict(zip((_list_column("word", one) for one in self.masking), sums, strict=True))
        return row

    def _details(self) -> dict[str, str]:
        """Columns of tokens by the first masking, and where `QueryScores` has them."""
        top = {"top_ids": "top_tokens", "top_log_probs": "top_log_probs"} if self.top_k else {}
        return {"token_ranks": "ranks", "token_entropies": "entropy", **top}


class _PllState(NamedTuple):
    """A document on its way: its tokens, its text, which words they are, and what is read of it."""

    text: MaskedText
    original: str
    tokenizer: tokenizers.Tokenizer
    numbers: np.ndarray | None
    copies: MaskedSpans


def _list_column(item: str, masking: MaskingScheme) -> str:
    return COLUMNS[masking].replace("pseudo_log_likelihood", f"{item}_log_probs")


def _spans(
    text: MaskedText, numbers: np.ndarray | None, maskings: Sequence[MaskingScheme]
) -> MaskedQuestions:
    """What each masking hides for each regular token, the one masking after the other."""
    places = np.flatnonzero(text.regular)
    if numbers is None:
        return MaskedQuestions(places, places + 1, places)
    firsts, ends = _bounds(numbers)
    words = numbers[places]
    hidden = {
        "original": (places, places + 1),
        "within-word": (places, ends[words]),
        "whole-word": (firsts[words], ends[words]),
    }
    starts, stops = zip(*(hidden[one] for one in maskings), strict=True)
    return MaskedQuestions(np.concatenate(starts), np.concatenate(stops), np.tile(places, len(maskings)))


def _bounds(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First place of each word and the place behind it; words stand together and are counted from 0."""
    places = np.flatnonzero(numbers >= 0)
    words = numbers[places]
    begins = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    ends = np.append(begins[1:], len(words)) - 1
    return places[begins], places[ends] + 1


def _centres(numbers: np.ndarray, room: int, maskings: Sequence[MaskingScheme]) -> np.ndarray:
    """The middle of each token's word, or of its part of a word too long for half a window."""
    firsts, ends = _bounds(numbers)
    half = max(room // 2, 1)
    if (ends - firsts).max() > half and tuple(maskings) != ("original",):
        raise ScoreError(
            f"a word of {(ends - firsts).max()} tokens is longer than half a window of {room}: ask for the "
            f"original masking alone"
        )
    places = np.arange(numbers.size)
    first, end = firsts[numbers], ends[numbers]
    part = first + (places - first) // half * half
    return (part + np.minimum(part + half, end)) / 2
