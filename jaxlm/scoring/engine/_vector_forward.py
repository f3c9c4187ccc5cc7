"""What a device computes for vectors: the hidden vectors of a layer, at each place or pooled for each query.

Letters: `B L` rows, `M` places, `Q` queries, `D` width.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models
from jaxlm.errors import ScoreError
from jaxlm.scoring.engine._device_rows import DeviceRows
from jaxlm.scoring.engine._forward_contract import AnswerUnit, Forward, ForwardSetting, query_sums
from jaxlm.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorForward(Forward):
    """A forward that returns the hidden vector at each place, `Float32[m D]` for a query with m places.

    Attributes:
      layer: the layer that the vectors are from: 0 is the embeddings, k is what block k adds up to, and -1 is
        the last layer, after the final norm (see `layer_number`).
      encoder: whether the encoder of an encoder-decoder is read.

    Example:
      >>> from jaxlm.scoring import VectorForward
      >>> VectorForward(layer=-2).each
      'place'
    """

    questions: ClassVar[tuple[models.Question, ...]] = ("vectors",)
    layer: int = -1
    encoder: bool = False

    def program(
        self, model: models.Model, setting: ForwardSetting
    ) -> Callable[[Any, DeviceRows], Float[Array, "M D"]]:
        """Returns the function of the parameters and one device's rows that computes the vectors.

        Raises:
          ScoreError: if the model is an ensemble.
        """
        _refuse_members(setting)

        def forward(params: Any, rows: DeviceRows) -> Float[Array, "M D"]:
            return self._vectors(model, params, rows)

        return forward

    def fault(self, answer: np.ndarray) -> str:
        """Returns a line that says that a vector has infinite numbers or NaN; "" if all are finite."""
        return "" if np.isfinite(answer).all() else "the model's hidden vectors are not finite numbers"

    def _vectors(self, model: models.Model, params: Any, rows: DeviceRows) -> Float[Array, "M D"]:
        """The vectors at the places that are asked, in float32."""
        vectors = layer_vectors(model, params, rows, self)
        return vectors[jnp.asarray(rows.places)].astype(jnp.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PooledForward(VectorForward):
    """A forward that makes one vector of the hidden vectors at a query's places, `Float32[D]` a query.

    Attributes:
      pool: "mean" or "max", number by number.

    Example:
      >>> from jaxlm.scoring import PooledForward
      >>> PooledForward(pool="max").each
      'query'
    """

    each: ClassVar[AnswerUnit] = "query"
    pool: Literal["mean", "max"] = "mean"

    def program(
        self, model: models.Model, setting: ForwardSetting
    ) -> Callable[[Any, DeviceRows], Float[Array, "Q D"]]:
        """Returns the function of the parameters and one device's rows that computes the vectors.

        Raises:
          ScoreError: if the model is an ensemble.
        """
        _refuse_members(setting)

        def forward(params: Any, rows: DeviceRows) -> Float[Array, "Q D"]:
            vectors = self._vectors(model, params, rows)
            if self.pool == "max":
                return _query_maxima(vectors, rows)
            counts = jnp.maximum(jnp.asarray(rows.query_counts), 1).astype(jnp.float32)
            return query_sums(vectors, rows) / counts[:, None]

        return forward


def layer_number(config: models.TransformerConfig, layer: int) -> int:
    """Returns which hidden vectors a layer names, from 0 (the embeddings) to the depth (the final output).

    They are counted as in `hidden_states` of `transformers`: k is the residual stream behind block k, and the
    last one is the body's output, after the final norm if there is one.

    Args:
      config: of the body; for an encoder-decoder, of both sides.
      layer: from 0, or from -1 backwards.

    Raises:
      ScoreError: if there is no such layer.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.scoring.engine import layer_number
      >>> config = models.TransformerConfig(depth=12)
      >>> layer_number(config, -1), layer_number(config, -13), layer_number(config, 3)
      (12, 0, 3)
    """
    if not -config.depth - 1 <= layer <= config.depth:
        raise ScoreError(
            f"layer: expected {-config.depth - 1} to {config.depth} (0 is the embeddings, -1 the last), "
            f"got {layer}"
        )
    return layer % (config.depth + 1)


def layer_vectors(
    model: models.Model, params: Any, rows: DeviceRows, asked: VectorForward
) -> Float[Array, "M D"]:
    """Returns the hidden vectors of a layer at each of the M = B * L positions of a device's rows.

    Args:
      model: any model with a body.
      params: its parameters.
      rows: what the device reads.
      asked: the layer, and whether it is the encoder's.
    """
    number = layer_number(model.config, asked.layer)
    sites = (models.Site.EMBEDDINGS, models.Site.RESIDUAL)
    if asked.encoder:
        sites = (models.Site.ENCODER_EMBEDDINGS, models.Site.ENCODER_RESIDUAL)
    wanted = () if number == model.config.depth else (sites[min(number, 1)],)
    inputs = models.Inputs(
        tokens=jnp.asarray(rows.tokens),
        segments=jnp.asarray(rows.segments),
        positions=jnp.asarray(rows.positions),
    )
    variables = {"params": params}
    if asked.encoder:
        output = model.apply(variables, inputs, intermediates=wanted, method="encode")
    else:
        output = model.apply(variables, inputs, intermediates=wanted)
    if not isinstance(output, models.Output):
        raise AssertionError(f"a model with a body returns an Output: got {type(output).__name__}")
    hidden = output.intermediates[wanted[0]][max(number - 1, 0)] if wanted else output.hidden
    return hidden.reshape(-1, hidden.shape[-1])


def _query_maxima(vectors: Float[Array, "M D"], rows: DeviceRows) -> Float[Array, "Q D"]:
    if rows.queries is None or rows.query_counts is None:
        raise AssertionError("maxima over queries are of a forward that gives an answer a query")
    num = rows.query_counts.shape[0]
    is_asked = jnp.arange(vectors.shape[0]) < rows.count
    queries = jnp.where(is_asked, jnp.asarray(rows.queries), num)
    return jax.ops.segment_max(vectors, queries, num_segments=num + 1)[:-1]


def _refuse_members(setting: ForwardSetting) -> None:
    if setting.combine is not None:
        raise ScoreError("the vectors of an ensemble's members have no common axes: open one of them")
