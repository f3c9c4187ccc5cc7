"""Models of one corpus beside each other, in bits per byte, whatever their tokenizers."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from jaxlm import data, pretrained
from jaxlm.scoring._scorer import score
from jaxlm.scoring.measures import ByteLogLikelihood


class ByteEvaluation(NamedTuple):
    """How likely the bytes of a corpus are for a model.

    Attributes:
      documents: how many documents are counted: those that every model of the comparison can score.
      left_out: how many are not, because at least one model cannot score them.
      num_bytes: of the documents that are counted.
      log_likelihood: of these bytes, in nats: the sum over documents of log P (see `ByteLogLikelihood`).
      dropped: the largest share of a document's probability that was left out.
      probability: the name of the probability, "stem" or "canonical".
      reason: why this model cannot score the first of the documents that it cannot; None: it can score all.
    """

    documents: int
    left_out: int
    num_bytes: int
    log_likelihood: float
    dropped: float
    probability: str
    reason: str | None = None

    @property
    def bits_per_byte(self) -> float:
        """Minus the log-likelihood in bits, divided by the number of bytes; NaN if there are none."""
        return self.nats_per_byte / math.log(2.0)

    @property
    def nats_per_byte(self) -> float:
        """Minus the log-likelihood, divided by the number of bytes; NaN if there are none."""
        return -self.log_likelihood / self.num_bytes if self.num_bytes else math.nan


def evaluate_bytes(
    models: Iterable[pretrained.Loaded],
    records: Callable[[], Iterable[data.Record | str]],
    measure: ByteLogLikelihood | None = None,
) -> list[ByteEvaluation]:
    """Returns how likely the bytes of a corpus are for each of some models.

    A document that one of them cannot score is left out for all, so that the numbers can be compared.

    Args:
      models: causal models; they are taken one after the other, so that a generator need not hold them all.
      records: a function that returns the documents, or texts, from the first on; called for each model.
      measure: with its options; None: `ByteLogLikelihood()`.

    Raises:
      ScoreError: if a model is not causal.
      UnknownBytesError: if a tokenizer does not tell the bytes of its tokens.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, scoring, tokenizers
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> (evaluation,) = scoring.evaluate_bytes([loaded], lambda: ["to be", "or not", ""])
      >>> evaluation.num_bytes, evaluation.left_out, 7 < evaluation.bits_per_byte < 9
      (11, 1, True)
    """
    measure = ByteLogLikelihood() if measure is None else measure
    scored = [_scored(loaded, records(), measure) for loaded in models]
    counted = np.logical_and.reduce([of_model.is_scored for of_model in scored])
    return [
        ByteEvaluation(
            documents=int(counted.sum()),
            left_out=int((~counted).sum()),
            num_bytes=int(of_model.sizes[counted].sum()),
            log_likelihood=math.fsum(of_model.nats[counted]),
            dropped=float(of_model.dropped[counted].max(initial=0.0)),
            probability=measure.probability,
            reason=of_model.reason,
        )
        for of_model in scored
    ]


class _ScoredBytes(NamedTuple):
    """The scores of all documents under a model: `Float64[n]`, `Int64[n]`; NaN and 0 where there are none."""

    nats: np.ndarray
    sizes: np.ndarray
    dropped: np.ndarray
    reason: str | None

    @property
    def is_scored(self) -> np.ndarray:
        return self.sizes > 0


def _scored(
    loaded: pretrained.Loaded, records: Iterable[data.Record | str], measure: ByteLogLikelihood
) -> _ScoredBytes:
    nats, sizes, dropped, reason = [], [], [], None
    for one in score(loaded, records, measure):
        nats.append(one.values.get("log_likelihood", math.nan))
        sizes.append(one.values.get("num_bytes", 0))
        dropped.append(one.values.get("dropped", 0.0))
        if one.error is not None and reason is None:
            reason = f"{one.id}: {one.error}"
    return _ScoredBytes(np.array(nats), np.array(sizes, np.int64), np.array(dropped), reason)
