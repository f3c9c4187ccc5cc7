"""The arguments that every method of attribution takes, and a method as an entry of the table `METHODS`."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from jaxlm import models, steps
from jaxlm.attribution._predictions import InputScores, Predictions, Sides
from jaxlm.typing import Array, Float, Key

# What a method works through in groups of `Task.chunk`: the explained predictions (one backward pass each),
# the changed copies of a row (one forward pass each), or nothing.
Chunked = Literal["predictions", "copies"]


class Task(NamedTuple):
    """The arguments of a method of attribution: `method.function(task)` is a pure function of its arrays.

    `model`, `step`, `settings`, `chunk`, `is_span` and `is_granular` are static, the other fields are pytrees
    of arrays.

    Attributes:
      model: a causal LM, a masked LM or an encoder-decoder.
      params: the parameters of the model.
      inputs: the rows that the model reads, as tokens, with their segments.
      predictions: which predictions are explained.
      step: the explained step function; a method that explains none ignores it.
      settings: the method's settings, a record of the class `Method.settings`.
      baseline: what replaces the input: token ids (`Int[B L]`) or vectors (`Float[B L D]`, or anything that
        broadcasts to it) of each side. None: vectors of zeros.
      rng: `Key[B]`, a PRNG key for each row, for a method that draws; None: it draws nothing.
      path: for a method that adds up points of a path (`Method.path`), `(points, weights)`, both
        `Float32[P]`: the points whose sum is returned. None: all points of the settings.
      chunk: how many predictions or copies are computed at once.
      is_span: whether all predictions of a row are explained as one, the sum of the step function over them.
      is_granular: whether the scores have one number for each dimension of a vector, where the method can.
    """

    model: models.Model
    params: Any
    inputs: models.Inputs
    predictions: Predictions
    step: steps.StepFunction
    settings: Any
    baseline: Sides | None = None
    rng: Key[Array, " B"] | None = None
    path: tuple[Float[Array, " P"], Float[Array, " P"]] | None = None
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
      function: a pure, jittable function of a `Task` that returns `InputScores`.
      settings: the frozen dataclass of the method's settings; all of its fields have defaults.
      needs: what the method needs of the task: "step" (it explains a step function), "gradient" (the step
        function is differentiable), "baseline", "rng".
      is_complete: whether the scores sum to `values - baseline_values`, up to the error of the method.
      is_signed: from settings to whether a score's sign means something.
      is_granular: whether the method has scores for each dimension of a vector.
      chunked: what the method computes in groups of `Task.chunk`: "predictions", "copies" or None.
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
    function: Callable[[Task], InputScores]
    settings: type
    needs: frozenset[str] = frozenset({"step"})
    is_complete: bool = False
    is_signed: Callable[[Any], bool] = _always
    is_granular: bool = False
    chunked: Chunked | None = None
    path: Callable[[Any, int], tuple[Any, Any]] | None = None
    kinds: tuple[str, ...] = ("causal", "masked", "seq2seq")
    unit: str = "{step}"
