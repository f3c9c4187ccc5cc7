"""DeepLIFT: the change between baseline and input, shared out by secants instead of gradients.

Letters: `B` rows, `L` positions, `M` explained predictions of a row.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.attribution._gradients import pulled_scores, start_of, weighted_sum
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._predictions import InputScores, Sides
from jaxlm.attribution._saliency import AtSite, with_settings
from jaxlm.attribution._secants import secant_vjp


@dataclass(frozen=True, kw_only=True)
class DeepLift(AtSite):
    """The settings of `deeplift`, those of `AtSite`.

    Example:
      >>> from jaxlm.attribution import DeepLift
      >>> DeepLift(layer=2).site.value
      'residual'
    """


@ops.derivatives("any")
def deeplift(task: MethodTask) -> InputScores:
    """Returns DeepLIFT of every token for every prediction.

    `score[t, i] = (e_t - b_t) . m[t, i]`, where the multipliers `m` are composed by the chain rule of secants
    between the baseline `b` and the input `e`: the rescale rule for every function of one number, and for a
    product each factor's mean over both points as the multiplier of the other one. Over all tokens of a
    prediction the scores sum to `f_i(e) - f_i(b)` up to rounding, through attention and norms too. One
    forward pass at each point serves all predictions, and one backward pass gives the scores of a prediction.

    A norm of vectors of zeros is nearly singular, and its multipliers so large that float32 loses the sum. In
    a model without position embeddings, such as one with rotary positions, the baseline "zero" makes such
    vectors: give a token as the baseline there, and look at the completeness error.

    Args:
      task: what is explained; its settings are a `DeepLift`. `rng` is not read.

    Returns:
      `InputScores` in units of the step function, with `values` and `baseline_values`.

    Raises:
      UsageError: if the model or the step function has an operation without a rule, such as the loop of a
        model with `scan_layers`, or of passes under dropout.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, deeplift
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, inputs = models.build(config, "causal_lm"), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = jax.jit(model.init)(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1, 2]]), targets=jnp.array([[3, 5]]))
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, step="probability")
      >>> result = jax.jit(deeplift)(task)
      >>> error = result.target.sum(1) - (result.values - result.baseline_values)
      >>> bool((jnp.abs(error) < 1e-4).all())
      True

    References:
      Shrikumar et al., "Learning Important Features Through Propagating Activation Differences", 2017,
        https://arxiv.org/abs/1704.02685 (rescale rule).
    """
    task = with_settings(task, DeepLift)
    reading, explained = start_of(task)
    vectors, baseline = reading.vectors(), reading.baseline(task.baseline)
    difference = jax.tree.map(jnp.subtract, vectors, baseline)

    def reduce(multipliers: Sides) -> Sides:
        if task.is_granular:
            return jax.tree.map(jnp.multiply, multipliers, difference)
        return weighted_sum(multipliers, difference)

    (hidden, start), pull = secant_vjp(reading.hidden, vectors, baseline)
    *values, slopes = explained.secants(hidden, start)
    scores = pulled_scores(task, hidden, slopes, pull, reduce)
    ends = [one.sum(1, keepdims=True) if task.is_span else one for one in values]
    return InputScores(scores.target, scores.source, *ends)


DEEPLIFT = Method(
    "deeplift",
    deeplift,
    DeepLift,
    frozenset({"step", "gradient", "baseline"}),
    is_complete=True,
    is_granular=True,
    chunked="predictions",
)
