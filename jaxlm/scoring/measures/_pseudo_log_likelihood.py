"""Pseudo-log-likelihoods: each token is masked, alone or with others of its word, and predicted.

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
from jaxlm.scoring.measures._masked_texts import MaskedText, WordUnit, masked_text, word_numbers
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
from jaxlm.scoring.measures._windows import LongPolicy

MaskingScheme = Literal["original", "within-word", "whole-word"]
MASKINGS: tuple[MaskingScheme, ...] = ("original", "within-word", "whole-word")
COLUMNS: dict[MaskingScheme, str] = {
    "original": "pseudo_log_likelihood",
    "within-word": "pseudo_log_likelihood_within_word",
    "whole-word": "pseudo_log_likelihood_whole_word",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLogLikelihood(Measure):
    """The sum of log p(token | the other tokens) over a text, in nats, from one masked copy for each token.

    `masking` says what is masked together with the scored token. "original": nothing else; "within-word": the
    later tokens of the same word, so that the end of a long word does not give away its beginning;
    "whole-word": the other tokens of the same word. For the last token of a word, "original" and
    "within-word" mask the same tokens; for its first token, "within-word" and "whole-word" do. A copy that
    two maskings share is read once.

    The tokens that open and close a text, and special tokens that are written out in it, are read and never
    scored. A text longer than the model reads at once is read in windows: each token is predicted in a window
    around its word. With `long="error"` such a text is refused.

    Attributes:
      masking: one or several of "original", "within-word" and "whole-word". Each makes a column of sums; the
        pseudo-perplexity, ranks and entropies are computed under the first one.
      vocabulary: the ids that distributions are over: "all" ids, the "regular" ids without special tokens, or
        the ids of the 20 "amino-acids".
      word_unit: what a word is. "pieces": one of the pieces that the tokenizer divides a text into before it
        makes tokens; "spaces": the text between white space; "auto": "pieces" if the tokenizer has them, else
        "spaces" (see `word_numbers`).
      long: what happens to a text longer than the model reads: "error" refuses the text, "window" reads
        windows.
      unknown: what happens with a symbol that the vocabulary cannot write: "error" refuses the text; "score"
        scores the unknown token in its place like any other token.
      ends: whether the tokenizer's opening and closing tokens, such as [CLS] and [SEP], are put around a
        text; None: they are if the model was trained with them.
      tokens: whether a row has lists with one entry per token: the token's id, string and offsets in the
        text's bytes, the number of its word, its log-probability under each masking, and, under the first
        masking, its rank (0 = the likeliest) and the entropy in nats. Scores are null at special tokens.
      top_k: how many of the likeliest ids under the first masking are listed for each token, if `tokens` is
        True; 0: none.
      words: whether a row has lists with one entry per word: the word's text, and the sum of its tokens'
        log-probabilities under each masking.

    Raises:
      ScoreError: if options contradict each other.

    Example:
      >>> from jaxlm.scoring import PseudoLogLikelihood
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
    word_unit: WordUnit = "auto"
    long: LongPolicy = "window"
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
        """Returns the measure with `ends` filled in.

        Raises:
          ScoreError: if the tokenizer has no mask token, `top_k` is more than the number of ids, or words are
            asked for in proteins.
        """
        mask_id_of(context, self.name)
        ids = vocabulary_ids(context.tokenizer, context.vocab_size, self.vocabulary)
        check_top_k_fits(self.top_k, context.vocab_size if ids is None else len(ids))
        if context.tokenizer.kind == "residues" and self.masking != ("original",):
            raise ScoreError("a protein has residues and no words: only the original masking is defined")
        return dataclasses.replace(self, ends=context.ends if self.ends is None else self.ends)

    def forward(self, context: Context) -> LogProbForward:
        """Returns a forward for log-probabilities over `vocabulary`, and for the numbers of listed tokens."""
        ids = vocabulary_ids(context.tokenizer, context.vocab_size, self.vocabulary)
        return LogProbForward(details=self.tokens, top_k=self.top_k, vocabulary=ids)

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, a sum for each masking, the first masking's pseudo-perplexity, and the lists."""
        del context
        perplexities = pa.field("pseudo_perplexity", pa.float64())
        first, *others = (COLUMNS[masking] for masking in self.masking)
        sums = [nats(first, tokens="num_scored"), *map(nats, others)]
        numbers = pa.list_(pa.float32())
        words = [pa.field("words", pa.list_(pa.string()))]
        words += [nats(_list_column("word", masking), numbers) for masking in self.masking]
        tokens = self._token_columns() if self.tokens else []
        return [*count_columns(), *sums, perplexities, *tokens, *(words if self.words else [])]

    def _token_columns(self) -> list[pa.Field]:
        ids, numbers = pa.list_(pa.int32()), pa.list_(pa.float32())
        return [
            *place_columns(),
            pa.field("token_words", ids),
            *(nats(_list_column("token", masking), numbers) for masking in self.masking),
            pa.field("token_ranks", ids),
            nats("token_entropies", numbers),
            *(top_columns() if self.top_k else []),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query for each masked copy of a document.

        Raises:
          ScoreError: if the document has nothing to score, or is too long.
        """
        text = masked_text(context, record.text, ends=self.ends, unknown=self.unknown)
        check_vocabulary(context, text, self.vocabulary)
        room = text.room(context.longest)
        fits = text.tokens.size <= room
        if not fits and self.long == "error":
            raise too_long_error(text, room)
        numbers = np.zeros(0, np.int64)
        if not fits or self.tokens or self.words or self.masking != ("original",):
            numbers = word_numbers(context.tokenizer, record.text, text.regular, self.word_unit)
        spans = _spans(text, numbers, self.masking)
        centres = None if fits else _centres(numbers, room, self.masking)
        copies = MaskedSpans(text, spans, mask_id=mask_id_of(context, self.name), room=room, centres=centres)
        return Round(_PllState(text, record.text, context.tokenizer, numbers, copies), copies)

    def advance(self, state: "_PllState", answers: Sequence[QueryScores]) -> ScoreRow:
        """Returns the row of a document: its sums and lists by column."""
        text, original, tokenizer, numbers, copies = state
        log_probs = copies.read(answers).reshape(len(self.masking), -1)
        sums = {
            COLUMNS[masking]: math.fsum(own) for masking, own in zip(self.masking, log_probs, strict=True)
        }
        first, count = sums[COLUMNS[self.masking[0]]], log_probs.shape[1]
        row = {**counts(original, text.tokens.size, count), **sums}
        row["pseudo_perplexity"] = perplexity_of_nats(first, count)
        if self.tokens:
            row |= token_places(tokenizer, original, text.tokens)
            row["token_words"] = list_by_token(text, numbers[text.regular])
            lists = zip(self.masking, log_probs, strict=True)
            row |= {_list_column("token", masking): list_by_token(text, own) for masking, own in lists}
            row |= {
                name: list_by_token(text, copies.read(answers, field)[:count])
                for name, field in self._details().items()
            }
            row |= {"top_strings": top_strings(tokenizer, row["top_ids"])} if self.top_k else {}
        if self.words:
            row["words"] = word_texts(tokenizer, original, numbers)
            for masking, own in zip(self.masking, log_probs, strict=True):
                by_word = np.bincount(numbers[text.regular], own).astype(np.float32)
                row[_list_column("word", masking)] = by_word.tolist()
        return row

    def _details(self) -> dict[str, str]:
        """The columns of details by the first masking, and their fields in `QueryScores`."""
        top = {"top_ids": "top_tokens", "top_log_probs": "top_log_probs"} if self.top_k else {}
        return {"token_ranks": "ranks", "token_entropies": "entropy", **top}


class _PllState(NamedTuple):
    """What the row of a document needs in addition to its scores.

    Attributes:
      text: its tokens.
      original: the text itself.
      tokenizer: the model's tokenizer.
      numbers: `Int[n]` the word of each token; empty if words make no difference.
      copies: the masked copies.
    """

    text: MaskedText
    original: str
    tokenizer: tokenizers.Tokenizer
    numbers: np.ndarray
    copies: MaskedSpans


def _list_column(item: str, masking: MaskingScheme) -> str:
    return COLUMNS[masking].replace("pseudo_log_likelihood", f"{item}_log_probs")


def _spans(text: MaskedText, numbers: np.ndarray, maskings: Sequence[MaskingScheme]) -> MaskedQuestions:
    """What each masking hides for each regular token, one masking after the other."""
    places = np.flatnonzero(text.regular)
    if not numbers.size:
        return MaskedQuestions(places, places + 1, places)
    firsts, ends = _bounds(numbers)
    words = numbers[places]
    hidden = {
        "original": (places, places + 1),
        "within-word": (places, ends[words]),
        "whole-word": (firsts[words], ends[words]),
    }
    starts, stops = zip(*(hidden[masking] for masking in maskings), strict=True)
    return MaskedQuestions(np.concatenate(starts), np.concatenate(stops), np.tile(places, len(maskings)))


def _bounds(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first token of each word, and the token behind it; a word's tokens are consecutive."""
    places = np.flatnonzero(numbers >= 0)
    words = numbers[places]
    begins = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    ends = np.append(begins[1:], len(words)) - 1
    return places[begins], places[ends] + 1


def _centres(numbers: np.ndarray, room: int, maskings: Sequence[MaskingScheme]) -> np.ndarray:
    """The middle of each token's word, or of its part of a word that is longer than half a window."""
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
