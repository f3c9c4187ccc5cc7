"""What a step function reads: the model's predictions at a position, and what they are compared with."""

from typing import NamedTuple

from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int, Key


class StepInputs(NamedTuple):
    """Predictions of examples, one a leading index, and what a function may need besides.

    The leading dimensions `...` are any, and the same in every field. A field that the function does not need
    (`StepFunction.needs` says which) may be None; one that it needs is refused by a ValueError that names it.

    Attributes:
      logits: `Float[... V]` of the token that is predicted.
      targets: `Int[...]` ids of the tokens that stand there, in [0, V).
      contrast_logits: `Float[... V]` of the run that is compared.
      contrast_targets: `Int[...]` ids of the tokens that stand in that run.
      noisy_logits: `Float[K ... V]` of K runs under dropout.
      rng: `Key[...]` a PRNG key an example, for a function that draws.

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
    noisy_logits: Float[Array, "K *batch V"] | None = None
    rng: Key[Array, "*batch"] | None = None

    def read(self, name: str) -> Array:
        """Returns a field that a step function needs.

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
