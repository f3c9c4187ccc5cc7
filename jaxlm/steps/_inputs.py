"""The inputs of a step function: a model's predictions at a position, and what they are compared with."""

from typing import NamedTuple

from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int, Key


class StepInputs(NamedTuple):
    """The predictions for examples, and what a step function may need besides.

    All fields have the same leading dimensions `...`, of any number. Fields that the function does not need
    (`StepFunction.needs` lists those that it does) may be None.

    Attributes:
      logits: `Float[... V]` of the predicted token.
      targets: `Int[...]` the true ids, in [0, V).
      contrast_logits: `Float[... V]` of the contrast's prediction.
      contrast_targets: `Int[...]` the contrast's ids.
      noisy_logits: `Float[E ... V]` of E passes under dropout.
      rng: `Key[...]` a PRNG key for each example, for a function that draws.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs
      >>> StepInputs(logits=jnp.zeros((2, 5)), targets=jnp.array([0, 3])).contrast_logits is None
      True
    """

    logits: Float[Array, "*batch V"]
    targets: Int[Array, "*batch"] | None = None
    contrast_logits: Float[Array, "*batch V"] | None = None
    contrast_targets: Int[Array, "*batch"] | None = None
    noisy_logits: Float[Array, "E *batch V"] | None = None
    rng: Key[Array, "*batch"] | None = None

    def read(self, name: str) -> Array:
        """Returns a field that the step function needs.

        Args:
          name: of the field.

        Raises:
          UsageError: if it is None.

        Example:
          >>> from jaxlm.steps import StepInputs
          >>> StepInputs(logits=None).read("logits")
          Traceback (most recent call last):
          jaxlm.errors.UsageError: this step function reads logits of its StepInputs: got None; give ...
        """
        value = getattr(self, name)
        if value is None:
            raise UsageError(f"this step function reads {name} of its StepInputs: got None; give {name}=...")
        return value
