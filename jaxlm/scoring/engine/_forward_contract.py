"""What devices compute for a measure: from packed rows to a pytree of arrays, which is cut up by query.

Letters: `B L` rows of a device, `M` places, `Q` queries, `D` width.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm import models
from jaxlm.scoring.engine._device_rows import ContrastRows, DeviceRows
from jaxlm.typing import Array, Bool, Float

CombineMembers = Literal["probs", "log_probs", "scores"]
COMBINES = ("probs", "log_probs", "scores")
# Positions that a query takes of a row at least, where there is an answer a query: so many fewer answers
# than positions come back from the devices.
MIN_QUERY_POSITIONS = 16


class ForwardSetting(NamedTuple):
    """How a forward's program is to be made.

    Attributes:
      tile: places whose logits are held at once.
      combine: how the predictions of stacked members become one; None: there is one model.
      on_cpu: where it will run; an accelerator would rather have one large product than the cache's share.
    """

    tile: int
    combine: CombineMembers | None
    on_cpu: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward(abc.ABC):
    """What devices compute for a measure; a frozen dataclass each, whose fields are what is asked.

    Attributes:
      each: what an answer's arrays have a row for: each asked "place", so that they are as long as the
        query's `Query.scored`, or each "query", so that they have no such axis.
      shared_contexts: whether pieces that begin with the same `Query.context` may share one copy of it. The
        engine sets it to False where the model does not allow that; rows then have no branches.
      contrasts: whether pieces are compared with others (`Query.contrast`).
    """

    each: ClassVar[Literal["place", "query"]] = "place"
    shared_contexts: bool = False
    contrasts: bool = False

    @abc.abstractmethod
    def program(self, model: models.Model, setting: ForwardSetting) -> Callable[[Any, DeviceRows], Any]:
        """Returns the function of parameters and one device's rows; pure, of static shapes.

        It returns a pytree of arrays: `[B*L, ...]`, whose first `rows.count` rows are answers at
        `rows.places`, or `[Q, ...]`, as `rows.query_counts` has them. What is beyond is left out.

        Args:
          model: a language model.
          setting: how the program is to be made.
        """

    def fault(self, answer: Any) -> str:
        """Returns why an answer cannot be used, one line; "" where it can.

        Args:
          answer: to one query, as arrays of the host.
        """
        del answer
        return ""


def hidden_states(
    model: models.Model,
    params: Any,
    rows: DeviceRows | ContrastRows,
    mask: Bool[Array, "B 1 L L"] | None = None,
) -> Float[Array, "M D"]:
    """Returns the last hidden state of each position of a device's rows, `M = B * L` as `rows.places` count.

    Args:
      model: a language model.
      params: its parameters.
      rows: one device's.
      mask: `Bool[B 1 L L]` who may attend to whom, True = may; None: all of a segment, as the model is.
    """
    inputs = models.Inputs(
        tokens=rows.tokens, segments=rows.segments, positions=rows.positions, attention_mask=mask
    )
    hidden = model.apply({"params": params}, inputs).hidden
    return hidden.reshape(-1, hidden.shape[-1])


def query_sums(values: Float[Array, "M ..."], rows: DeviceRows) -> Float[Array, "Q ..."]:
    """Returns the sums over each query's places, of a forward that answers each query.

    Args:
      values: `Float[M ...]` at `rows.places`; those beyond `rows.count` are left out.
      rows: one device's.

    Example:
      >>> import numpy as np
      >>> asked = {"queries": np.array([0, 0, 1, 0]), "query_counts": np.array([2, 1, 0]), "count": 3}
      >>> rows = DeviceRows(*(None,) * 7)._replace(**asked)
      >>> query_sums(jnp.array([1.0, 2.0, 3.0, 9.0]), rows).tolist()
      [3.0, 3.0, 0.0]
    """
    num = rows.query_counts.shape[0]
    is_asked = jnp.arange(values.shape[0]) < rows.count
    # What nobody asks goes to a query of its own, which is left out.
    queries = jnp.where(is_asked, rows.queries, num)
    return jax.ops.segment_sum(values, queries, num_segments=num + 1)[:-1]
