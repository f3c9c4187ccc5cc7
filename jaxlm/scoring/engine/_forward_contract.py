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
    """What the engine chooses for the program of a `Forward`.

    Attributes:
      tile: how many places have their logits in memory at once; a place is a position at which the model is
        asked about a target.
      combine: how the predictions of an ensemble, whose parameters are stacked, become one (see
        `EngineConfig`); None: there is a single model.
      on_cpu: True if the program will run on a CPU, where small tiles stay in the cache; False for an
        accelerator, which is faster with one large product.
    """

    tile: int
    combine: CombineMembers | None
    on_cpu: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward(abc.ABC):
    """What an `Engine` computes on the devices for each query: a frozen dataclass of options.

    `LogProbForward` and `StepForward` are two of them. A place is a position of a query at which the model is
    asked about a target (`Query.scored`).

    Attributes:
      questions: what a model is asked, of which it has to answer one (see `models.ModelKind.questions`).
      each: the axis of an answer's arrays: "place" if they have one row for each place of the query, as many
        as `Query.scored` has, or "query" if they hold one value for the whole query and have no such axis.
      shared_contexts: whether queries that begin with the same `Query.context` may share one copy of that
        context in a row, behind which each query has a branch of its own. The engine sets the field to False
        if the model cannot share contexts; rows then have no branches.
      contrasts: whether each query is compared with another sequence (`Query.contrast`).
    """

    questions: ClassVar[tuple[models.Question, ...]] = ("next_token", "fill")
    each: ClassVar[AnswerUnit] = "place"
    shared_contexts: bool = False
    contrasts: bool = False

    @abc.abstractmethod
    def program(self, model: models.Model, setting: ForwardSetting) -> Callable[[Any, DeviceRows], Any]:
        """Returns a pure function of the parameters and one device's rows, with static shapes.

        The function returns a pytree of arrays. If `each` is "place" their shape is `[B*L, ...]`, and the
        first `rows.count` rows are the answers at `rows.places`; further rows are ignored. If `each` is
        "query" their shape is `[Q, ...]`, one answer for each entry of `rows.query_counts`.

        Args:
          model: a language model.
          setting: what the engine chooses for the program: the size of a tile, how an ensemble is combined.
        """

    def fault(self, answer: Any) -> str:
        """Returns one line that says why an answer cannot be used; "" if the answer can be used.

        Args:
          answer: the answer to one query, as NumPy arrays.
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
      params: the model's parameters.
      rows: the rows that one device reads, or the rows that they are compared with.
      mask: `Bool[B 1 L L]`, True = may attend, in addition to the mask that the model makes itself; None:
        there is only the model's own mask.

    Returns:
      `Float[M D]`, with one row for each of the M = B * L positions; `rows.places` holds indices of these
      rows.
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
    """Returns the sum over each query's places, for a forward that gives one answer for each query.

    A place is a position of a query at which the model is asked about a target.

    Args:
      values: `Float[M ...]`, one value for each entry of `rows.places`; values beyond the first `rows.count`
        are left out.
      rows: the rows that one device reads, with `queries` and `query_counts`.

    Returns:
      `Float[Q ...]`, the sum for each query; 0 for an entry that belongs to no query.

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
