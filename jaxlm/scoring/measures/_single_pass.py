"""Pseudo-log-likelihoods from one pass over the unmasked text, if the training's noise allows it."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from jaxlm import data, tokenizers
from jaxlm.scoring.engine import Query, QueryScores
from jaxlm.scoring.measures._masked_checks import too_long_error
from jaxlm.scoring.measures._masked_rows import list_by_token
from jaxlm.scoring.measures._masked_texts import MaskedText, masked_text
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring.measures._text_numbers import count_columns, counts, perplexity_of_nats
from jaxlm.scoring.measures._token_rows import place_columns, token_places
from jaxlm.scoring.measures._unknown import UnknownPolicy
from jaxlm.scoring.measures._windows import LongPolicy

LARGEST_VOCABULARY = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class SinglePass(Measure):
    """An estimate of the original pseudo-log-likelihood from one pass, in nats.

    In training, a share k of the chosen tokens stayed unchanged and a share r was replaced by one of V random
    ids. A model that sees the token v gives it the probability `q = p (k + r/V) / (k p + r/V)`, where p is
    its probability if it were masked, because the model cannot know whether the token is the original one.
    Solved for p: `p = q (r/V) / (k + r/V - k q)`. This is exact for a model that learned the training's
    distribution exactly, and an estimate for a real one. An error of log q is multiplied by `(k + r/V) / (k +
    r/V - k q)`: about 11 for 20 residues at p = 0.5, but 15,000 for the 30,522 pieces of BERT. So
    vocabularies of more than 100 ids are refused. Models that were trained without unchanged tokens, or
    without random tokens, are refused, too.

    Attributes:
      keep_share, random_share: k and r, shares in [0, 1] of the tokens that training chose to predict; None:
        the shares that the model's config.json states, or 0.1 if it states none (see `noise_shares`).
      random_ids: V, the number of ids that random tokens were drawn from; None: 20 for a protein tokenizer,
        else the number of ids that are no special tokens.
      long: what happens to a text longer than the model reads: "error" refuses it, "window" reads overlapping
        windows and takes each token's score from the window in which it is farthest from a cut.
      unknown: what happens with a symbol that the vocabulary cannot write: "error" refuses the text; "score"
        scores the unknown token in its place like any other token.
      ends: whether the tokenizer's opening and closing tokens, such as [CLS] and [SEP], are put around a
        text; None: they are if the model was trained with them.
      tokens: whether a row has lists with one entry per token: the token's id, string, offsets in the text's
        bytes, and estimate. The estimate is null at special tokens.

    Raises:
      ScoreError: if a share is outside [0, 1].

    Example:
      >>> from jaxlm.scoring import SinglePass
      >>> SinglePass(keep_share=0.2, random_share=0.1).options()["keep_share"]
      0.2
    """

    name: ClassVar[str] = "single-pass"
    questions: ClassVar[tuple[Question, ...]] = ("fill",)

    keep_share: float | None = None
    random_share: float | None = None
    random_ids: int | None = None
    long: LongPolicy = "window"
    unknown: UnknownPolicy = "error"
    ends: bool | None = None
    tokens: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= share <= 1 for share in (self.keep_share or 0, self.random_share or 0)):
            raise ScoreError(
                f"keep_share and random_share are in [0, 1]: got {self.keep_share} and {self.random_share}"
            )

    def resolved(self, context: Context) -> "SinglePass":
        """Returns the measure with a value for every option that follows from the model.

        Raises:
          ScoreError: if the training's noise, or the number of ids, allows no estimate from one pass.
        """
        count = self.random_ids or len(random_ids(context.tokenizer))
        keep, random = self._shares(context)
        if not keep or not random:
            raise ScoreError(
                f"{self.name} needs a model that was trained with unchanged and with random tokens among "
                f"those it predicted: got shares {keep:g} and {random:g}; use pseudo-log-likelihood"
            )
        if count > LARGEST_VOCABULARY:
            raise ScoreError(
                f"{self.name} is not sound for {count:,} ids: errors of the model's log-probabilities become "
                f"{error_factor(0.5, keep, random, count):,.0f} times larger where "
                f"p = 0.5 (at most {LARGEST_VOCABULARY} ids are taken); use pseudo-log-likelihood"
            )
        ends = context.ends if self.ends is None else self.ends
        return dataclasses.replace(self, keep_share=keep, random_share=random, random_ids=count, ends=ends)

    def _shares(self, context: Context) -> tuple[float, float]:
        trained = noise_shares(context.extra) if None in (self.keep_share, self.random_share) else {}
        given = {"keep_share": self.keep_share, "random_share": self.random_share}
        known = trained | {name: share for name, share in given.items() if share is not None}
        return known["keep_share"], known["random_share"]

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, the estimate and its pseudo-perplexity, and the lists of tokens."""
        del context
        lists = [*place_columns(), nats("token_estimates", pa.list_(pa.float32()))]
        return [
            *count_columns(),
            nats("pseudo_log_likelihood_estimate", tokens="num_scored"),
            pa.field("pseudo_perplexity_estimate", pa.float64()),
            *(lists if self.tokens else []),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns one query with the unmasked text, or one for each window of a text that is too long.

        Raises:
          ScoreError: if the text has nothing to score, or is too long.
        """
        text = masked_text(context, record.text, ends=self.ends, unknown=self.unknown)
        room = text.room(context.longest)
        if text.tokens.size > room and self.long == "error":
            raise too_long_error(text, room)
        queries = []
        for window in masked_windows(text.tokens.size, room):
            places = np.flatnonzero(text.regular[window.first : window.last]) + window.first
            if not places.size:
                continue
            tokens = text.read(text.tokens[window.start : window.stop])
            scored = places - window.start + text.opening.size
            queries.append(Query(tokens, scored.astype(np.int32), text.tokens[places]))
        return Round((text, record.text, context.tokenizer), queries)

    def advance(
        self, state: tuple[MaskedText, str, tokenizers.Tokenizer], answers: Sequence[QueryScores]
    ) -> ScoreRow:
        """Returns the row of a document: its estimate and lists by column."""
        text, original, tokenizer = state
        seen = np.concatenate([scores.log_probs for scores in answers]).astype(np.float64)
        if self.keep_share is None or self.random_share is None or self.random_ids is None:
            raise AssertionError("the measure has not been resolved for a model")
        estimates = unseen_log_probs(seen, self.keep_share, self.random_share, self.random_ids)
        total = math.fsum(estimates)
        row: ScoreRow = counts(original, text.tokens.size, len(estimates))
        row["pseudo_log_likelihood_estimate"] = total
        row["pseudo_perplexity_estimate"] = perplexity_of_nats(total, len(estimates))
        if self.tokens:
            row |= token_places(tokenizer, original, text.tokens)
            row["token_estimates"] = list_by_token(text, estimates)
        return row


class MaskedWindow(NamedTuple):
    """A part of a text that is read at once, and the tokens that are scored there.

    Attributes:
      start, stop: the window reads the tokens `start` to `stop`, not including `stop`.
      first, last: it scores the tokens `first` to `last`, not including `last`.
    """

    start: int
    stop: int
    first: int
    last: int


def masked_windows(length: int, room: int) -> list[MaskedWindow]:
    """Returns windows of a text that overlap by half; each token is scored where it is farthest from a cut.

    Args:
      length: tokens of the text.
      room: tokens of the longest window, at least 2.

    Returns:
      The windows in order; a single one for a text that fits.

    Example:
      >>> from jaxlm.scoring.measures._single_pass import masked_windows
      >>> masked_windows(3, 4)
      [MaskedWindow(start=0, stop=3, first=0, last=3)]
      >>> [(window.start, window.stop) for window in masked_windows(7, 4)]
      [(0, 4), (2, 6), (3, 7)]
    """
    if length <= room:
        return [MaskedWindow(0, length, 0, length)]
    step = max(room // 2, 1)
    starts = [*range(0, length - room, step), length - room]
    # The middle of the overlap of two windows is equally far from the ends of both.
    cuts = [(start + before + room + 1) // 2 for before, start in itertools.pairwise(starts)]
    bounds = [0, *cuts, length]
    return [MaskedWindow(start, start + room, bounds[n], bounds[n + 1]) for n, start in enumerate(starts)]


def unseen_log_probs(log_probs: np.ndarray, keep: float, random: float, count: int) -> np.ndarray:
    """Returns log p of tokens as if they were masked, from log q of the same tokens when the model saw them.

    `p = q b / (a + b - a q)`, where a is the share of unchanged tokens and b the share of each random id.

    Args:
      log_probs: `Float[...]` log q in nats, 0 or less.
      keep, random: shares of the tokens that training chose, both above 0.
      count: how many ids random tokens were drawn from.

    Returns:
      `Float64[...]`, 0 or less.

    Example:
      >>> import numpy as np
      >>> from jaxlm.scoring.measures._single_pass import unseen_log_probs
      >>> p, a, b = 0.5, 0.1, 0.1 / 20
      >>> q = p * (a + b) / (a * p + b)
      >>> round(q, 6), round(float(np.exp(unseen_log_probs(np.log([q]), 0.1, 0.1, 20))[0]), 6)
      (0.954545, 0.5)
    """
    seen = np.minimum(np.asarray(log_probs, np.float64), 0.0)
    each = random / count
    return seen + math.log(each) - np.log(each - keep * np.expm1(seen))


def error_factor(p: float, keep: float, random: float, count: int) -> float:
    """Returns d log p / d log q: the factor by which an error of the model's log-probability grows.

    Args:
      p: the probability of a token if it were masked.
      keep, random: shares of the tokens that training chose.
      count: how many ids random tokens were drawn from.

    Example:
      >>> from jaxlm.scoring.measures._single_pass import error_factor
      >>> [round(error_factor(0.5, 0.1, 0.1, count)) for count in (20, 33, 30_522)]
      [11, 18, 15262]
    """
    each = random / count
    q = p * (keep + each) / (keep * p + each)
    return (keep + each) / (keep + each - keep * q)


def random_ids(tokenizer: tokenizers.Tokenizer) -> tuple[int, ...]:
    """Returns the ids that jaxlm's training draws random replacements from.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.scoring.measures._single_pass import random_ids
      >>> len(random_ids(tokenizers.residue_tokenizer()))
      20
    """
    if tokenizer.kind == "residues":
        ids = (tokenizer.id(letter) for letter in tokenizers.AMINO_ACIDS)
        return tuple(sorted(id for id in ids if id is not None))
    return tuple(np.flatnonzero(~tokenizers.special_mask(tokenizer)).tolist())


def noise_shares(extra: Mapping[str, Any]) -> dict[str, float]:
    """Returns which shares of the chosen tokens training left unchanged and replaced by random tokens.

    Args:
      extra: the further entries of a model's config.json (`pretrained.Loaded.extra`).

    Returns:
      `keep_share` and `random_share`, in [0, 1]; if the config.json states neither, 0.1 for both, the values
      of BERT.

    Raises:
      ScoreError: if the model was trained with substitutions that are not uniformly random.

    Example:
      >>> from jaxlm.scoring import noise_shares
      >>> noise_shares({"experiment": {"input_noise": {"keep_share": 0.0, "random_share": 0.2}}})
      {'keep_share': 0.0, 'random_share': 0.2}
      >>> noise_shares({})
      {'keep_share': 0.1, 'random_share': 0.1}
    """
    experiment = extra.get("experiment")
    noise = experiment.get("input_noise", {}) if isinstance(experiment, dict) else {}
    if noise.get("substitute_share"):
        raise ScoreError(
            "one pass cannot be corrected for substitutions that were not drawn uniformly at random "
            "(input_noise.substitute_share); use pseudo-log-likelihood"
        )
    return {name: float(noise.get(name, 0.1)) for name in ("keep_share", "random_share")}
