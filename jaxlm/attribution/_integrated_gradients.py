"""Integrated gradients: gradients along the straight path from a baseline to the input.

Letters: `B` rows, `L` positions, `M` explained predictions of a row, `D` width, `P` points of the path.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import ops
from jaxlm.attribution._explained import Explained
from jaxlm.attribution._gradients import start_of, weighted_sum
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._paths import Rule, check_quadrature, quadrature, summed_over_points
from jaxlm.attribution._predictions import InputScores, Sides
from jaxlm.attribution._reading import Reading
from jaxlm.attribution._saliency import AtSite, with_settings
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(AtSite):
    """The settings of `integrated_gradients`; those of `AtSite`, and how the integral is computed.

    Attributes:
      steps: how many points of the path are used.
      rule: the rule of quadrature: "gauss_legendre", "left", "right", "middle" or "trapezoid", see
        `quadrature`.
      tolerance: the largest completeness error that is accepted, in units of the step function. `attribute`
        doubles the steps of a text until the error of each of its predictions is at most this, and warns
        where `max_steps` are too few. None: the steps are not changed. The function of arrays ignores it.
      max_steps: the most steps that `attribute` uses for a tolerance.

    Raises:
      UsageError: if the rule is unknown, or a number is out of its range; and as `AtSite`.

    Example:
      >>> from jaxlm.attribution import IntegratedGradients
      >>> IntegratedGradients(rule="middle", steps=20).tolerance is None
      True
    """

    steps: int = 50
    rule: Rule = "gauss_legendre"
    tolerance: float | None = None
    max_steps: int = 1600

    def __post_init__(self) -> None:
        super().__post_init__()
        check_quadrature(self.rule, self.steps)
        if self.tolerance is not None and not self.tolerance > 0:
            raise UsageError(f"a tolerance is a number above 0: got {self.tolerance!r}")
        if self.max_steps < self.steps:
            raise UsageError(f"max_steps are at least the steps, {self.steps}: got {self.max_steps}")


# The path of AllenNLP's interpreter: ten steps by the left rule; its baseline is a vector of zeros, its step
# function the cross-entropy.
ALLENNLP_INTEGRATED_GRADIENTS = IntegratedGradients(steps=10, rule="left")


@ops.derivatives("any")
def integrated_gradients(task: MethodTask) -> InputScores:
    """Returns the integrated gradients of every token for every prediction.

    `score[t, i] = (e_t - b_t) . integral_0^1 d f_i / d e_t at (b + a (e - b)) da`, where `e` are the
    embeddings, `b` those of the baseline and `f_i` the step function of prediction i. Over all tokens of a
    prediction the scores sum to `f_i(e) - f_i(b)`, up to the error of the rule of quadrature.

    All tokens travel together, also those after a causal prediction, which does not see them; so each point
    takes one forward pass for all predictions of a row. With a `layer` the path is one between the site's
    values for the embeddings and for the baseline, and the sum is the difference that these values make.

    Args:
      task: what is explained; its settings are an `IntegratedGradients`. `rng` is not read.

    Returns:
      `InputScores` in units of the step function, with `values` and `baseline_values`. With `task.path` the
      scores are the sum over these points only.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, integrated_gradients
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.build(config, "causal_lm"), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1, 2]]), targets=jnp.array([[3, 5]]))
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, step="logit")
      >>> result = jax.jit(integrated_gradients)(task)
      >>> error = result.target.sum(1) - (result.values - result.baseline_values)
      >>> bool((jnp.abs(error) < 1e-4).all())
      True

    References:
      Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017, https://arxiv.org/abs/1703.01365.
    """
    task = with_settings(task, IntegratedGradients)
    reading, explained = start_of(task)
    vectors, baseline = reading.vectors(), reading.baseline(task.baseline)
    difference = jax.tree.map(jnp.subtract, vectors, baseline)
    points, weights = path_of(task.settings, task.settings.steps) if task.path is None else task.path

    def point(share: Array) -> Sides:
        return jax.tree.map(lambda start, way: start + share * way, baseline, difference)

    def reduce(gradients: Sides) -> Sides:
        if task.is_granular:
            return jax.tree.map(jnp.multiply, gradients, difference)
        return weighted_sum(gradients, difference)

    scores = summed_over_points(
        task,
        reading,
        explained,
        point,
        jnp.asarray(points, jnp.float32),
        jnp.asarray(weights, jnp.float32),
        reduce,
    )
    ends = values_at(reading, explained, (vectors, baseline), is_span=task.is_span)
    return InputScores(scores.target, scores.source, *ends)


def values_at(
    reading: Reading, explained: Explained, points: tuple[Sides, ...], *, is_span: bool
) -> list[Float[Array, "B M"]]:
    """Returns the step function of all predictions at each of some points.

    Args:
      reading: from vectors to hidden vectors.
      explained: from hidden vectors to the step function.
      points: the vectors at these points.
      is_span: whether the predictions of a row are added up.
    """
    # One after the other: together they would take twice the memory.
    values = [explained.values(reading.hidden(vectors)[None])[0] for vectors in points]
    return [one.sum(1, keepdims=True) if is_span else one for one in values]


def path_of(settings: Any, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the points of a path and their weights.

    Args:
      settings: an `IntegratedGradients`.
      steps: how many points there are.
    """
    return quadrature(settings.rule, steps)


INTEGRATED_GRADIENTS = Method(
    "integrated_gradients",
    integrated_gradients,
    IntegratedGradients,
    frozenset({"step", "gradient", "baseline"}),
    is_complete=True,
    is_granular=True,
    chunked="predictions",
    path=path_of,
)
