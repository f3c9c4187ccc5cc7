"""What a device computes for classifiers and regressions: the outputs of the head for each query.

Letters: `B L` rows, `M` places, `Q` queries, `C` outputs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from jaxlm import models
from jaxlm.errors import ScoreError
from jaxlm.scoring.engine._device_rows import DeviceRows
from jaxlm.scoring.engine._forward_contract import (
    MIN_QUERY_POSITIONS,
    AnswerUnit,
    Forward,
    ForwardSetting,
    hidden_states,
)
from jaxlm.typing import Array, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputForward(Forward):
    """A forward that returns the outputs of a sequence head, `Float32[C]` a query, which has one place.

    The outputs are class logits, or values in the labels' units; the place may be any position of the query.

    Example:
      >>> from jaxlm.scoring import OutputForward
      >>> OutputForward().questions
      ('outputs',)
    """

    questions: ClassVar[tuple[models.Question, ...]] = ("outputs",)
    each: ClassVar[AnswerUnit] = "query"

    def program(
        self, model: models.Model, setting: ForwardSetting
    ) -> Callable[[Any, DeviceRows], Float[Array, "Q C"]]:
        """Returns the function of the parameters and one device's rows that computes the outputs.

        Raises:
          ScoreError: if the model is an ensemble.
        """
        if setting.combine is not None:
            raise ScoreError("predictions are of one model: got an ensemble; open one of its members")

        def forward(params: Any, rows: DeviceRows) -> Float[Array, "Q C"]:
            tokens, segments = jnp.asarray(rows.tokens), jnp.asarray(rows.segments)
            hidden = hidden_states(model, params, rows).reshape(*tokens.shape, -1)
            # Each query takes this many positions of a row at least.
            num_segments = tokens.shape[1] // min(MIN_QUERY_POSITIONS, tokens.shape[1])
            outputs = model.apply(
                {"params": params},
                hidden,
                segments=segments,
                num_segments=num_segments,
                method="outputs",
            )
            row, column = jnp.divmod(_query_places(rows), tokens.shape[1])
            # An entry that is no query may point at padding, which has no segment.
            return jnp.asarray(outputs)[row, jnp.maximum(segments[row, column] - 1, 0)]

        return forward

    def fault(self, answer: np.ndarray) -> str:
        """Returns a line that says that an output is infinite or NaN; "" if all are finite."""
        return "" if np.isfinite(answer).all() else "the model's outputs are not finite numbers"


def _query_places(rows: DeviceRows) -> Int[Array, " Q"]:
    """The place of each query; 0 for an entry that is no query."""
    if rows.queries is None or rows.query_counts is None:
        raise AssertionError("outputs are of a forward that gives an answer a query")
    places = jnp.asarray(rows.places)
    is_asked = jnp.arange(places.shape[0]) < rows.count
    found = jnp.zeros(rows.query_counts.shape[0], places.dtype)
    return found.at[jnp.asarray(rows.queries)].max(jnp.where(is_asked, places, 0))
