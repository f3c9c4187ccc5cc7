"""One block: self-attention and a feed-forward, each with its norms, dropout and residual sum."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.models._cache import LayerCache, write_layer
from jaxlm.models._config import GATED, TransformerConfig
from jaxlm.models._layers import Linear, Norm, drop
from jaxlm.models._scope import Scope
from jaxlm.typing import Array, Bool, Float, Int

NONLINEARITIES = {
    "gelu": ops.gelu,
    "gelu_tanh": lambda inputs: jax.nn.gelu(inputs, approximate=True),
    "relu": jax.nn.relu,
    "swiglu": jax.nn.silu,
    "geglu": ops.gelu,
    "geglu_tanh": lambda inputs: jax.nn.gelu(inputs, approximate=True),
}


FEW_QUERIES = 16


class BlockTrace(NamedTuple):
    """What a block shows of itself: the residual stream after it, and its attention probabilities."""

    hidden: Float[Array, "B L D"]
    probs: Float[Array, "B N L S"]


class Attention(nn.Module):
    """Self-attention; one kernel `[(N + 2K) * H, D]` makes query heads, then key heads, then value heads."""

    config: TransformerConfig
    deterministic: bool
    intermediates: bool

    def setup(self) -> None:
        config = self.config
        heads = config.num_heads + 2 * config.num_kv_heads
        self.qkv = Linear(config, config.width, heads * config.head_width, config.qkv_bias)
        self.output = Linear(
            config, config.num_heads * config.head_width, config.width, config.attention_bias
        )
        if config.qk_norm:
            self.query_norm = Norm(config, config.norm_epsilon, config.head_width)
            self.key_norm = Norm(config, config.norm_epsilon, config.head_width)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        mask: Bool[Array, " B #N L S"] | None,
        turns: ops.Turns | None,
        number: Int[Array, ""] | int,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
    ) -> tuple[Float[Array, "B L D"], Float[Array, "B N L S"] | None, LayerCache | None]:
        config = self.config
        query, key, value = self._heads(hidden, turns)
        if config.attention_scale_by_layer:
            query = query / jnp.asarray(number + 1, query.dtype)
        if cache is not None:
            cache = write_layer(cache, key, value, slots)
            # A few queries are widened to the cache's dtype at less cost than all of its slots are narrowed.
            dtype = cache.key.dtype if query.shape[1] < FEW_QUERIES else query.dtype
            query, *kept = (array.astype(dtype) for array in (query, *cache))
            key, value = (array.swapaxes(1, 2) for array in kept)
        attended = self._attend(query, key, value, mask, plain=self.intermediates or cache is not None)
        outputs, probs = attended if self.intermediates else (attended, None)
        outputs = self.output(outputs.reshape(*hidden.shape[:2], -1).astype(hidden.dtype))
        outputs = drop(self, outputs, config.attention_output_dropout, self.deterministic)
        return outputs, probs, cache

    def _heads(self, hidden: jax.Array, turns: ops.Turns | None) -> tuple[jax.Array, ...]:
        config = self.config
        num_heads, num_turned = config.num_heads, config.num_heads + config.num_kv_heads
        heads = self.qkv(hidden).reshape(*hidden.shape[:2], -1, config.head_width)
        turned, value = heads[:, :, :num_turned], heads[:, :, num_turned:]
        if config.qk_norm:
            query, key = self.query_norm(turned[:, :, :num_heads]), self.key_norm(turned[:, :, num_heads:])
            turned = jnp.concatenate([query, key], axis=2)
        if turns is not None:
            turned = ops.rotate(turned, turns)
        return turned[:, :, :num_heads], turned[:, :, num_heads:], value

    def _attend(
        self, query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None, plain: bool
    ):
        config = self.config
        rate = 0.0 if self.deterministic else config.attention_dropout
        return ops.attention(
            query,
            key,
            value,
            mask=mask,
            scale=config.attention_scale,
            softcap=config.attention_softcap,
            dropout_rate=rate,
            dropout_rng=self.make_rng("dropout") if rate else None,
            # A fused attention never holds its probabilities, and takes no mask over slots.
            implementation="xla" if plain else config.attention_implementation,
            require_fused=config.require_fused and not plain,
            return_probs=self.intermediates,
        )


class FeedForward(nn.Module):
    """`down(act(up))`, or `down(act(gate) * up)` with one kernel `[2F, D]` that makes gate, then up."""

    config: TransformerConfig
    deterministic: bool

    def setup(self) -> None:
        config = self.config
        rows = 2 * config.mlp_width if config.activation in GATED else config.mlp_width
        self.up = Linear(config, config.width, rows, config.mlp_bias)
        self.down = Linear(config, config.mlp_width, config.width, config.mlp_bias)

    def __call__(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        config = self.config
        inner = self.up(hidden)
        if config.activation in GATED:
            gate, inner = inner[..., : config.mlp_width], inner[..., config.mlp_width :]
            inner = NONLINEARITIES[config.activation](gate) * inner
        else:
            inner = NONLINEARITIES[config.activation](inner)
        return drop(self, self.down(inner), config.mlp_dropout, self.deterministic)


class Block(nn.Module):
    """Attention, then a feed-forward, each added to the stream, with norms where the config places them."""

    config: TransformerConfig
    deterministic: bool
    intermediates: bool
    layer: int | None = None  # its number; None: told at the call, by a scan

    def setup(self) -> None:
        config = self.config
        self.attention = Attention(config, self.deterministic, self.intermediates)
        if config.first_norm or self.layer != 0:
            self.attention_norm = Norm(config, config.norm_epsilon)
        self.mlp = FeedForward(config, self.deterministic)
        self.mlp_norm = Norm(config, config.norm_epsilon)
        if config.norm_placement == "sandwich":
            self.attention_output_norm = Norm(config, config.norm_epsilon)
            self.mlp_output_norm = Norm(config, config.norm_epsilon)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        scope: Scope,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
        number: Int[Array, ""] | None = None,
    ) -> tuple[Float[Array, "B L D"], tuple[BlockTrace | None, LayerCache | None]]:
        """Returns the stream after this block, and what a scan stacks: its trace and its cache."""
        config = self.config
        number = self.layer if number is None else number
        mask, turns = scope.of_layer(config, number)
        attended, probs, cache = self.attention(
            self._attention_inputs(hidden), mask, turns, number, cache, slots
        )
        if config.norm_placement == "post":
            hidden = self.attention_norm(hidden + attended)
            hidden = self.mlp_norm(hidden + self.mlp(hidden))
        elif config.norm_placement == "sandwich":
            hidden = hidden + self.attention_output_norm(attended)
            hidden = hidden + self.mlp_output_norm(self.mlp(self.mlp_norm(hidden)))
        elif config.parallel_residual:
            hidden = hidden + attended + self.mlp(self.mlp_norm(hidden))
        else:
            hidden = hidden + attended
            hidden = hidden + self.mlp(self.mlp_norm(hidden))
        return hidden, (BlockTrace(hidden, probs) if self.intermediates else None, cache)

    def _attention_inputs(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        config = self.config
        normalised = config.norm_placement != "post" and (config.first_norm or self.layer != 0)
        return self.attention_norm(hidden) if normalised else hidden
