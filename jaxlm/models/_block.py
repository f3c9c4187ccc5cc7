"""One block: self-attention and a feed-forward, each with its norm, dropout and residual sum."""

from typing import NamedTuple

import flax.linen as nn
import jax

from jaxlm import ops
from jaxlm.models._cache import LayerCache, write_layer
from jaxlm.models._config import GATED, TransformerConfig
from jaxlm.models._layers import Linear, Norm, drop
from jaxlm.typing import Array, Bool, Float, Int

NONLINEARITIES = {
    "gelu": ops.gelu,
    "gelu_tanh": lambda inputs: jax.nn.gelu(inputs, approximate=True),
    "relu": jax.nn.relu,
    "swiglu": jax.nn.silu,
    "geglu": ops.gelu,
}


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
        self.output = Linear(config, config.num_heads * config.head_width, config.width, config.use_bias)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        mask: Bool[Array, " B #N L S"] | None,
        positions: Int[Array, "B L"] | None,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
    ) -> tuple[Float[Array, "B L D"], Float[Array, "B N L S"] | None, LayerCache | None]:
        config = self.config
        query, key, value = self._heads(hidden, positions)
        if cache is not None:
            cache = write_layer(cache, key, value, slots)
            key, value = (kept.swapaxes(1, 2).astype(query.dtype) for kept in cache)
        attended = self._attend(query, key, value, mask, plain=self.intermediates or cache is not None)
        outputs, probs = attended if self.intermediates else (attended, None)
        outputs = self.output(outputs.reshape(*hidden.shape[:2], -1))
        outputs = drop(self, outputs, config.attention_output_dropout, self.deterministic)
        return outputs, probs, cache

    def _heads(self, hidden: jax.Array, positions: jax.Array | None) -> tuple[jax.Array, ...]:
        config = self.config
        num_heads, num_turned = config.num_heads, config.num_heads + config.num_kv_heads
        heads = self.qkv(hidden).reshape(*hidden.shape[:2], -1, config.head_width)
        turned, value = heads[:, :, :num_turned], heads[:, :, num_turned:]
        if positions is not None:
            turned = ops.rotary(turned, positions, config.rotary_base)
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
        self.up = Linear(config, config.width, rows, config.use_bias)
        self.down = Linear(config, config.mlp_width, config.width, config.use_bias)

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
    """Attention, then a feed-forward, each added to the stream; norms before ("pre") or after each sum."""

    config: TransformerConfig
    deterministic: bool
    intermediates: bool

    def setup(self) -> None:
        config = self.config
        self.attention = Attention(config, self.deterministic, self.intermediates)
        self.attention_norm = Norm(config, config.norm_epsilon)
        self.mlp = FeedForward(config, self.deterministic)
        self.mlp_norm = Norm(config, config.norm_epsilon)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        mask: Bool[Array, " B #N L S"] | None,
        positions: Int[Array, "B L"] | None,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
    ) -> tuple[Float[Array, "B L D"], tuple[BlockTrace | None, LayerCache | None]]:
        """Returns the stream after this block, and what a scan stacks: its trace and its cache."""
        if self.config.norm_placement == "pre":
            attended, probs, cache = self.attention(
                self.attention_norm(hidden), mask, positions, cache, slots
            )
            hidden = hidden + attended
            hidden = hidden + self.mlp(self.mlp_norm(hidden))
        else:
            attended, probs, cache = self.attention(hidden, mask, positions, cache, slots)
            hidden = self.attention_norm(hidden + attended)
            hidden = self.mlp_norm(hidden + self.mlp(hidden))
        return hidden, (BlockTrace(hidden, probs) if self.intermediates else None, cache)
