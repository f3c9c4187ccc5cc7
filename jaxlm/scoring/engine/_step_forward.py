"""What a device computes for step functions: the body once a run, then logits and functions tile by tile.

Letters: `M` asked places, `T` places of a tile.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxlm import models, ops, steps
from jaxlm.errors import ScoreError
from jaxlm.scoring.engine._device_rows import DeviceRows
from jaxlm.scoring.engine._forward_contract import Forward, ForwardSetting, hidden_states
from jaxlm.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepForward(Forward):
    """Step functions at each asked place; an answer is a tuple of `Float32[m]`, one a function.

    Attributes:
      functions: what is computed; none of them draws.

    Example:
      >>> StepForward(functions=(steps.step_function("entropy"),)).contrasts
      False
    """

    functions: tuple[steps.StepFunction, ...]

    def program(
        self, model: models.Model, setting: ForwardSetting
    ) -> Callable[[Any, DeviceRows], tuple[Float[Array, " M"], ...]]:
        if setting.combine is not None:
            raise ScoreError("a step function reads the logits of one model: got an ensemble; open a member")
        held = 2 if self.contrasts else 1

        def forward(params: Any, rows: DeviceRows) -> tuple[Float[Array, " M"], ...]:
            hidden, other = hidden_states(model, params, rows), rows.contrast
            compared = None if other is None else hidden_states(model, params, other)
            to_logits = functools.partial(model.apply, {"params": params}, method="logits")

            def one_tile(places: Array, targets: Array, *others: Array) -> tuple[Array, ...]:
                inputs = steps.StepInputs(to_logits(hidden[places]), targets)
                if others:
                    logits = to_logits(compared[others[0]])
                    inputs = inputs._replace(contrast_logits=logits, contrast_targets=others[1])
                return tuple(steps.step_values(function, inputs) for function in self.functions)

            asked = (rows.places, rows.targets, *(() if other is None else (other.places, other.targets)))
            num = rows.places.shape[0]
            tile = steps.tile_size(model.config.vocab_size, held, num, is_cpu=setting.on_cpu)
            return ops.map_counted_tiles(one_tile, asked, rows.count, [tile])

        return forward

    def fault(self, answer: tuple[np.ndarray, ...]) -> str:
        for function, values in zip(self.functions, answer, strict=True):
            if np.isnan(values).any():
                return f"{function.name} is not a number (NaN) at a token"
        return ""
