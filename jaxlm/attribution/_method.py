"""The arguments that every method of attribution takes, and a method as an entry of the table `METHODS`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax

from jaxlm import models
from jaxlm.attribution._predictions import Counts, InputScores, Predictions, Sides
from jaxlm.typing import Array, Float, Key

# What a method works through in groups of `MethodTask.chunk`: the explained predictions (one backward pass
# each) or the changed copies of a row (one forward pass each).
Chunked = Literal["predictions", "copies"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "inputs", "predictions", "baseline", "rng", "path", "counts"],
    meta_fields=["model", "step", "settings", "chunk", "is_span", "is_granular"],
)
@dataclass(frozen=True, kw_only=True)
class MethodTask:
    """The argument of a method of attribution, which is a pure function of the arrays in it.

    A task is a pytree: `jax.jit(saliency)(task)` works, and so do `jax.vmap` and `jax.grad`. The parameters,
    the rows, the predictions, the baseline, the keys and the path are arrays; the rest is static.

    Attributes:
      model: a causal LM, a masked LM or an encoder-decoder.
      params: the parameters of the model.
      inputs: the rows that the model reads, as tokens, with their segments.
      predictions: which predictions are explained.
      step: the explained step function, or its name; a method that explains none ignores it.
      settings: the method's settings, a record of the class `Method.settings`; None: their defaults.
      baseline: what replaces the input, for a method that needs it: token ids (`Int[B L]`) or vectors
        (`Float[B L D]`, or anything that broadcasts to it) of each side. None: vectors of zeros.
      rng: `Key[B]`, a PRNG key for each row, for a method that draws; None: it draws nothing.
      path: for a method that adds up points of a path (see `Method.path`), the points that are added up and
        their weights, both `Float32[P]`. None: all points of the settings.
      counts: how many predictions and positions are used, where the arrays are padded; the rest is not
        computed. The method has no reverse-mode derivatives then. None: everything is computed.
      chunk: how many predictions, or changed copies of the rows, are computed at once. More of them take more
        memory; the results differ by rounding only.
      is_span: whether the predictions of a row are explained as one: the sum of the step function over them.
      is_granular: whether the scores have one number for each dimension of a vector, where the method can.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import Predictions, MethodTask, saliency
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model, tokens = models.build(config, "causal_lm"), jnp.array([[1, 2, 3]])
      >>> params = model.init(jax.random.key(0), tokens)["params"]
      >>> asked = Predictions(positions=jnp.array([[1, 2]]), targets=jnp.array([[3, 4]]))
      >>> inputs = models.Inputs(tokens=tokens)
      >>> task = MethodTask(model=model, params=params, inputs=inputs, predictions=asked, step="logit")
      >>> scores = jax.jit(saliency)(task).target
      >>> scores.shape, float(scores[0, 2, 0])  # the first prediction does not see the third token
      ((1, 3, 2), 0.0)
    """

    model: models.Model
    params: Any
    inputs: models.Inputs
    predictions: Predictions
    step: Any = "probability"
    settings: Any = None
    baseline: Sides | None = None
    rng: Key[Array, " B"] | None = None
    path: tuple[Float[Array, " P"], Float[Array, " P"]] | None = None
    counts: Counts | None = None
    chunk: int = 8
    is_span: bool = False
    is_granular: bool = False


def _always(settings: Any) -> bool:
    del settings
    return True


class Method(NamedTuple):
    """A method of attribution, with what the door `attribute` has to know of it.

    Attributes:
      name: the name in `METHODS`.
      function: a pure, jittable function of a `MethodTask` that returns `InputScores`.
      settings: the frozen dataclass of the method's settings; all of its fields have defaults.
      needs: what the method needs of the task: "step" (it explains a step function), "gradient" (the step
        function is differentiable), "baseline", "rng".
      is_complete: whether the scores sum to `values - baseline_values`, up to the error of the method.
      is_signed: from settings to whether a score's sign means something.
      is_granular: whether the method has scores for each dimension of a vector.
      chunked: what the method computes in groups of `MethodTask.chunk`: "predictions", "copies" or None.
      path: from settings and a number of points to `(points, weights)`, for a method whose scores are a
        weighted sum over points of a path, so that the sum can be computed by parts; None for other methods.
      kinds: the kinds of models that the method explains: "causal", "masked", "seq2seq".
      unit: the unit of the scores; "{step}" stands for the unit of the step function.

    Example:
      >>> from jaxlm.attribution import METHODS
      >>> METHODS["integrated_gradients"].is_complete, METHODS["saliency"].is_complete
      (True, False)
    """

    name: str
    function: Callable[[MethodTask], InputScores]
    settings: type
    needs: frozenset[str] = frozenset({"step"})
    is_complete: bool = False
    is_signed: Callable[[Any], bool] = _always
    is_granular: bool = False
    chunked: Chunked | None = None
    path: Callable[[Any, int], tuple[Any, Any]] | None = None
    kinds: tuple[str, ...] = ("causal", "masked", "seq2seq")
    unit: str = "{step}"
