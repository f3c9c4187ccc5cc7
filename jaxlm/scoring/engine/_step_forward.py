"""What a device computes for step functions: the body once for each run, then logits and functions by tiles.

Letters: `M` asked places, `T` places of a tile.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxlm import models, ops, steps
from jaxlm.errors import ScoreError
from jaxlm.scoring.engine._device_rows import DeviceRows
from jaxlm.scoring.engine._engine_config import vocab_size_of
from jaxlm.scoring.engine._forward_contract import Forward, ForwardSetting, hidden_states
from jaxlm.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepForward(Forward):
    """A forward that computes step functions at each place at which the model is asked about a target.

    A step function (see `jaxlm.steps`) makes one number from a prediction, such as its entropy. The answer to
    a query with m places is a tuple of arrays `Float32[m]`, one array for each function.

    Attributes:
      functions: the functions that are computed; none of them may draw random numbers.

    Example:
      >>> from jaxlm import steps
      >>> from jaxlm.scoring import StepForward
      >>> functions = (steps.step_function("entropy"), steps.step_function("top_p_size", top_p=0.9))
      >>> [function.name for function in StepForward(functions=functions).functions]
      ['entropy', 'top_p_size(top_p=0.9)']
    """

    functions: tuple[steps.StepFunction, ...]

    def program(
        self, model: models.Model, setting: ForwardSetting
    ) -> Callable[[Any, DeviceRows], tuple[Float[Array, " M"], ...]]:
        """Returns the function of the parameters and one device's rows that computes the step functions.

        Raises:
          ScoreError: if the model is an ensemble.
        """
        if setting.combine is not None:
            raise ScoreError("a step function reads the logits of one model: got an ensemble; open a member")
        vocab_size, runs = vocab_size_of(model.config), 2 if self.contrasts else 1

        def forward(params: Any, rows: DeviceRows) -> tuple[Float[Array, " M"], ...]:
            hidden = hidden_states(model, params, rows)

            def to_logits(hidden: Float[Array, "T D"]) -> Any:
                return model.apply({"params": params}, hidden, method="logits")

            def values(inputs: steps.StepInputs) -> tuple[Array, ...]:
                return tuple(steps.step_values(function, inputs) for function in self.functions)

            places, targets, count = map(jnp.asarray, (rows.places, rows.targets, rows.count))
            tile = steps.tile_size(vocab_size, runs, rows.places.shape[0], is_cpu=setting.on_cpu)
            if rows.contrast is None:

                def one_tile(places: Array, targets: Array) -> tuple[Array, ...]:
                    return values(steps.StepInputs(to_logits(hidden[places]), targets))

                return ops.map_counted_tiles(one_tile, (places, targets), count, [tile])
            other = rows.contrast
            compared = hidden_states(model, params, other)

            def compared_tile(places: Array, targets: Array, others: Array, ids: Array) -> tuple[Array, ...]:
                logits = to_logits(hidden[places])
                contrast = to_logits(compared[others])
                return values(steps.StepInputs(logits, targets, contrast, ids))

            asked = (places, targets, jnp.asarray(other.places), jnp.asarray(other.targets))
            return ops.map_counted_tiles(compared_tile, asked, count, [tile])

        return forward

    def fault(self, answer: tuple[np.ndarray, ...]) -> str:
        """Returns a line that names a step function with a NaN among its values; "" if there is none."""
        for function, values in zip(self.functions, answer, strict=True):
            if np.isnan(values).any():
                return f"{function.name} is not a number (NaN) at a token"
        return ""
