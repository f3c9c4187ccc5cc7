"""What devices compute for a measure: from packed rows to a pytree of arrays, which is split by query.

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

# What the arrays of an answer have a row for.
AnswerUnit = Literal["place", "query"]
CombineMembers = Literal["probs", "log_probs", "scores"]
COMBINES = ("probs", "log_probs", "scores")
# Where an answer belongs to a query, each query takes at least this many positions of a row, so that the
# devices return this many times fewer answers than they have positions.
MIN_QUERY_POSITIONS = 16


class ForwardSetting(NamedTuple):
    """How a forward's program is to be made.

    Attributes:
      tile: places whose logits are in memory at once.
      combine: how the predictions of stacked members become one; None: there is one model.
      on_cpu: whether it will run on a CPU, where small tiles stay in the cache; an accelerator is faster with
        one large product.
    """

    tile: int
    combine: CombineMembers | None
    on_cpu: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward(abc.ABC):
    """What devices compute for a measure: a frozen dataclass whose fields say what is computed.

    Attributes:
      each: what the arrays of an answer have a row for: each asked "place", so that they are as long as
        `Query.scored`, or each "query", so that an answer has no such axis.
      shared_contexts: whether queries that begin with the same `Query.context` may share one copy of it. The
        engine sets it to False if the model does not allow that; rows then have no branches.
      contrasts: whether queries are compared with others (`Query.contrast`).
    """

    each: ClassVar[AnswerUnit] = "place"
    shared_contexts: bool = False
    contrasts: bool = False

    @abc.abstractmethod
    def program(self, model: models.Model, setting: ForwardSetting) -> Callable[[Any, DeviceRows], Any]:
        """Returns a pure function of the parameters and one device's rows, with static shapes.

        The function returns a pytree of arrays: `[B*L, ...]`, whose first `rows.count` rows are the answers
          at
        `rows.places`, or `[Q, ...]`, an answer for each entry of `rows.query_counts`. Further rows are
        ignored.

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
    """Returns the last hidden state of each position of a device's rows.

    Args:
      model: a language model.
      params: its parameters.
      rows: of one device.
      mask: `Bool[B 1 L L]`, True = may attend, in addition to what the model masks; None: nothing in
        addition.

    Returns:
      `Float[M D]`, M = B * L; `rows.places` are indices of its rows.
    """
    inputs = models.Inputs(
        tokens=jnp.asarray(rows.tokens),
        segments=jnp.asarray(rows.segments),
        positions=jnp.asarray(rows.positions),
        attention_mask=mask,
    )
    output = model.apply({"params": params}, inputs)
    if not isinstance(output, models.Output):
        raise AssertionError(f"a language model returns an Output: got {type(output).__name__}")
    hidden = output.hidden
    return hidden.reshape(-1, hidden.shape[-1])


def query_sums(values: Float[Array, "M ..."], rows: DeviceRows) -> Float[Array, "Q ..."]:
    """Returns the sum over each query's places, for a forward that gives an answer a query.

    Args:
      values: `Float[M ...]` at `rows.places`; those beyond `rows.count` are left out.
      rows: of one device.

    Returns:
      `Float[Q ...]`, 0 where there is no query.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from jaxlm.scoring import DeviceRows, query_sums
      >>> asked = {"queries": np.array([0, 0, 1, 0]), "query_counts": np.array([2, 1, 0]), "count": 3}
      >>> rows = DeviceRows(*(None,) * 7)._replace(**asked)
      >>> query_sums(jnp.array([1.0, 2.0, 3.0, 9.0]), rows).tolist()
      [3.0, 3.0, 0.0]
    """
    if rows.queries is None or rows.query_counts is None:
        raise AssertionError("sums over queries are of a forward that gives an answer a query")
    num = rows.query_counts.shape[0]
    is_asked = jnp.arange(values.shape[0]) < rows.count
    # Places that are not asked are summed into an additional query, which is dropped.
    queries = jnp.where(is_asked, jnp.asarray(rows.queries), num)
    return jax.ops.segment_sum(values, queries, num_segments=num + 1)[:-1]
