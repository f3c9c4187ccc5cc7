"""AdamW: its configuration, its update and which parameters decay."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxlm.errors import ConfigError
from jaxlm.io import check_numbers
from jaxlm.training.step._schedule import DECAYS, Decay, learning_rate_schedule
from jaxlm.typing import Array, Bool, Float

UNDECAYED = ("bias", "scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a warm-up and a decay of the learning rate.

    With `learning_rate=1e-4` and `clip_norm=0` the other defaults are those of undertale's optimiser, except
    that biases, norms and embeddings do not decay.

    Attributes:
      learning_rate: the peak of the learning rate.
      warmup: length of the warm-up: a float in [0, 1) is a fraction of the run, an int a number of steps; 0:
        there is no warm-up.
      decay: how the learning rate falls after the warm-up: "cosine", "linear", "constant", or only in the
        last part of the run: "wsd" (warm-up, stable, decay) in a line, "wsd-sqrt" as 1 - sqrt (see
        `learning_rate_schedule`).
      cooldown: length of that last part: a float in [0, 1] is a fraction of the run, an int a number of
        steps.
      final_fraction: the final learning rate as a fraction of the peak, in [0, 1].
      beta1: decay rate of the running mean of the gradients.
      beta2: decay rate of the running mean of the squared gradients.
      epsilon: the number added to the root of the mean square.
      weight_decay: factor of the decoupled weight decay, which is multiplied by the learning rate as well.
      clip_norm: largest global norm of the gradient; larger gradients are scaled down. 0: gradients are not
        clipped.
      accumulation: number of micro-batches into which a step's batch is divided; they save memory and do not
        change the update.

    Raises:
      ConfigError: if a value is out of range.

    Example:
      >>> from jaxlm.training import OptimizerConfig
      >>> OptimizerConfig(warmup=-1)
      Traceback (most recent call last):
      jaxlm.errors.ConfigError: optimizer.warmup is a fraction (float, in [0, 1)) or a number of steps ...
    """

    learning_rate: float = 1e-3
    warmup: int | float = 0.025
    decay: Decay = "cosine"
    cooldown: int | float = 0.1
    final_fraction: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    accumulation: int = 1

    def __post_init__(self) -> None:
        check_numbers(self, "optimizer.")
        if not self.warmup >= 0 or (isinstance(self.warmup, float) and self.warmup >= 1.0):
            raise ConfigError(
                "optimizer.warmup is a fraction (float, in [0, 1)) or a number of steps (int, >= 0), "
                f"got {self.warmup}"
            )
        is_fraction = isinstance(self.cooldown, float)
        if not self.cooldown >= 0 or (is_fraction and self.cooldown > 1.0):
            raise ConfigError(
                "optimizer.cooldown is a fraction (float, in [0, 1]) or a number of steps (int, >= 0), "
                f"got {self.cooldown}"
            )
        if self.decay not in DECAYS:
            raise ConfigError(f"optimizer.decay is one of {', '.join(DECAYS)}, got {self.decay!r}")
        for name in ("learning_rate", "epsilon", "weight_decay", "clip_norm"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(
                    f"optimizer.{name} is finite (clip_norm: 0 is off), got {getattr(self, name)}"
                )
        for name in ("learning_rate", "epsilon"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"optimizer.{name} is positive, got {getattr(self, name)}")
        for name in ("beta1", "beta2", "final_fraction"):
            top = 1.0 if name == "final_fraction" else 1.0 - 1e-9
            if not 0 <= getattr(self, name) <= top:
                raise ConfigError(f"optimizer.{name} lies between 0 and 1, got {getattr(self, name)}")
        for name in ("weight_decay", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"optimizer.{name} is not negative (0 is off), got {getattr(self, name)}")
        if self.accumulation < 1:
            raise ConfigError(f"optimizer.accumulation is at least 1 micro-batch, got {self.accumulation}")

    def schedule(self, steps: int) -> Callable[[Any], Any]:
        """Returns the learning rate of a run of `steps` steps as a function of the number of updates made."""
        return learning_rate_schedule(
            self.learning_rate,
            steps,
            warmup=self.warmup,
            decay=self.decay,
            final_fraction=self.final_fraction,
            cooldown=self.cooldown,
        )


def decay_mask(params: Any) -> Any:
    """Returns which parameters decay: a tree of bools, False for biases, norms' scales and embeddings.

    Args:
      params: a tree of parameters. The names of parameters decide (`bias`, `scale`, or an ancestor with
        "embed" in its name), so the parameters of scanned layers are treated like the parameters of single
        layers.

    Example:
      >>> from jaxlm.training import decay_mask
      >>> decay_mask({"embedding": {"token": 0.0}, "mlp": {"kernel": 0.0, "bias": 0.0}})
      {'embedding': {'token': False}, 'mlp': {'bias': False, 'kernel': True}}
    """

    def does_decay(path: tuple, _: Any) -> bool:
        names = [str(getattr(part, "key", part)) for part in path]
        return not (names[-1].endswith(UNDECAYED) or any("embed" in name for name in names))

    return jax.tree_util.tree_map_with_path(does_decay, params)


def clip_factor(norm: Float[Array, ""], most: float) -> Float[Array, ""]:
    """Returns the factor that brings a gradient's norm down to at most `most`; 1 where `most` is 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.training.step._optimizer import clip_factor
      >>> [float(clip_factor(jnp.float32(4.0), most)) for most in (1.0, 8.0, 0.0)]
      [0.25, 1.0, 1.0]
    """
    return most / jnp.maximum(norm, most) if most else jnp.ones_like(norm)


def make_optimizer(
    config: OptimizerConfig, steps: int, *, trained: Callable[[Any], Any] | None = None
) -> optax.GradientTransformationExtraArgs:
    """Returns AdamW for a run of `steps` steps: Adam, decoupled decay, learning rate.

    With the mean `g` of the gradients of a batch, clipped, and `t` updates made before:

      `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`,
      `p <- p - lr(t) (m / (1 - b1^(t+1)) / (sqrt(v / (1 - b2^(t+1))) + eps) + decay p)`.

    The gradient is clipped before, by the training step. If `finite` is False, the updates are zero and the
    state is unchanged. (Optax's chain has the same arithmetic; but with this choice made outside of it, XLA
    copied both moments of every tensor, and an update on a CPU took three times as long.)

    Args:
      config: the config, of which learning rate, betas, epsilon and decay are used.
      steps: number of steps of the run.
      trained: the function that tells which parameters are trained, see `last_layers`; the others do not
        change, do not decay and have no moments. None: all parameters are trained.

    Returns:
      An Optax transformation whose `update(updates, state, params, *, finite=True)` also takes the scalar
      `finite`. Its state is `optax.ScaleByAdamState(count, mu, nu)`.

    Raises:
      TypeError: by `update`, if its state was not returned by `init`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.training import OptimizerConfig, make_optimizer
      >>> optimizer = make_optimizer(OptimizerConfig(learning_rate=0.1, warmup=0), 10)
      >>> params = {"kernel": jnp.ones(2)}
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"kernel": jnp.array([1.0, -1.0])}, state, params)
      >>> updates["kernel"].round(3).tolist()  # the decay adds -0.1 * 0.01 * 1
      [-0.101..., 0.099...]

    References:
      Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101.
    """
    beta1, beta2, schedule = config.beta1, config.beta2, config.schedule(steps)
    moving = trained or (lambda params: jax.tree.map(lambda _: True, params))

    def init(params: Any) -> optax.ScaleByAdamState:
        zeros = jax.tree.map(
            lambda leaf, moves: jnp.zeros_like(leaf, shape=None if moves else ()), params, moving(params)
        )
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, jax.tree.map(jnp.copy, zeros))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        finite: Bool[Array, ""] | bool = True,
        **unused: Any,
    ) -> tuple[Any, optax.ScaleByAdamState]:
        del unused
        if not isinstance(state, optax.ScaleByAdamState):
            raise TypeError(
                f"the state is what init returned, a ScaleByAdamState: got {type(state).__name__}"
            )
        count = jnp.asarray(state.count) + 1
        unbias1 = 1.0 - beta1 ** count.astype(jnp.float32)
        unbias2 = 1.0 - beta2 ** count.astype(jnp.float32)
        rate = schedule(state.count)

        def mean(moment: Array, value: Array, moves: bool) -> Array:
            if not moves:
                return moment
            return jnp.where(finite, beta1 * moment + (1.0 - beta1) * value, moment)

        def square(moment: Array, value: Array, moves: bool) -> Array:
            if not moves:
                return moment
            return jnp.where(finite, beta2 * moment + (1.0 - beta2) * jnp.square(value), moment)

        def change(mu: Array, nu: Array, value: Array, decay: bool, moves: bool) -> Array:
            if not moves:
                return jnp.full_like(value, -0.0)  # x + -0.0 is x for every x, also for 0.0 and -0.0
            step = mu / unbias1 / (jnp.sqrt(nu / unbias2) + config.epsilon)
            step = step + config.weight_decay * value if decay and config.weight_decay else step
            return jnp.where(finite, -rate * step, jnp.zeros_like(value))

        moves = moving(params)
        mu = jax.tree.map(mean, state.mu, updates, moves)
        nu = jax.tree.map(square, state.nu, updates, moves)
        updates = jax.tree.map(change, mu, nu, params, decay_mask(params), moves)
        return updates, optax.ScaleByAdamState(jnp.where(finite, count, state.count), mu, nu)

    return optax.GradientTransformationExtraArgs(init, update)
