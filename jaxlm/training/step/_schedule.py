"""The learning rate as a function of the number of updates made so far."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from jaxlm.errors import ConfigError
from jaxlm.typing import Array, Float, Int

Decay = Literal["cosine", "linear", "constant", "wsd", "wsd-sqrt"]
DECAYS: tuple[Decay, ...] = ("cosine", "linear", "constant", "wsd", "wsd-sqrt")


def warmup_steps(warmup: int | float, steps: int) -> int:
    """Returns the length of the warm-up in steps: `int(warmup * steps)` for a float, `warmup` for an int.

    Args:
      warmup: a float in [0, 1) is a fraction of the run, an int a number of steps; 0: there is no warm-up.
      steps: number of steps of the run.

    Example:
      >>> from jaxlm.training import warmup_steps
      >>> warmup_steps(0.025, 200), warmup_steps(7, 200), warmup_steps(0.025, 39)
      (5, 7, 0)
    """
    return warmup if isinstance(warmup, int) else int(warmup * steps)


def cooldown_steps(cooldown: int | float, steps: int) -> int:
    """Returns the length of the cooldown in steps, at least 1: `int(cooldown * steps)` for a float.

    Args:
      cooldown: a float in [0, 1] is a fraction of the run, an int a number of steps.
      steps: number of steps of the run.

    Example:
      >>> from jaxlm.training import cooldown_steps
      >>> cooldown_steps(0.1, 200), cooldown_steps(7, 200), cooldown_steps(0.1, 5)
      (20, 7, 1)
    """
    return max(cooldown if isinstance(cooldown, int) else int(cooldown * steps), 1)


def learning_rate_schedule(
    learning_rate: float,
    steps: int,
    *,
    warmup: int | float = 0.0,
    decay: Decay = "cosine",
    final_fraction: float = 0.0,
    cooldown: int | float = 0.1,
) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    """Returns the function from the number of updates made, `t`, to the learning rate of the next one.

    With `T = steps`, `w` warm-up steps and `f = final_fraction`, in units of `learning_rate`:

      `t < w`: `1/w + (1 - 1/w) t/w`, which starts at `1/w` (no update is wasted) and reaches 1 at `t = w`;
      `t >= w`: `f + (1 - f) d(r)`, where `r = (T - t)/(T - w)` is the remaining part of the run and `d(r)` is
        `(1 - cos(pi r))/2` (cosine), `r` (linear) or 1 (constant). With warm-up, stable phase and decay (wsd)
        `r = min((T - t)/c, 1)` is the remaining part of a cooldown of `c` steps, and `d(r)` is `r` (wsd) or
        `1 - sqrt(1 - r)` (wsd-sqrt).

    From `T` on it stays at its last value. With `warmup=0.025`, cosine and `f = 0` this is undertale's curve
    up to `T`; undertale's rises again after `T` and divides by zero for `T < 40`.

    Args:
      learning_rate: the peak of the learning rate.
      steps: `T`, the number of steps of the run.
      warmup: length of the warm-up: a fraction of the run (float) or a number of steps (int); 0: there is no
        warm-up.
      decay: how the learning rate falls: "cosine", "linear", "constant", "wsd" or "wsd-sqrt", as above.
      final_fraction: `f`, the final learning rate as a fraction of the peak.
      cooldown: length of the cooldown of "wsd" and "wsd-sqrt": a fraction of the run (float) or a number of
        steps (int). A run that is lengthened before its cooldown goes on as if it had always been so long.

    Returns:
      A function, which JAX can trace, from an integer scalar to a float32 scalar.

    Raises:
      ConfigError: if `decay` is not one of these.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.training import learning_rate_schedule
      >>> rate = learning_rate_schedule(1e-4, 200, warmup=0.025)
      >>> [f"{rate(jnp.int32(t)):.4e}" for t in (0, 1, 5, 102, 200, 300)]
      ['2.0000e-05', '3.6000e-05', '1.0000e-04', '5.0403e-05', '0.0000e+00', '0.0000e+00']

    References:
      Hu et al., "MiniCPM", 2024, https://arxiv.org/abs/2404.06395 (wsd).
      Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024,
        https://arxiv.org/abs/2405.18392 (the cooldown by 1 - sqrt).
    """
    if decay not in DECAYS:
        raise ConfigError(f"decay is one of {', '.join(DECAYS)}, got {decay!r}")
    warm = warmup_steps(warmup, steps)
    # The number of steps over which the rate falls.
    falling = cooldown_steps(cooldown, steps) if decay.startswith("wsd") else steps - warm

    def rate(count: Int[Array, ""]) -> Float[Array, ""]:
        rise = (1.0 + (warm - 1) * count.astype(jnp.float32) / max(warm, 1)) / max(warm, 1)
        # The remaining steps are an exact small integer near the end, where 1 + cos would cancel.
        left = jnp.clip(steps - count, 0, None).astype(jnp.float32) / max(falling, 1)
        fall = final_fraction + (1.0 - final_fraction) * _decayed(jnp.minimum(left, 1.0), decay)
        return learning_rate * jnp.where(count < warm, rise, fall)

    return rate


def _decayed(left: Float[Array, ""], decay: Decay) -> Float[Array, ""]:
    if decay == "constant":
        return jnp.ones_like(left)
    if decay == "wsd-sqrt":
        return 1.0 - jnp.sqrt(1.0 - left)
    return left if decay in ("linear", "wsd") else jnp.square(jnp.sin(jnp.pi / 2 * left))
