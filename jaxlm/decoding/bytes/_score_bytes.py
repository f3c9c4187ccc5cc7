"""The probability of every byte of texts, each text in one pass of the model, or in windows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._byte_windows import LongText, WindowOpening
from jaxlm.decoding.bytes._ensemble import ByteEnsemble, pool_log_probs
from jaxlm.decoding.bytes._next_bytes import NextBytes, read_next_bytes
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._states import as_bytes
from jaxlm.decoding.bytes._window_readings import WindowOptions, WindowReading, read_windows
from jaxlm.errors import UsageError


class ByteScores(NamedTuple):
    """The log-probabilities of a text's bytes, in nats.

    Attributes:
      log_probs: `Float64[L]` of each byte given those before it, 0 at most; -inf from the first byte on that
        cannot be written. If the text was read in one window, their sum is the log of P_stem of the text as a
        prefix (see `ByteModel`).
      end_log_prob: that the text ends behind its last byte, given all of it.
      dropped: the share of the mass that was lost because more than `max_stems` stems were live; of an
        ensemble, that of the member that lost most.
      name: the probability that this is, "stem" or "canonical"; of an ensemble, "mixture" or "product".
      num_windows: how many windows the text was read in; of an ensemble, by the member that needs most.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import ByteScores
      >>> scores = ByteScores(np.log([0.5, 0.25]), end_log_prob=0.0, dropped=0.0, name="stem")
      >>> round(float(-scores.log_prob / np.log(2) / 2), 3)  # bits per byte
      1.5
    """

    log_probs: np.ndarray
    end_log_prob: float
    dropped: float
    name: str
    num_windows: int = 1

    @property
    def log_prob(self) -> float:
        """The log-probability of all bytes of the text as a prefix of longer texts."""
        return float(self.log_probs.sum())

    def surprisals(self, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Returns the surprisal `Float64[M]` of spans of bytes, in nats: `-log p(span | the bytes before)`.

        The span (start, stop) is that of the bytes from `start` up to `stop`, without byte `stop`; an empty
        one has 0. Surprisals of neighbours add up. A span may begin and end anywhere: all tokens count that
        write its bytes, also those that begin before it or go on behind it. So it is the user who says to
        which word a space belongs. Most tokens begin with their space: a span of " cat" is surprised by the
        word and by the end of the word before; "cat" behind the space by the word alone; "cat " by the word
        and its end.

        Args:
          spans: (start, stop) each, in bytes of the text.

        Raises:
          UsageError: if a span is not inside the text.

        Example:
          >>> import numpy as np
          >>> from jaxlm.decoding.bytes import ByteScores
          >>> scores = ByteScores(np.log([0.5, 0.5, 0.25]), 0.0, 0.0, "stem")
          >>> np.exp(-scores.surprisals([(0, 2), (2, 3), (1, 1)])).round(6).tolist()
          [0.25, 0.25, 1.0]
        """
        for start, stop in spans:
            if not 0 <= start <= stop <= len(self.log_probs):
                raise UsageError(
                    f"spans lie in the text's {len(self.log_probs)} bytes, start first: got ({start}, {stop})"
                )
        return np.array([0.0 - self.log_probs[start:stop].sum() for start, stop in spans], np.float64)


def score_bytes(
    byte_model: ByteModel | ByteEnsemble,
    texts: Sequence[bytes | str] | bytes | str,
    *,
    long: LongText = "window",
    window: int | None = None,
    context: int | None = None,
    bos: WindowOpening = "document",
    devices: Any = None,
) -> list[ByteScores]:
    """Returns the log-probability of every byte of each text.

    A text whose stems fit a window is read in one pass, and a byte is given all bytes before it. A longer
    text is read in overlapping windows of tokens. Each byte gets its probability in one of them. It is given
    the bytes of that window before it, and that the first token of the window stands where it does among the
    text's canonical ids; the first token itself is not predicted, as an opening is not. At least `context`
    tokens lie before each such byte, and the windows are as long as they can be: with bytes as tokens, and a
    context of more tokens than the opening, they are those of `scoring.windows`. Memory grows with the number
    of bytes, and no faster.

    Under an ensemble, a byte's probability is that of `pool_log_probs`: of its members' distributions of the
    next byte, each normalised and given the bytes before. Every member reads the text as it would alone, in
    one pass where it fits.

    Args:
      byte_model: from `make_byte_model`; or several as an ensemble.
      texts: bytes, or texts, whose UTF-8 is meant; one text is a list of one.
      long: what happens to texts that do not fit: "window" reads them in windows, "error" refuses them.
      window: the most tokens that the model reads at once; None: as many as it can.
      context: the fewest tokens that a window after the first reads before its first prediction; None: half a
        window. The stride of windows is `window - context + 1` tokens.
      bos: "document": the opening is read before the text; "window": before each of its windows.
      devices: some of `jax.local_devices()`, over which the texts are divided; None: all of them.

    Raises:
      UsageError: if the tokenizer's ids do not spell a text, it is too long and `long` is "error", or an
        option is out of range.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model, score_bytes
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> byte_model = make_byte_model(loaded)
      >>> (scores,) = score_bytes(byte_model, ["to be"])
      >>> scores.log_probs.shape, scores.dropped, scores.name, scores.num_windows
      ((5,), 0.0, 'stem', 1)
      >>> (scores,) = score_bytes(byte_model, ["to be or not to be"], window=8, context=4)
      >>> scores.log_probs.shape, scores.num_windows
      ((18,), 3)
    """
    texts = [texts] if isinstance(texts, (bytes, str)) else texts
    options = WindowOptions(long, window, context, bos, devices)
    if isinstance(byte_model, ByteEnsemble):
        by_member = [read_next_bytes(member, texts, options) for member in byte_model.members]
        rows = zip(map(as_bytes, texts), *by_member, strict=True)
        return [_pooled(byte_model, text, members) for text, *members in rows]
    parts: list[list[_Part]] = [[] for _ in texts]
    for reading in read_windows(byte_model, texts, options):
        parts[reading.number].append(_part(byte_model, reading))
    return [_joined(byte_model, own) for own in parts]


class _Part(NamedTuple):
    """What a window says of the bytes that it predicts.

    Attributes:
      first: how many bytes lie before them.
      log_probs: of the bytes.
      end: the log-prob of the text's end, if the window has it.
      kept: the log of the share that was not lost.
    """

    first: int
    log_probs: np.ndarray
    end: float
    kept: float


def _part(byte_model: ByteModel, reading: WindowReading) -> _Part:
    _, window, _, sums = reading
    first = max(window.first, len(byte_model.prefix))
    joint, kept = sums.prefixes[first - window.start :], sums.kept[window.first - window.start :]
    is_possible = np.logical_and.accumulate(joint > -np.inf)
    differences = np.subtract(
        joint[1:], joint[:-1], out=np.full(len(joint) - 1, -np.inf), where=is_possible[1:]
    )
    end = sums.ends[-1] - joint[-1] if is_possible[-1] else -np.inf
    return _Part(first, differences, float(end), float(kept[-1] - kept[0]))


def _joined(byte_model: ByteModel, parts: list[_Part]) -> ByteScores:
    parts = sorted(parts, key=lambda part: part.first)
    log_probs, end = _possible(np.concatenate([part.log_probs for part in parts]), parts[-1].end)
    dropped = float(-np.expm1(sum(part.kept for part in parts))) + 0.0
    return ByteScores(log_probs, end, dropped, byte_model.settings.probability, len(parts))


def _possible(log_probs: np.ndarray, end: float) -> tuple[np.ndarray, float]:
    """The log-probs and the end's, without what follows an impossible byte."""
    is_possible = np.logical_and.accumulate(log_probs > -np.inf)
    return np.where(is_possible, log_probs, -np.inf), end if is_possible.all() else -np.inf


def _pooled(ensemble: ByteEnsemble, text: bytes, members: Sequence[NextBytes]) -> ByteScores:
    """The scores of a text under an ensemble."""
    rows = np.full((len(members), ops.bucket(len(text) + 1), NUM_BYTES + 1), -np.inf, np.float32)
    rows[:, : len(text) + 1] = [member.log_probs for member in members]
    weights = jnp.asarray(ensemble.weights, jnp.float32)
    pooled = np.asarray(pool_log_probs(rows, weights, pooling=ensemble.pooling), np.float64)
    of_bytes = pooled[np.arange(len(text)), list(text)]
    log_probs, end = _possible(of_bytes, float(pooled[len(text), NUM_BYTES]))
    dropped, num_windows = (
        max(getattr(member, name) for member in members) for name in ("dropped", "num_windows")
    )
    return ByteScores(log_probs, end, dropped, ensemble.pooling, num_windows)
