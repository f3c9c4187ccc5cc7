"""The distribution of the next byte after every prefix of a text, in one pass of the model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._byte_windows import LongText, WindowOpening
from jaxlm.decoding.bytes._probs import NUM_BYTES
from jaxlm.decoding.bytes._states import as_bytes
from jaxlm.decoding.bytes._window_readings import WindowOptions, WindowReading, read_windows


class NextBytes(NamedTuple):
    """What follows every prefix of a text.

    Attributes:
      log_probs: `Float32[L+1 257]` nats, normalised: row j is of byte j given those before it, and the last
        row of what follows the whole text; the last column is the text's end. A row is -inf behind bytes
        that cannot be written.
      dropped: the share of the mass that was lost because more than `max_stems` stems were live.
      num_windows: how many windows the text was read in.

    Example:
      >>> import numpy as np
      >>> from jaxlm.decoding.bytes import NextBytes
      >>> followers = NextBytes(np.log(np.full((3, 257), 1 / 257)), 0.0, 1)  # of a text of two bytes
      >>> surprisals = -followers.log_probs[[0, 1], list(b"ab")]
      >>> surprisals.round(3).tolist()
      [5.549, 5.549]
    """

    log_probs: np.ndarray
    dropped: float
    num_windows: int


def next_byte_log_probs(
    byte_model: ByteModel,
    texts: Sequence[bytes | str] | bytes | str,
    *,
    long: LongText = "window",
    window: int | None = None,
    context: int | None = None,
    bos: WindowOpening = "document",
    devices: Any = None,
) -> list[NextBytes]:
    """Returns the distribution of the next byte after every prefix of each text, from one pass of the model.

    Row j is `logp_next` of `tree_state` after j bytes. It takes a kilobyte for each byte of a text.

    Args:
      byte_model: from `make_byte_model`.
      texts: bytes, or texts, whose UTF-8 is meant; one text is a list of one.
      long: as for `score_bytes`, as are all that follow.
      window: the most tokens that the model reads at once.
      context: the fewest tokens before a prediction.
      bos: before which windows the opening is read.
      devices: over which the texts are divided.

    Raises:
      UsageError: as `score_bytes`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models, pretrained, tokenizers
      >>> from jaxlm.decoding.bytes import make_byte_model, next_byte_log_probs
      >>> config = models.TransformerConfig(vocab_size=260, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokenizer = models.build(config, "causal_lm"), tokenizers.bytes_tokenizer()
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
      >>> loaded = pretrained.Loaded(config, "causal_lm", model, params, tokenizer, {})
      >>> (followers,) = next_byte_log_probs(make_byte_model(loaded), "to be")
      >>> followers.log_probs.shape, jnp.exp(followers.log_probs).sum(1).round(4).tolist()
      ((6, 257), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    texts = [texts] if isinstance(texts, (bytes, str)) else texts
    return read_next_bytes(byte_model, texts, WindowOptions(long, window, context, bos, devices))


def read_next_bytes(
    byte_model: ByteModel, texts: Sequence[bytes | str], options: WindowOptions
) -> list[NextBytes]:
    """Returns what `next_byte_log_probs` returns.

    Args:
      byte_model: from `make_byte_model`.
      texts: bytes, or texts.
      options: how they are read.
    """
    rows = [np.full((len(as_bytes(text)) + 1, NUM_BYTES + 1), -np.inf, np.float32) for text in texts]
    kept, counts = np.zeros(len(texts)), np.zeros(len(texts), np.int32)
    for reading in read_windows(byte_model, texts, options, next_bytes=True):
        window, sums = reading.window, reading.sums
        first, stop = max(window.first, len(byte_model.prefix)), window.stop + window.has_end
        begin = first - len(byte_model.prefix)
        rows[reading.number][begin : begin + stop - first] = _distributions(reading, first, stop)
        kept[reading.number] += sums.kept[-1] - sums.kept[window.first - window.start]
        counts[reading.number] += 1
    dropped = (0.0 - np.expm1(kept)).tolist()
    return [NextBytes(*parts) for parts in zip(rows, dropped, counts.tolist(), strict=True)]


def _distributions(reading: WindowReading, first: int, stop: int) -> np.ndarray:
    """The normalised log-probs `Float32[stop-first 257]` after `first` bytes of the text up to `stop - 1`."""
    _, window, (_, tree, masses, _), sums = reading
    if masses.followers is None:
        raise AssertionError("the masses of the next bytes were not asked for")
    rows = np.full((stop - first, NUM_BYTES + 1), -np.inf)
    for row, size in enumerate(range(first - window.start, stop - window.start)):
        # A stem without a mass for its bytes is not live: its column exists.
        live = [node for node in sums.lives[size] if sums.nodes[node] > -np.inf]
        columns = size - tree.ends[live]
        terms = sums.nodes[live][:, None] + masses.followers[live, columns]
        with np.errstate(divide="ignore"):
            rows[row, :NUM_BYTES] = np.logaddexp.reduce(terms, axis=0, initial=-np.inf)
        rows[row, NUM_BYTES] = sums.ends[size]
    total = np.logaddexp.reduce(rows, axis=1, keepdims=True)
    return np.where(total > -np.inf, rows - np.where(total > -np.inf, total, 0.0), -np.inf)
