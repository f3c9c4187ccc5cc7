"""Noise schedules: from a time s in [0, 1] to the fraction of an example that is corrupted."""

import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxlm.corruption._noise_config import TimeDirection
from jaxlm.corruption._shares import array_module
from jaxlm.typing import Array, Float

STEPS = 1000


def linear_noise(steps: int) -> np.ndarray:
    """Returns the noise of each of `steps` steps, linear from 0.1 / steps to 20 / steps.

    Example:
      >>> from jaxlm.corruption._schedules import linear_noise
      >>> linear_noise(1000)[[0, -1]].tolist()
      [0.0001, 0.02]

    References:
      Ho et al., "Denoising Diffusion Probabilistic Models", 2020, https://arxiv.org/abs/2006.11239.
    """
    return np.linspace(0.1 / steps, 20 / steps, steps)


def truncated_linear(steps: int) -> np.ndarray:
    """Returns the noise of `linear_noise` plus 0.01 in each step.

    Example:
      >>> from jaxlm.corruption._schedules import truncated_linear
      >>> truncated_linear(1000)[[0, -1]].round(4).tolist()
      [0.0101, 0.03]
    """
    return np.linspace(0.1 / steps + 0.01, 20 / steps + 0.01, steps)


def piecewise_linear(steps: int) -> np.ndarray:
    """Returns the noise of `linear_noise` after ten steps that fall linearly from 0.01 above its start to it.

    Example:
      >>> from jaxlm.corruption._schedules import piecewise_linear
      >>> piecewise_linear(1000)[[0, 9, 10, -1]].round(4).tolist()
      [0.0101, 0.0001, 0.0001, 0.02]
    """
    falling = np.linspace(0.1 / steps + 0.01, 0.1 / steps, 10)
    return np.concatenate([falling, np.linspace(0.1 / steps, 20 / steps, steps - 10)])


def cosine(steps: int) -> np.ndarray:
    """Returns the noise of each step after which the signal is cos^2(pi / 2 * (s + 0.008) / 1.008).

    Example:
      >>> from jaxlm.corruption._schedules import cosine
      >>> float(cosine(1000)[-1])
      0.999

    References:
      Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021,
      https://arxiv.org/abs/2102.09672 (section 3.2).
    """
    return _from_signal(lambda s: math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2, steps)


def sqrt(steps: int) -> np.ndarray:
    """Returns the noise of each step after which the signal is 1 - sqrt(s + 0.0001).

    Example:
      >>> from jaxlm.corruption._schedules import sqrt
      >>> round(float(sqrt(1000)[0]), 5)
      0.0234

    References:
      Li et al., "Diffusion-LM Improves Controllable Text Generation", 2022,
      https://arxiv.org/abs/2205.14217 (appendix A).
    """
    return _from_signal(lambda s: 1 - math.sqrt(s + 1e-4), steps)


def truncated_cosine(steps: int) -> np.ndarray:
    """Returns the noise of the cosine (s + 0.1) / 1.1; the first step has the noise up to its beginning.

    Example:
      >>> from jaxlm.corruption._schedules import truncated_cosine
      >>> truncated_cosine(1000)[[0, -1]].round(5).tolist()
      [0.02025, 0.75]
    """

    def signal(s: float) -> float:
        return math.cos((s + 0.1) / 1.1 * math.pi / 2) ** 2

    return np.concatenate([[1 - signal(0.0)], _from_signal(signal, steps)[:-1]])


def _from_signal(signal: Callable[[float], float], steps: int) -> np.ndarray:
    levels = [signal(index / steps) for index in range(steps + 1)]
    return np.array([min(1 - levels[index + 1] / levels[index], 0.999) for index in range(steps)])


SCHEDULES: dict[str, Callable[[int], np.ndarray]] = {
    "linear": linear_noise,
    "truncated_linear": truncated_linear,
    "piecewise_linear": piecewise_linear,
    "cosine": cosine,
    "sqrt": sqrt,
    "truncated_cosine": truncated_cosine,
}
# With fewer steps the noise of a step would be above 1.
_FEWEST_STEPS = {"linear": 20, "truncated_linear": 21, "piecewise_linear": 20}


def schedule_fraction(
    schedule: str,
    s: float | np.ndarray | Float[Array, "*shape"],
    *,
    time: TimeDirection = "cortex",
    steps: int = STEPS,
) -> float | np.ndarray | Float[Array, "*shape"]:
    """Returns the fraction of an example that is corrupted at time s, monotone and continuous in s.

    A schedule is that of a diffusion with n steps of noise beta_i. The corrupted share at s = t / n is what
    diffusion calls the signal left after t steps, sqrt(prod_{i <= t} (1 - beta_i)); between these times it is
    linear in s. So with "cortex", the convention of the library cortex, time runs against that of diffusion:
    s = 0 corrupts everything and s = 1 almost nothing. "forward" is the opposite: the share at 1 - s, which
    grows with s. (In cortex itself nothing is corrupted at t = 0; this jump is left out here.)

    Args:
      schedule: a name in `SCHEDULES`, such as "cosine".
      s: times in [0, 1], of any shape; a time outside of this range counts as the nearer end.
      time: the direction of time, "cortex" or "forward", as above.
      steps: n, the number of diffusion steps.

    Returns:
      Fractions in [0, 1] of the shape of `s`: `float32` if `s` is a JAX array, else `float64`.

    Raises:
      ValueError: if the schedule is unknown, or `steps` is so few that the noise of a step would be above 1:
        below 20 for "linear" and "piecewise_linear", 21 for "truncated_linear", 1 for others.

    Example:
      >>> import numpy as np
      >>> from jaxlm.corruption import schedule_fraction
      >>> schedule_fraction("cosine", np.array([0.0, 0.25, 0.5, 1.0])).round(3).tolist()
      [1.0, 0.92, 0.703, 0.0]
      >>> round(float(schedule_fraction("cosine", 0.75, time="forward")), 3)
      0.92
    """
    fractions = _fractions(schedule, steps)
    xp = array_module(s)
    dtype = jnp.float32 if xp is jnp else np.float64
    s = xp.asarray(s, dtype)
    s = 1 - s if time == "forward" else s
    return xp.interp(s, xp.linspace(0, 1, steps + 1, dtype=dtype), xp.asarray(fractions, dtype))


@functools.lru_cache
def _fractions(schedule: str, steps: int) -> np.ndarray:
    if schedule not in SCHEDULES:
        raise ValueError(f"a schedule is one of {', '.join(SCHEDULES)}: got {schedule!r}")
    fewest = _FEWEST_STEPS.get(schedule, 1)
    if steps < fewest:
        raise ValueError(f"schedule {schedule!r} takes at least {fewest} steps: got steps={steps}")
    signal = np.cumprod(1 - SCHEDULES[schedule](steps)).clip(0, 1)
    return np.concatenate([[1.0], np.sqrt(signal)])
