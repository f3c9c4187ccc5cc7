"""The attentions of a block: self-attention, with or without a cache, and cross-attention to a memory."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import ops
from jaxlm.models._attention_inputs import LayerAttentionInputs
from jaxlm.models._cache import LayerCache, write_layer
from jaxlm.models._config import ResolvedConfig
from jaxlm.models._interventions import PassedSites
from jaxlm.models._layers import Linear, Norm, apply_dropout
from jaxlm.models._sites import Site
from jaxlm.typing import Array, Bool, Float, Int

FEW_QUERIES = 16


class _AttentionBase(nn.Module):
    """What both attentions share: from query, key and value heads to the output projection."""

    config: ResolvedConfig
    deterministic: bool
    in_full: bool = True  # whether keys are those of the rows; False: those of a cache

    def _attend(
        self,
        query: Float[Array, "B L N H"],
        key: Float[Array, "B S K H"],
        value: Float[Array, "B S K H"],
        mask: Bool[Array, " B #N #L S"] | None,
        bias: Float[Array, " #B N L S"] | None,
        dtype: jnp.dtype,
        *,
        is_causal: bool,
        change_probs: Callable[[Array], Array] | None,
        plain: bool,
        cached: bool,
    ) -> Float[Array, "B L D"]:
        config = self.config
        implementation = config.attention_implementation
        if cached and implementation == "cudnn":
            # A cached text may have an odd length, which fused attention refuses.
            implementation = "auto"
        # Fused attention never holds the probabilities, and takes no mask over slots.
        plain = plain or change_probs is not None
        rate = 0.0 if self.deterministic else config.attention_dropout
        outputs = ops.attention(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            scale=config.attention_scale,
            softcap=config.attention_softcap,
            dropout_rate=rate,
            dropout_rng=self.make_rng("dropout") if rate else None,
            implementation="xla" if plain else implementation,
            require_fused=config.require_fused and not plain and not cached,
            change_probs=change_probs,
        )
        outputs = self.output(outputs.reshape(*outputs.shape[:2], -1).astype(dtype))
        return apply_dropout(self, outputs, config.attention_output_dropout, self.deterministic)


class Attention(_AttentionBase):
    """Self-attention; one kernel `[(N + 2K) * H, D]` computes query heads, key heads and value heads."""

    def setup(self) -> None:
        """Creates the submodules."""
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
        inputs: LayerAttentionInputs,
        number: Int[Array, ""] | int,
        sites: PassedSites,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
    ) -> tuple[Float[Array, "B L D"], LayerCache | None]:
        """Returns what is added to the residual stream, and the cache with the new tokens written.

        Args:
          hidden: the input of attention.
          inputs: mask, rotation and bias.
          number: of the block, from 0.
          sites: of the block.
          cache: of the block; None without one.
          slots: of the new tokens in the cache.
        """
        query, key, value = self._heads(hidden, inputs.rotation)
        query, key = sites.at(Site.QUERIES, query), sites.at(Site.KEYS, key)
        value = sites.at(Site.VALUES, value)
        if self.config.attention_scale_by_layer:
            query = query / jnp.asarray(number + 1, query.dtype)
        if cache is not None:
            cache = write_layer(cache, key, value, slots)
            if not self.in_full:
                query, key, value = _with_cached(query, cache)
        outputs = self._attend(
            query,
            key,
            value,
            inputs.mask,
            inputs.bias,
            hidden.dtype,
            is_causal=self.config.causal and self.in_full,
            change_probs=sites.changer(Site.ATTENTION_PROBS),
            plain=not self.in_full,
            cached=cache is not None,
        )
        return outputs, cache

    def _heads(self, hidden: jax.Array, rotation: ops.Rotation | None) -> tuple[jax.Array, ...]:
        config = self.config
        num_heads, num_turned = config.num_heads, config.num_heads + config.num_kv_heads
        heads = self.qkv(hidden).reshape(*hidden.shape[:2], -1, config.head_width)
        turned, value = heads[:, :, :num_turned], heads[:, :, num_turned:]
        if config.qk_norm:
            query, key = self.query_norm(turned[:, :, :num_heads]), self.key_norm(turned[:, :, num_heads:])
            turned = jnp.concatenate([query, key], axis=2)
        if rotation is not None:
            turned = ops.rotate(turned, rotation)
        return turned[:, :, :num_heads], turned[:, :, num_heads:], value


class CrossAttention(_AttentionBase):
    """Attention to a memory, without positions. One kernel `[2K * H, D]` computes its key and value heads."""

    def setup(self) -> None:
        """Creates the submodules."""
        config = self.config
        heads, kv_heads = config.num_heads * config.head_width, config.num_kv_heads * config.head_width
        self.query = Linear(config, config.width, heads, config.qkv_bias)
        self.memory = Linear(config, config.width, 2 * kv_heads, config.qkv_bias)
        self.output = Linear(config, heads, config.width, config.attention_bias)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        memory: Float[Array, "B S D"] | LayerCache,
        mask: Bool[Array, "B 1 #L S"] | None,
        sites: PassedSites,
        *,
        cached: bool = False,
    ) -> tuple[Float[Array, "B L D"], LayerCache]:
        """Returns what is added to the residual stream, and the memory's keys and values.

        Args:
          hidden: the residual stream.
          memory: the output of an encoder, or the keys and values that this block computed from it before.
          mask: True = may attend; None for everything.
          sites: of the block.
          cached: whether the decoder's own keys and values are in a cache.
        """
        query = sites.at(Site.CROSS_QUERIES, self._split(self.query(hidden)))
        if isinstance(memory, LayerCache):
            query, key, value = _with_cached(query, memory)
        else:
            heads = self._split(self.memory(memory))
            key, value = heads[:, :, : self.config.num_kv_heads], heads[:, :, self.config.num_kv_heads :]
        key, value = sites.at(Site.CROSS_KEYS, key), sites.at(Site.CROSS_VALUES, value)
        is_kept = isinstance(memory, LayerCache)
        outputs = self._attend(
            query,
            key,
            value,
            mask,
            None,
            hidden.dtype,
            is_causal=False,
            change_probs=sites.changer(Site.CROSS_ATTENTION_PROBS),
            plain=is_kept,
            cached=cached,
        )
        keys_and_values = memory if is_kept else LayerCache(key.swapaxes(1, 2), value.swapaxes(1, 2))
        return outputs, keys_and_values

    def _split(self, heads: jax.Array) -> jax.Array:
        return heads.reshape(*heads.shape[:2], -1, self.config.head_width)


def _with_cached(query: jax.Array, cached: LayerCache) -> tuple[jax.Array, ...]:
    """Returns the query and the cached keys and values `[B S K H]`, all in one dtype.

    A few queries are cast to the cache's dtype, which costs less than casting all slots to the query's.
    """
    dtype = cached.key.dtype if query.shape[1] < FEW_QUERIES else query.dtype
    query, key, value = (array.astype(dtype) for array in (query, cached.key, cached.value))
    return query, key.swapaxes(1, 2), value.swapaxes(1, 2)
