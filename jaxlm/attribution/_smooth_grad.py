"""SmoothGrad: the mean gradient over noisy copies of the input.

Letters: `B` rows, `L` positions, `S` positions of an encoder's row, `M` explained predictions of a row, `D`
width.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.attribution._gradients import start_of, weighted_sum
from jaxlm.attribution._integrated_gradients import values_at
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._paths import summed_over_points
from jaxlm.attribution._predictions import InputScores, Sides
from jaxlm.attribution._saliency import AtSite, GradientNorm, check_norm, normed, with_settings
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Key


@dataclass(frozen=True, kw_only=True)
class SmoothGrad(AtSite):
    """The settings of `smooth_grad`; those of `AtSite`, and how noise is drawn.

    Attributes:
      samples: how many noisy copies there are.
      noise: the standard deviation of the noise, as a share of the range (largest minus smallest number) of
        the vectors of a text's side.
      norm: how a mean gradient of D numbers becomes one, as for `Saliency`; not read with `times_input`.
      times_input: whether the mean gradient is multiplied by the input, `e_t . g_t`, instead of taking its
        norm.

    Raises:
      UsageError: if a number is out of its range or the norm is unknown; and as `AtSite`.

    Example:
      >>> from jaxlm.attribution import SmoothGrad
      >>> SmoothGrad(samples=50).noise
      0.1
    """

    samples: int = 20
    noise: float = 0.1
    norm: GradientNorm = "l2"
    times_input: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.norm)
        if not isinstance(self.samples, int) or isinstance(self.samples, bool) or self.samples < 1:
            raise UsageError(f"samples are a whole number from 1: got {self.samples!r}")
        if not self.noise >= 0:
            raise UsageError(f"noise is a share of the range, 0 or more: got {self.noise!r}")


# The noise of AllenNLP's interpreter, whose score is the plain sum of the mean gradient.
ALLENNLP_SMOOTH_GRAD = SmoothGrad(samples=10, noise=0.01, norm="sum")


@ops.derivatives("any")
def smooth_grad(task: MethodTask) -> InputScores:
    """Returns SmoothGrad of every token for every prediction: a saliency that is averaged over noise.

    `g[t, i] = mean_k d f_i / d e_t at (e + noise_k)`; the score is the norm of `g[t, i]`, or with
    `times_input` the product `e_t . g[t, i]`. The noise of a text depends on its key alone, not on the rows
    beside it nor on padding.

    Args:
      task: what is explained; its settings are a `SmoothGrad`, and `rng` has a key for each row. `baseline`
        is not read.

    Returns:
      `InputScores`; with `times_input` in units of the step function, else per unit of the embedding. With
      `is_granular` the scores are the D derivatives, or their products with the input.

    Raises:
      UsageError: if there is no key.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, smooth_grad
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> model, inputs = models.build(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1]]), targets=jnp.array([[5]]))
      >>> keys = jax.random.split(jax.random.key(1), 1)
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, rng=keys)
      >>> jax.jit(smooth_grad)(task).target.shape
      (1, 3, 1)

    References:
      Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, https://arxiv.org/abs/1706.03825.
    """
    task = with_settings(task, SmoothGrad)
    if task.rng is None:
        raise UsageError("smooth_grad draws noise: got rng=None; give a PRNG key")
    settings, keys = task.settings, task.rng
    reading, explained = start_of(task)
    vectors = reading.vectors()
    deviations = jax.tree.map(
        lambda array, is_real: settings.noise * _range(array, is_real), vectors, _real(task.inputs)
    )

    def point(sample: Array) -> Sides:
        draws = jax.vmap(lambda key: _draws(jax.random.fold_in(key, sample), vectors))(keys)
        return jax.tree.map(lambda own, noise, scale: own + noise * scale, vectors, draws, deviations)

    is_linear = task.is_granular or settings.times_input or settings.norm == "sum"

    def reduce(gradients: Sides) -> Sides:
        if task.is_granular:
            return jax.tree.map(jnp.multiply, gradients, vectors) if settings.times_input else gradients
        if settings.times_input:
            return weighted_sum(gradients, vectors)
        return jax.tree.map(lambda array: array.sum(-1), gradients) if is_linear else gradients

    scores = summed_over_points(
        task,
        reading,
        explained,
        point,
        jnp.arange(settings.samples, dtype=jnp.uint32),
        jnp.full(settings.samples, 1 / settings.samples, jnp.float32),
        reduce,
    )
    if not is_linear:
        # The norm of a mean is not the mean of norms.
        scores = jax.tree.map(lambda array: normed(array, settings.norm), scores)
    (values,) = values_at(reading, explained, (vectors,), is_span=task.is_span)
    return InputScores(scores.target, scores.source, values)


def _real(inputs: models.Inputs) -> Sides:
    """Which positions of each side are real, `Bool[B L]`."""

    def of(side: models.Inputs) -> Array:
        shape = (side.num_rows, side.length)
        return jnp.ones(shape, bool) if side.segments is None else side.segments > 0

    return Sides(of(inputs), None if inputs.encoder is None else of(inputs.encoder))


def _range(vectors: Float[Array, "B L D"], is_real: Array) -> Float[Array, "B 1 1"]:
    """The largest number of each row's vectors less the smallest."""
    infinity, is_real = jnp.asarray(jnp.inf, vectors.dtype), is_real[..., None]
    largest = jnp.where(is_real, vectors, -infinity).max((1, 2), keepdims=True)
    smallest = jnp.where(is_real, vectors, infinity).min((1, 2), keepdims=True)
    return jnp.where(largest >= smallest, largest - smallest, 0.0)


def _draws(key: Key[Array, ""], vectors: Sides) -> Sides:
    """Normal draws for each side of one row; those of a position depend on the key and the position."""

    def of(side: int, array: Array) -> Array:
        own = jax.random.fold_in(key, side)

        def at(position: Array) -> Array:
            return jax.random.normal(jax.random.fold_in(own, position), array.shape[-1:], array.dtype)

        return jax.vmap(at)(jnp.arange(array.shape[1], dtype=jnp.uint32))

    return Sides(*(None if array is None else of(side, array) for side, array in enumerate(vectors)))


def _is_signed(settings: Any) -> bool:
    return settings.times_input or settings.norm == "sum"


SMOOTH_GRAD = Method(
    "smooth_grad",
    smooth_grad,
    SmoothGrad,
    frozenset({"step", "gradient", "rng"}),
    is_signed=_is_signed,
    is_granular=True,
    chunked="predictions",
    unit="{step} per unit of the embedding",
)
