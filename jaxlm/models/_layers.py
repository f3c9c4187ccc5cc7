"""The modules that hold parameters: linear maps, norms and tables; and dropout with linen's RNG stream.

Kernels are stored `[out, in]`. Parameters are named `kernel`, `bias`, `scale` or `embedding`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxlm import ops
from jaxlm.models._config import TransformerConfig
from jaxlm.models._position import Relative
from jaxlm.typing import Array, Float, Int


class Linear(nn.Module):
    """`inputs @ kernel.T + bias`, the kernel `[outputs, inputs]`."""

    config: TransformerConfig
    inputs: int
    outputs: int
    use_bias: bool

    def setup(self) -> None:
        """Creates the parameters."""
        start, dtype = nn.initializers.normal(self.config.init_std), jnp.dtype(self.config.param_dtype)
        self.kernel = self.param("kernel", start, (self.outputs, self.inputs), dtype)
        zeros = nn.initializers.zeros
        self.bias = self.param("bias", zeros, (self.outputs,), dtype) if self.use_bias else None

    def __call__(
        self, inputs: Float[Array, "*batch D"], preferred: DTypeLike | None = None
    ) -> Float[Array, "*batch F"]:
        """Returns `inputs @ kernel.T + bias` in the dtype `preferred`; None: the inputs'."""
        return ops.linear(inputs, self.kernel, self.bias, preferred=preferred)


class Norm(nn.Module):
    """The config's norm over the last axis: LayerNorm or RMSNorm."""

    config: TransformerConfig
    epsilon: float
    width: int | None = None  # None: the config's

    def setup(self) -> None:
        """Creates the parameters."""
        config, dtype = self.config, jnp.dtype(self.config.param_dtype)
        shape = (self.width or config.width,)
        start = nn.initializers.zeros if config.norm_offset else nn.initializers.ones
        self.scale = self.param("scale", start, shape, dtype)
        has_bias = config.norm == "layer" and config.norm_bias
        self.bias = self.param("bias", nn.initializers.zeros, shape, dtype) if has_bias else None

    def __call__(self, inputs: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Returns the normalised inputs."""
        scale = 1.0 + self.scale.astype(jnp.float32) if self.config.norm_offset else self.scale
        if self.config.norm == "rms":
            return ops.rms_norm(inputs, scale, self.epsilon)
        return ops.layer_norm(inputs, scale, self.bias, self.epsilon)


class Table(nn.Module):
    """A table of vectors, looked up by id."""

    config: TransformerConfig
    rows: int

    def setup(self) -> None:
        """Creates the parameters."""
        start, dtype = nn.initializers.normal(self.config.init_std), jnp.dtype(self.config.param_dtype)
        self.embedding = self.param("embedding", start, (self.rows, self.config.width), dtype)

    def __call__(self, ids: Int[Array, "B L"], mode: str) -> Float[Array, "B L D"]:
        """Returns the rows of ids; `mode` is that of `jnp.take` for ids out of range."""
        return jnp.take(self.embedding, ids, axis=0, mode=mode).astype(jnp.dtype(self.config.dtype))


class DistanceBias(nn.Module):
    """A learned bias of attention scores by head and bucket of distance, stored as `[buckets, N]`."""

    config: TransformerConfig
    position: Relative

    def setup(self) -> None:
        """Creates the parameters."""
        config = self.config
        shape = (self.position.buckets, config.num_heads)
        start, dtype = nn.initializers.normal(config.init_std), jnp.dtype(config.param_dtype)
        self.embedding = self.param("embedding", start, shape, dtype)

    def __call__(self, queries: Int[Array, "B L"], keys: Int[Array, "B S"]) -> Float[Array, "B N L S"]:
        """Returns the float32 bias for the positions of queries and keys."""
        buckets = ops.distance_buckets(
            keys[:, None, :] - queries[:, :, None],
            num_buckets=self.position.buckets,
            max_distance=self.position.distance,
            causal=self.config.causal,
        )
        return jnp.take(self.embedding.T.astype(jnp.float32), buckets, axis=1).swapaxes(0, 1)


def apply_dropout(module: nn.Module, inputs: jax.Array, rate: float, deterministic: bool) -> jax.Array:
    """Returns the inputs after dropout, with a key from the module's "dropout" RNG stream.

    Args:
      module: whose stream the key is from.
      inputs: of any shape.
      rate: probability that an element is zeroed.
      deterministic: whether to leave the inputs unchanged.
    """
    if deterministic or rate == 0.0:
        return inputs
    return ops.dropout(module.make_rng("dropout"), inputs, rate)
