"""Rules of quadrature over [0, 1], and weighted sums of gradients over points.

Letters: `B` rows, `L` positions, `M` explained predictions of a row, `D` width, `P` points of a path.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.attribution._explained import Explained
from jaxlm.attribution._gradients import GradientReduction, gradient_scores
from jaxlm.attribution._method import MethodTask
from jaxlm.attribution._predictions import Sides
from jaxlm.attribution._reading import Reading
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float

Rule = Literal["gauss_legendre", "left", "right", "middle", "trapezoid"]


def quadrature(rule: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points in [0, 1] and their weights, which sum to 1: `integral f = sum_k weight_k f(point_k)`.

    "gauss_legendre" is exact for polynomials of degree `2 steps - 1`. "left", "right" and "middle" divide
    [0, 1] into `steps` equal parts and take one point of each. "trapezoid" takes `steps` points at equal
    distances, 0 and 1 among them, which have half the weight of the others.

    Args:
      rule: one of these words.
      steps: how many points there are, 1 at least; 2 at least for "trapezoid".

    Returns:
      Two arrays `Float64[steps]`, by ascending points.

    Raises:
      UsageError: if the rule is another word, or there are too few steps.

    Example:
      >>> from jaxlm.attribution import quadrature
      >>> points, weights = quadrature("left", 4)
      >>> points.tolist(), weights.tolist()
      ([0.0, 0.25, 0.5, 0.75], [0.25, 0.25, 0.25, 0.25])
      >>> points, weights = quadrature("gauss_legendre", 2)
      >>> round(float((weights * points**3).sum()), 12)
      0.25
    """
    check_quadrature(rule, steps)
    if rule == "gauss_legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return (points + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0.0, 1.0, steps), weights
    shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return (np.arange(steps) + shift) / steps, np.full(steps, 1 / steps)


def check_quadrature(rule: str, steps: int) -> None:
    """Checks a rule of quadrature and its number of points.

    Raises:
      UsageError: if the rule is unknown, or there are too few steps.
    """
    if rule not in get_args(Rule):
        raise UsageError(f"rule is one of {', '.join(get_args(Rule))}: got {rule!r}")
    least = 2 if rule == "trapezoid" else 1
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or steps < least:
        raise UsageError(f"steps of {rule} are a whole number from {least}: got {steps!r}")


def summed_over_points(
    task: MethodTask,
    reading: Reading,
    explained: Explained,
    point: Callable[[Array], Sides],
    indices: Array,
    weights: Float[Array, " P"],
    reduce: GradientReduction,
) -> Sides:
    """Returns `sum_k weights[k] reduce(gradients at point(indices[k]))` for all predictions.

    There is one forward pass for each point, which serves all predictions. Points are computed at once as
    far as all their predictions together are no more than a chunk.

    Args:
      task: says how many predictions are computed at once, and whether those of a row count as one.
      reading: from vectors to hidden vectors.
      explained: from hidden vectors to the step function.
      point: from an entry of `indices` to the vectors at a point.
      indices: P entries that tell the points apart.
      weights: `Float32[P]`.
      reduce: a linear function of the gradients of one prediction.

    Returns:
      `Sides` of `Float32[B L M ...]`.
    """
    asked = 1 if task.is_span else explained.predictions.positions.shape[1]
    num = weights.shape[0]
    # A divisor, so that no group of points is padded.
    size = next(size for size in range(max(min(task.chunk // asked, num), 1), 0, -1) if num % size == 0)

    def of_point(index: Array, weight: Array) -> Sides:
        scores, _ = gradient_scores(task, reading, explained, point(index), reduce)
        return jax.tree.map(lambda array: weight * array, scores)

    def of_group(sums: Sides, group: tuple[Array, Array]) -> tuple[Sides, None]:
        scores = jax.vmap(of_point)(*group)
        return jax.tree.map(lambda total, array: total + array.sum(0), sums, scores), None

    groups = jax.tree.map(lambda array: array.reshape(-1, size, *array.shape[1:]), (indices, weights))
    shapes = jax.eval_shape(of_point, indices[0], weights[0])
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(of_group, zeros, groups)[0]
