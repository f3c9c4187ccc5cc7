"""Pseudo-log-likelihoods from one pass over the unmasked text, where the training's noise allows it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from jaxlm import data, tokenizers
from jaxlm.scoring.engine import Query, QueryScores
from jaxlm.scoring.measures._masked_checks import too_long_error
from jaxlm.scoring.measures._masked_rows import list_by_token
from jaxlm.scoring.measures._masked_texts import MaskedText, masked_text
from jaxlm.scoring.measures._masked_windows import masked_windows
from jaxlm.scoring.measures._measure import Context, Measure, Question, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring.measures._text_numbers import count_columns, counts, perplexity_of_nats
from jaxlm.scoring.measures._token_rows import place_columns, token_places
from jaxlm.scoring.measures._unknown import UnknownPolicy
from jaxlm.scoring.measures._windows import Long

LARGEST_VOCABULARY = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class SinglePass(Measure):
    """An estimate of the original pseudo-log-likelihood from one pass, in nats.

    A masked LM that was trained on tokens of which a share k stayed as they were and a share r was exchanged
    for one of V at random tells, where it sees the token v, `q = p (k + r/V) / (k p + r/V)` of it, p being
    its probability were it masked: it cannot know whether to believe its eyes. Solved for p,
    `p = q (r/V) / (k + r/V - k q)`. That is exact of a model that learned its training's law exactly; of a
    real one it is an estimate, and an error of log q is made larger by `(k + r/V) / (k + r/V - k q)`: about
    11 times for 20 residues at p = 0.5, but 15,000 times for the 30,522 pieces of BERT. So vocabularies of
    more than 100 ids are refused, and models that never saw a random or an unchanged token.

    Attributes:
      keep_share, random_share: k and r, of the tokens that training chose; None: as the model says, or 0.1
        where it does not (see `noise_shares`).
      random_ids: V, how many ids random tokens were drawn from; None: the 20 residues of a protein
        tokenizer, else all ids that are no specials.
      long: of a text longer than the model reads: "error", or "window", overlapping windows, each token from
        the one in which it is farthest from an end that the text does not have there.
      unknown: what the vocabulary cannot write is an "error", or "score" its token like others.
      ends: whether the tokenizer's own tokens open and close texts; None: as the model was trained.
      tokens: adds each token's id, string and place, and its estimate, null at specials.

    Example:
      >>> SinglePass(keep_share=0.1, random_share=0.1).options()["keep_share"]
      0.1
    """

    name: ClassVar[str] = "single-pass"
    questions: ClassVar[tuple[Question, ...]] = ("fill",)

    keep_share: float | None = None
    random_share: float | None = None
    random_ids: int | None = None
    long: Long = "window"
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
        """Returns the measure with everything filled in; refuses what one pass says nothing about."""
        count = self.random_ids or len(random_ids(context.tokenizer))
        keep, random = self._shares(context)
        if not keep or not random:
            raise ScoreError(
                f"{self.name} needs a model that was trained to doubt what it sees, with unchanged and with "
                f"random tokens among those it predicted: got shares {keep:g} and {random:g}; use "
                f"pseudo-log-likelihood"
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
        told = noise_shares(context.extra) if None in (self.keep_share, self.random_share) else {}
        given = {"keep_share": self.keep_share, "random_share": self.random_share}
        known = told | {name: share for name, share in given.items() if share is not None}
        return known["keep_share"], known["random_share"]

    def columns(self, context: Context) -> list[pa.Field]:
        """Returns counts, the estimate, and the perplexity that it makes."""
        del context
        lists = [*place_columns(), nats("token_estimates", pa.list_(pa.float32()))]
        return [
            *count_columns(),
            nats("pseudo_log_likelihood_estimate", tokens="num_scored"),
            pa.field("pseudo_perplexity_estimate", pa.float64()),
            *(lists if self.tokens else []),
        ]

    def start(self, context: Context, record: data.Record) -> Round:
        """Returns the text as it is, or windows of it."""
        text = masked_text(context, record.text, ends=self.ends, unknown=self.unknown)
        room = text.room(context.longest)
        if text.tokens.size > room and self.long == "error":
            raise too_long_error(text, room)
        pieces = []
        for window in masked_windows(text.tokens.size, room):
            places = np.flatnonzero(text.regular[window.first : window.last]) + window.first
            if not places.size:
                continue
            tokens = text.read(text.tokens[window.start : window.stop])
            scored = places - window.start + text.opening.size
            pieces.append(Query(tokens, scored.astype(np.int32), text.tokens[places]))
        return Round((text, record.text, context.tokenizer), pieces)

    def advance(
        self, state: tuple[MaskedText, str, tokenizers.Tokenizer], answers: Sequence[QueryScores]
    ) -> ScoreRow:
        """Returns the estimate of a document."""
        text, original, tokenizer = state
        seen = np.concatenate([one.log_probs for one in answers]).astype(np.float64)
        found = unseen_log_probs(seen, self.keep_share, self.random_share, self.random_ids)
        total = math.fsum(found)
        row: ScoreRow = counts(original, text.tokens.size, len(found))
        row["pseudo_log_likelihood_estimate"] = total
        row["pseudo_perplexity_estimate"] = perplexity_of_nats(total, len(found))
        if self.tokens:
            row |= token_places(tokenizer, original, text.tokens)
            row["token_estimates"] = list_by_token(text, found)
        return row


def unseen_log_probs(log_probs: np.ndarray, keep: float, random: float, count: int) -> np.ndarray:
    """Returns log p of tokens were they masked, from log q of the same where the model saw them.

    `p = q b / (a + b - a q)`, a being the share that stayed and b that of each of the random ids.

    Args:
      log_probs: `Float[...]` log q in nats, 0 or less.
      keep, random: shares of the tokens that training chose, both above 0.
      count: how many ids random tokens were drawn from.

    Returns:
      `Float64[...]`, 0 or less.

    Example:
      >>> p, a, b = 0.5, 0.1, 0.1 / 20
      >>> q = p * (a + b) / (a * p + b)
      >>> round(q, 6), round(float(np.exp(unseen_log_probs(np.log([q]), 0.1, 0.1, 20))[0]), 6)
      (0.954545, 0.5)
    """
    seen = np.minimum(np.asarray(log_probs, np.float64), 0.0)
    each = random / count
    return seen + math.log(each) - np.log(each - keep * np.expm1(seen))


def error_factor(p: float, keep: float, random: float, count: int) -> float:
    """Returns d log p / d log q: by how much an error of what the model says is made larger.

    Args:
      p: the probability of a token were it masked.
      keep, random: shares of the tokens that training chose.
      count: how many ids random tokens were drawn from.

    Example:
      >>> [round(error_factor(0.5, 0.1, 0.1, count)) for count in (20, 33, 30_522)]
      [11, 18, 15262]
    """
    each = random / count
    q = p * (keep + each) / (keep * p + each)
    return (keep + each) / (keep + each - keep * q)


def random_ids(tokenizer: tokenizers.Tokenizer) -> tuple[int, ...]:
    """Returns the ids that random replacement draws from in training here.

    Example:
      >>> len(random_ids(tokenizers.residue_tokenizer()))
      20
    """
    if tokenizer.kind == "residues":
        found = (tokenizer.id(letter) for letter in tokenizers.AMINO_ACIDS)
        return tuple(sorted(id for id in found if id is not None))
    return tuple(np.flatnonzero(~tokenizers.special_mask(tokenizer)).tolist())


def noise_shares(extra: Mapping[str, Any]) -> dict[str, float]:
    """Returns the shares that a model was trained with, BERT's where it does not say.

    Args:
      extra: of `pretrained.Loaded`.

    Returns:
      `keep_share` and `random_share`, as `SinglePass` has them.

    Raises:
      ScoreError: if it was trained with substitutions by a law of their own.

    Example:
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
