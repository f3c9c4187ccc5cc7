"""Saliency and input times gradient: the gradient where the model reads its input.

Letters: `B` rows, `L` positions, `M` explained predictions of a row, `D` width.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.attribution._gradients import gradient_scores, start_of, weighted_sum
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._predictions import InputScores, Sides
from jaxlm.attribution._reading import VECTOR_SITES
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float

# How a gradient becomes one number.
GradientNorm = Literal["l2", "l1", "max", "sum"]


@dataclass(frozen=True, kw_only=True)
class AtSite:
    """Where the vectors are that a method explains: the token embeddings, or a site of a block.

    Attributes:
      layer: the number of the block, from 0; for an encoder-decoder the block of that number on both sides.
        None: the token embeddings.
      site: the site of that block, one with a vector for each position: `RESIDUAL` (what the block returns),
        `BLOCK_INPUT`, `ATTENTION_OUTPUT`, `FEED_FORWARD_OUTPUT`, or `EMBEDDINGS` (of layer 0 only).

    Raises:
      UsageError: if the layer is no number from 0 or the site is another one.
    """

    layer: int | None = None
    site: models.Site = models.Site.RESIDUAL

    def __post_init__(self) -> None:
        is_number = isinstance(self.layer, int) and not isinstance(self.layer, bool)
        if self.layer is not None and (not is_number or self.layer < 0):
            raise UsageError(f"a layer is the number of a block, from 0: got {self.layer!r}")
        if self.site not in VECTOR_SITES:
            told = self.site.value if isinstance(self.site, models.Site) else self.site
            raise UsageError(f"a site is one of {', '.join(VECTOR_SITES)}: got {told!r}")


@dataclass(frozen=True, kw_only=True)
class Saliency(AtSite):
    """The settings of `saliency`; those of `AtSite`, and the norm.

    Attributes:
      norm: how a gradient of D numbers becomes one: "l2" its length, "l1" the sum of magnitudes, "max" the
        largest magnitude, "sum" the sum with signs.

    Raises:
      UsageError: if the norm is another word; and as `AtSite`.

    Example:
      >>> from jaxlm.attribution import Saliency
      >>> Saliency(norm="l1").norm
      'l1'
    """

    norm: GradientNorm = "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.norm)


@dataclass(frozen=True, kw_only=True)
class InputXGradient(AtSite):
    """The settings of `input_x_gradient`, those of `AtSite`.

    Example:
      >>> from jaxlm.attribution import InputXGradient
      >>> InputXGradient(layer=2).site.value
      'residual'
    """


def check_norm(norm: str) -> None:
    """Checks the norm of a gradient.

    Raises:
      UsageError: if it is unknown.
    """
    if norm not in get_args(GradientNorm):
        raise UsageError(f"norm is one of {', '.join(get_args(GradientNorm))}: got {norm!r}")


def normed(gradients: Float[Array, "*batch D"], norm: str) -> Float[Array, "*batch"]:
    """Returns one number for each gradient.

    Args:
      gradients: `Float[... D]`.
      norm: "l2", "l1", "max" or "sum".

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution._saliency import normed
      >>> gradient = jnp.array([3.0, -4.0])
      >>> [float(normed(gradient, norm)) for norm in ("l2", "l1", "max", "sum")]
      [5.0, 7.0, 4.0, -1.0]
    """
    if norm == "sum":
        return gradients.sum(-1)
    if norm == "l2":
        squares = (gradients * gradients).sum(-1)
        # The derivative of a root is infinite at 0.
        return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
    magnitudes = jnp.abs(gradients)
    return magnitudes.sum(-1) if norm == "l1" else magnitudes.max(-1)


@ops.derivatives("any")
def saliency(task: MethodTask) -> InputScores:
    """Returns the saliency of every token for every prediction: the norm of a gradient.

    `score[t, i] = norm(d f_i / d e_t)`, where `f_i` is the step function of prediction i and `e_t` the
    embedding of token t, before it is scaled and positions are added. The scores say how strongly a small
    change of a token would move the prediction, not in which direction; they have no baseline, and their sum
    has no meaning.

    Args:
      task: what is explained; its settings are a `Saliency`. `baseline` and `rng` are not read.

    Returns:
      `InputScores` in units of the step function per unit of the embedding. With `is_granular` the scores are
      the magnitudes of the D derivatives, as inseq returns them.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, Saliency, MethodTask, saliency
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=2, num_heads=2)
      >>> model, inputs = models.build(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1]]), targets=jnp.array([[5]]))
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, step="probability")
      >>> bool((jax.jit(saliency)(task).target > 0).all())
      True

    References:
      Simonyan et al., "Deep Inside Convolutional Networks", 2013, https://arxiv.org/abs/1312.6034.
    """
    task = with_settings(task, Saliency)
    reading, explained = start_of(task)
    norm = task.settings.norm

    def reduce(gradients: Sides) -> Sides:
        kept = jnp.abs if task.is_granular else lambda gradient: normed(gradient, norm)
        return jax.tree.map(kept, gradients)

    scores, values = gradient_scores(task, reading, explained, reading.vectors(), reduce)
    return InputScores(scores.target, scores.source, values)


@ops.derivatives("any")
def input_x_gradient(task: MethodTask) -> InputScores:
    """Returns input times gradient of every token for every prediction.

    `score[t, i] = e_t . d f_i / d e_t`: how much the prediction would lose if the token's embedding `e_t`
    became zero and the step function `f_i` were linear. The scores have signs.

    Args:
      task: what is explained; its settings are an `InputXGradient`. `baseline` and `rng` are not read.

    Returns:
      `InputScores` in units of the step function.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, input_x_gradient
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> model, inputs = models.build(config), models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> asked = Predictions(positions=jnp.array([[1]]), targets=jnp.array([[5]]))
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, step="entropy")
      >>> jax.jit(input_x_gradient)(task).target.shape
      (1, 3, 1)

    References:
      Shrikumar et al., "Not Just a Black Box", 2016, https://arxiv.org/abs/1605.01713.
    """
    task = with_settings(task, InputXGradient)
    reading, explained = start_of(task)
    vectors = reading.vectors()

    def reduce(gradients: Sides) -> Sides:
        if task.is_granular:
            return jax.tree.map(jnp.multiply, gradients, vectors)
        return weighted_sum(gradients, vectors)

    scores, values = gradient_scores(task, reading, explained, vectors, reduce)
    return InputScores(scores.target, scores.source, values)


def with_settings(task: MethodTask, wanted: type) -> MethodTask:
    """Returns the task with its settings, or the defaults if it has none.

    Args:
      task: of a method.
      wanted: the class of the method's settings.

    Raises:
      UsageError: if the settings are of another class.
    """
    if task.settings is None:
        return replace(task, settings=wanted())
    if not isinstance(task.settings, wanted):
        raise UsageError(
            f"the settings of this method are a {wanted.__name__}: got {type(task.settings).__name__}"
        )
    return task


def _norm_is_signed(settings: Any) -> bool:
    return settings.norm == "sum"


_GRADIENT = frozenset({"step", "gradient"})
SALIENCY = Method(
    "saliency",
    saliency,
    Saliency,
    _GRADIENT,
    is_signed=_norm_is_signed,
    is_granular=True,
    chunked="predictions",
    unit="{step} per unit of the embedding",
)
INPUT_X_GRADIENT = Method(
    "input_x_gradient",
    input_x_gradient,
    InputXGradient,
    _GRADIENT,
    is_granular=True,
    chunked="predictions",
)
