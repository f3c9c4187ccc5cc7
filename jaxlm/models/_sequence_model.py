"""Classifiers and regressions: a body, and a head that gives a vector of outputs for each segment."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.models._block import NONLINEARITIES
from jaxlm.models._body_model import ModelOnBody
from jaxlm.models._config import TransformerConfig
from jaxlm.models._head_config import HeadConfig
from jaxlm.models._layers import Linear, Norm, apply_dropout
from jaxlm.models._transformer import Transformer
from jaxlm.typing import Array, Float, Int

# The activations of a head: those of bodies, and that of BERT's pooler.
HEAD_NONLINEARITIES = {**NONLINEARITIES, "tanh": jnp.tanh}


class StandardizedOutputs(NamedTuple):
    """A head's outputs before they are multiplied by its scale and shifted by its center.

    In the labels' units the outputs are `center + scale * values`. A loss compares `values` with
    `(label - center) / scale`, and computes this quotient in float64 on the host. So no digits are lost where
    labels are large compared with their standard deviation, such as times in milliseconds.

    Attributes:
      values: `Float[B G C]`, C outputs for each of the G segments (texts) of B rows; zeros where a row has no
        segment of that number.
      center: the head's `HeadConfig.center`, a Python number in the labels' units.
      scale: the head's `HeadConfig.scale`, a Python number in the labels' units.
    """

    values: Float[Array, "B G C"]
    center: float
    scale: float

    def in_units(self, segments: Int[Array, "B L"]) -> Float[Array, "B G C"]:
        """Returns `center + scale * values`, `[B G C]`; zeros where a row has no segment of that number."""
        present = ops.segment_starts(segments, self.values.shape[1]).present[..., None]
        return jnp.where(present, self.center + self.scale * self.values, 0.0)


class SequenceHead(nn.Module):
    """Pooling, norm, hidden layers and the last linear map."""

    config: TransformerConfig
    head: HeadConfig

    def setup(self) -> None:
        """Creates the submodules."""
        config, head = self.config, self.head
        if head.pooling == "attention":
            self.score = Linear(config, config.width, 1, False)
        if head.pooled_norm:
            self.norm = Norm(config, config.norm_epsilon)
        self.layer = [
            Linear(config, config.width, config.width, config.use_bias) for _ in range(head.hidden_layers)
        ]
        if head.hidden_norm:
            self.layer_norm = [Norm(config, config.norm_epsilon) for _ in range(head.hidden_layers)]
        self.output = Linear(config, config.width, head.required_outputs(), head.output_bias)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        segments: Int[Array, "B L"],
        num_segments: int,
        deterministic: bool,
    ) -> StandardizedOutputs:
        """Returns the outputs for each segment, before center and scale.

        Args:
          hidden: the body's output.
          segments: ids from 1, 0 = padding.
          num_segments: G, the number of segments of a row that get a prediction; static.
          deterministic: whether dropout is off.
        """
        head = self.head
        activated = HEAD_NONLINEARITIES[head.hidden_activation or self.config.activation]
        pooled = self._pooled(hidden, segments, num_segments).astype(hidden.dtype)
        pooled = self.norm(pooled) if head.pooled_norm else pooled
        pooled = apply_dropout(self, pooled, head.dropout, deterministic)
        for number, layer in enumerate(self.layer):
            pooled = activated(layer(pooled))
            pooled = self.layer_norm[number](pooled) if head.hidden_norm else pooled
            pooled = apply_dropout(self, pooled, head.dropout, deterministic)
        present = ops.segment_starts(segments, num_segments).present[..., None]
        values = jnp.where(present, self.output(pooled, preferred=jnp.float32), 0.0)
        return StandardizedOutputs(values, head.center, head.scale)

    def _pooled(
        self, hidden: Float[Array, "B L D"], segments: Int[Array, "B L"], num_segments: int
    ) -> Float[Array, "B G D"]:
        if self.head.pooling == "mean":
            return ops.pool_mean(hidden, segments, num_segments)
        if self.head.pooling == "first":
            return ops.pool_first(hidden, segments, num_segments)
        if self.head.pooling == "last":
            return ops.pool_last(hidden, segments, num_segments)
        return ops.pool_softmax(
            hidden, self.score(hidden, preferred=jnp.float32)[..., 0], segments, num_segments
        )


class SequenceModel(ModelOnBody):
    """A transformer and a head with outputs for each sequence: class logits or regressed values.

    A segment is one of the texts that are packed into a row. `__call__` runs the body alone, as in a language
    model; `outputs` applies the head.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import HeadConfig, SequenceModel, TransformerConfig
      >>> import jax
      >>> from jaxlm.models import Inputs
      >>> model = SequenceModel(
      ...     TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2), HeadConfig(num_outputs=3)
      ... )
      >>> tokens, segments = jnp.array([[1, 2, 3, 4]]), jnp.array([[1, 1, 2, 0]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> hidden = model.apply(variables, Inputs(tokens=tokens, segments=segments)).hidden
      >>> model.apply(variables, hidden, segments=segments, num_segments=2, method="outputs").shape
      (1, 2, 3)
    """

    head_config: HeadConfig

    def setup(self) -> None:
        """Creates the submodules."""
        self.head_config.required_outputs()
        self.body = Transformer(self.config)
        self.head = SequenceHead(self.config.resolved(), self.head_config)

    def outputs(
        self,
        hidden: Float[Array, "B L D"],
        *,
        segments: Int[Array, "B L"] | None = None,
        num_segments: int = 1,
        deterministic: bool = True,
    ) -> Float[Array, "B G C"]:
        """Returns the head's float32 outputs for each segment; zeros where a row has no such segment.

        Args:
          hidden: `Float[B L D]`, the whole `Output.hidden`.
          segments: `Int[B L]`, the segments that the model was given; None: each row is one segment without
            padding.
          num_segments: G, the number of segments of a row that get outputs; static. Later segments are left
            out.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where the rate
            is not 0.
        """
        rows = jnp.ones(hidden.shape[:2], jnp.int32) if segments is None else segments
        return self.head(hidden, rows, num_segments, deterministic).in_units(rows)

    def standardized_outputs(
        self,
        hidden: Float[Array, "B L D"],
        *,
        segments: Int[Array, "B L"] | None = None,
        num_segments: int = 1,
        deterministic: bool = True,
    ) -> StandardizedOutputs:
        """Returns the head's outputs before they are multiplied by its scale and shifted by its center.

        Args:
          hidden: `Float[B L D]`, the whole `Output.hidden`.
          segments: `Int[B L]`, the segments that the model was given; None: each row is one segment without
            padding.
          num_segments: G, the number of segments of a row that get outputs; static. Later segments are left
            out.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where the rate
            is not 0.
        """
        rows = jnp.ones(hidden.shape[:2], jnp.int32) if segments is None else segments
        return self.head(hidden, rows, num_segments, deterministic)

    def _make_head(self, hidden: Float[Array, "B 1 D"]) -> None:
        self.outputs(hidden)
