"""The inputs of a step function: a model's predictions at a position, and what they are compared with."""

from typing import NamedTuple

from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int, Key


class StepInputs(NamedTuple):
    """Predictions of tokens, and what a step function may need beside their logits.

    All fields have the same leading dimensions `...`, any number of them; `noisy_logits` has E in front of
    them. A field that the function does not need (see `StepFunction.needs`) may be None.

    Attributes:
      logits: `Float[... V]`. The logits of each predicted token; V is the size of the vocabulary.
      targets: `Int[...]`. The true ids, in [0, V).
      contrast_logits: `Float[... V]`. The logits of the prediction that each prediction is compared with.
      contrast_targets: `Int[...]`. The ids that functions look up in `contrast_logits`, in [0, V).
      noisy_logits: `Float[E ... V]`. The logits of E passes of the model under dropout.
      rng: `Key[...]`. A PRNG key for each prediction, for a function that draws random numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.steps import StepInputs
      >>> inputs = StepInputs(logits=jnp.zeros((2, 5)), targets=jnp.array([0, 3]))
      >>> inputs.logits.shape, inputs.targets.shape
      ((2, 5), (2,))
    """

    logits: Float[Array, "*batch V"]
    targets: Int[Array, "*batch"] | None = None
    contrast_logits: Float[Array, "*batch V"] | None = None
    contrast_targets: Int[Array, "*batch"] | None = None
    noisy_logits: Float[Array, "E *batch V"] | None = None
    rng: Key[Array, "*batch"] | None = None

    def read(self, name: str) -> Array:
        """Returns a field, after a check that it was given.

        Args:
          name: the name of the field.

        Raises:
          UsageError: if the field is None.

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
