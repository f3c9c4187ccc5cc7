"""Changes of a distribution before a token is drawn from it: a penalty, a temperature, and three cuts.

Each is a pure function of logits `Float[B V]` that returns float32 logits, -inf where a token is cut.
`warp_logits` applies them in the order of transformers: penalty, temperature, top-k, top-p, min-p. A cut
finds its threshold by halving the range of float32 values 32 times, without sorting the vocabulary. All
tokens that are exactly as likely as the threshold stay.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.errors import ConfigError, UsageError
from jaxlm.typing import Array, Bool, Float, Int

_SIGN = np.uint32(1 << 31)


class Sampling(NamedTuple):
    """How a distribution is changed before a token is chosen. A field that is None leaves out its step.

    The steps have the order of the fields. Under `jax.jit` the values are traced, so that other values
    compile nothing anew.

    Attributes:
      repetition_penalty: above 0; a value above 1 makes tokens less likely that prompt or text already
        contain.
      temperature: above 0; the logits are divided by it, so that a value below 1 sharpens the distribution.
      top_k: from 1; only the `top_k` likeliest tokens may be chosen.
      top_p: in (0, 1]; only the likeliest tokens that together have this probability may be chosen.
      min_p: in [0, 1]; only tokens that are at least `min_p` times as likely as the likeliest token may be
        chosen.

    Example:
      >>> from jaxlm.decoding import Sampling
      >>> Sampling(temperature=0.7, top_k=50).draws, Sampling(repetition_penalty=1.2).draws
      (True, False)
      >>> Sampling(top_p=1.5).checked()
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: top_p is in (0, 1]: got 1.5
    """

    repetition_penalty: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def checked(self) -> "Sampling":
        """Returns itself if every value is in its range.

        Raises:
          ConfigError: if a value is out of its range; the message names the first such field.
        """
        ranges = {
            "repetition_penalty": (lambda value: value > 0, "above 0"),
            "temperature": (lambda value: value > 0, "above 0 (greedy needs no sampling)"),
            "top_k": (lambda value: 1 <= value < 2**31, "at least 1"),
            "top_p": (lambda value: 0 < value <= 1, "in (0, 1]"),
            "min_p": (lambda value: 0 <= value <= 1, "in [0, 1]"),
        }
        for name, (fits, words) in ranges.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not _is_number(value, is_whole=name == "top_k"):
                kind = "a whole number " if name == "top_k" else ""
                raise ConfigError(f"{name} is {kind}{words}: got {value!r}")
            if not fits(value):
                raise ConfigError(f"{name} is {words}: got {value}")
        return self

    @property
    def draws(self) -> bool:
        """Whether a step is set that matters for random draws only.

        Every step but the repetition penalty is such a step: it leaves the likeliest token the likeliest one.
        """
        return any(value is not None for value in self[1:])


UNCHANGED = Sampling()


def penalize_repetition(
    logits: Float[Array, "B V"], seen: Bool[Array, "B V"], penalty: Float[Array, ""] | float
) -> Float[Array, "B V"]:
    """Returns logits in which tokens that were seen are penalised.

    A positive logit of a seen token is divided by the penalty; a negative one is multiplied by it.

    Args:
      logits: `Float[B V]`, the logits of the next token of each text.
      seen: `Bool[B V]`, True = prompt or text contain the token.
      penalty: a number above 0; above 1 it makes seen tokens less likely.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import penalize_repetition
      >>> penalize_repetition(jnp.array([[2.0, -2.0, 1.0]]), jnp.array([[True, True, False]]), 2.0).tolist()
      [[1.0, -4.0, 1.0]]

    References:
      Keskar et al., "CTRL", 2019, https://arxiv.org/abs/1909.05858 (section 4.1).
    """
    penalty = jnp.float32(penalty)
    return jnp.where(seen, jnp.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(logits: Float[Array, "B V"], k: Int[Array, ""] | int) -> Float[Array, "B V"]:
    """Returns logits `Float[B V]` with -inf for every logit below the k-th largest of its row.

    Logits that equal the k-th largest stay. If k is V or more, all stay.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import keep_top_k
      >>> keep_top_k(jnp.array([[1.0, 3.0, 2.0]]), 2).tolist()
      [[-inf, 3.0, 2.0]]

    References:
      Fan et al., "Hierarchical Neural Story Generation", 2018, https://arxiv.org/abs/1805.04833.
    """
    k = jnp.minimum(jnp.asarray(k, jnp.int32), logits.shape[1])
    return _cut(logits, lambda stays: stays.sum(-1, dtype=jnp.int32) >= k)


def keep_top_p(logits: Float[Array, "B V"], p: Float[Array, ""] | float) -> Float[Array, "B V"]:
    """Returns logits with -inf outside the smallest set of likeliest tokens with probability at least p.

    The logits are `Float[B V]`, and p is in (0, 1]. The likeliest token always stays.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import keep_top_p
      >>> jnp.isfinite(keep_top_p(jnp.log(jnp.array([[0.5, 0.3, 0.2]])), 0.6)).tolist()
      [[True, True, False]]

    References:
      Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019, https://arxiv.org/abs/1904.09751.
    """
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    cut_share = jnp.float32(1) - jnp.float32(p)

    def enough(stays: Array) -> Array:
        """Whether the tokens that do not stay have a probability of at most 1 - p together."""
        return jnp.where(stays, 0.0, probs).sum(-1) <= cut_share

    return _cut(logits, enough)


def keep_min_p(logits: Float[Array, "B V"], p: Float[Array, ""] | float) -> Float[Array, "B V"]:
    """Returns logits with -inf where a token is less than p times as likely as the likeliest token.

    The logits are `Float[B V]`, and p is in [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import keep_min_p
      >>> jnp.isfinite(keep_min_p(jnp.log(jnp.array([[0.5, 0.3, 0.2]])), 0.5)).tolist()
      [[True, True, False]]

    References:
      Nguyen et al., "Turning Up the Heat: Min-p Sampling", 2024, https://arxiv.org/abs/2407.01082.
    """
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    return jnp.where(probs < jnp.float32(p) * probs.max(-1, keepdims=True), -jnp.inf, logits)


def warp_logits(
    logits: Float[Array, "B V"], sampling: Sampling, seen: Bool[Array, "B V"] | None = None
) -> Float[Array, "B V"]:
    """Returns float32 logits after the steps that `sampling` sets: penalty, temperature, top-k, top-p, min-p.

    Args:
      logits: `Float[B V]`, the logits of the next token of each text.
      sampling: the steps; its numbers may be traced.
      seen: `Bool[B V]`, True = prompt or text contain the token; a repetition penalty needs it. None:
        unknown.

    Raises:
      UsageError: if there is a repetition penalty and no `seen`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding import Sampling, warp_logits
      >>> warp_logits(jnp.array([[1.0, 3.0, 2.0]]), Sampling(temperature=0.5, top_k=1)).tolist()
      [[-inf, 6.0, -inf]]
    """
    logits = logits.astype(jnp.float32)
    if sampling.repetition_penalty is not None:
        if seen is None:
            raise UsageError("a repetition penalty needs the tokens seen so far: got seen=None")
        logits = penalize_repetition(logits, seen, sampling.repetition_penalty)
    if sampling.temperature is not None:
        logits = logits / jnp.float32(sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    return logits


def _cut(logits: Array, enough: Callable[[Array], Array]) -> Array:
    """Logits with -inf below a threshold: the largest one above which the remaining tokens are `enough`.

    If they are enough at a threshold, they must be enough at every lower one.
    """
    keys = _ordered(logits.astype(jnp.float32))

    def narrow(bit: Array, threshold: Array) -> Array:
        higher = threshold | (jnp.uint32(1) << (jnp.uint32(31) - bit.astype(jnp.uint32)))
        return jnp.where(enough(keys >= higher[:, None]), higher, threshold)

    threshold = jax.lax.fori_loop(0, 32, narrow, jnp.zeros(logits.shape[:1], jnp.uint32))
    # Rounding of its probability must not remove the likeliest token.
    threshold = jnp.minimum(threshold, keys.max(-1))
    return jnp.where(keys >= threshold[:, None], logits, -jnp.inf)


def _is_number(value: Any, *, is_whole: bool) -> bool:
    """Whether a value is one finite number, also of NumPy or JAX; True and False are not numbers here."""
    kind, is_scalar = getattr(value, "dtype", np.dtype(type(value))).kind, np.ndim(value) == 0
    return is_scalar and kind in ("iu" if is_whole else "iuf") and bool(abs(value) < np.inf)


def _ordered(values: Array) -> Array:
    """Whole numbers in the order of the float32 values: bits with the sign flipped, all bits of negatives."""
    bits = jax.lax.bitcast_convert_type(values + 0.0, jnp.uint32)
    return jnp.where(bits & _SIGN, ~bits, bits | _SIGN)
