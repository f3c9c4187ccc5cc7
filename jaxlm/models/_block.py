"""A transformer block: attentions and a feed-forward, each with its norms, dropout and residual sum."""

from typing import NamedTuple

import flax.linen as nn
import jax

from jaxlm import ops
from jaxlm.models._attention import Attention, CrossAttention
from jaxlm.models._attention_inputs import AttentionInputs
from jaxlm.models._cache import LayerCache
from jaxlm.models._config import GATED, ResolvedConfig
from jaxlm.models._interventions import PassedSites
from jaxlm.models._layers import Linear, Norm, apply_dropout
from jaxlm.models._sites import Site, Sites
from jaxlm.typing import Array, Float, Int

NONLINEARITIES = {
    "gelu": ops.gelu,
    "gelu_tanh": ops.gelu_tanh,
    "relu": jax.nn.relu,
    "silu": ops.silu,
    "swiglu": ops.silu,
    "geglu": ops.gelu,
    "geglu_tanh": ops.gelu_tanh,
}


# The site of what each sub-layer adds to the residual stream.
OUTPUT_SITES = {
    "attention": Site.ATTENTION_OUTPUT,
    "cross_attention": Site.CROSS_ATTENTION_OUTPUT,
    "mlp": Site.FEED_FORWARD_OUTPUT,
}


class BlockResults(NamedTuple):
    """What a block returns beside the residual stream.

    Attributes:
      sites: the values of the sites that were asked for.
      cache: the block's cache with the new tokens written; None without one.
      memory: the block's keys and values of the memory, where they are new and a cache can keep them.
    """

    sites: dict[Site, Array]
    cache: LayerCache | None
    memory: LayerCache | None


class FeedForward(nn.Module):
    """`down(act(up))`, or `down(act(gate) * up)` with one kernel `[2F, D]` that makes gate, then up."""

    config: ResolvedConfig
    deterministic: bool

    def setup(self) -> None:
        """Creates the submodules."""
        config = self.config
        rows = 2 * config.mlp_width if config.activation in GATED else config.mlp_width
        self.up = Linear(config, config.width, rows, config.mlp_bias)
        self.down = Linear(config, config.mlp_width, config.width, config.mlp_bias)

    def __call__(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        """Returns what is added to the residual stream."""
        config = self.config
        inner = self.up(hidden)
        if config.activation in GATED:
            gate, inner = inner[..., : config.mlp_width], inner[..., config.mlp_width :]
            inner = NONLINEARITIES[config.activation](gate) * inner
        else:
            inner = NONLINEARITIES[config.activation](inner)
        return apply_dropout(self, self.down(inner), config.mlp_dropout, self.deterministic)


class Block(nn.Module):
    """Attention and a feed-forward, each added to the residual stream, with norms where the config has them.

    A block of a decoder with cross-attention attends to the encoder's memory between the two.
    """

    config: ResolvedConfig
    deterministic: bool
    intermediates: Sites
    in_full: bool = True  # False: new tokens attend to a cache
    layer: int | None = None  # its number; None: a scan gives it at the call

    def setup(self) -> None:
        """Creates the submodules."""
        config = self.config
        self.attention = Attention(config, self.deterministic, self.in_full)
        if config.first_norm or self.layer != 0:
            self.attention_norm = Norm(config, config.norm_epsilon)
        self.mlp = FeedForward(config, self.deterministic)
        self.mlp_norm = Norm(config, config.norm_epsilon)
        if config.cross_attention:
            self.cross_attention = CrossAttention(config, self.deterministic)
            self.cross_attention_norm = Norm(config, config.norm_epsilon)
        if config.norm_placement == "sandwich":
            self.attention_output_norm = Norm(config, config.norm_epsilon)
            self.mlp_output_norm = Norm(config, config.norm_epsilon)
            if config.cross_attention:
                self.cross_attention_output_norm = Norm(config, config.norm_epsilon)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        shared: AttentionInputs,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
        number: Int[Array, ""] | None = None,
        memory: LayerCache | None = None,
    ) -> tuple[Float[Array, "B L D"], BlockResults]:
        """Returns the residual stream after this block, and its further results.

        Args:
          hidden: the residual stream.
          shared: what the attention of all blocks reads.
          cache: of this block.
          slots: of the new tokens in the cache.
          number: of this block, where `layer` is None.
          memory: keys and values that this block computed from the memory before; None: `shared.memory` is
            read.

        Raises:
          ValueError: if the block's number is unknown, or it has cross-attention and there is no memory.
        """
        config = self.config
        index = self.layer if number is None else number
        if index is None:
            raise ValueError("a block needs its number, as layer or at the call: got neither")
        own = shared.of_layer(config, index)
        sites = PassedSites(self.intermediates, shared.interventions, index)
        hidden = sites.at(Site.BLOCK_INPUT, hidden)
        attended, cache = self.attention(self._attention_inputs(hidden), own, index, sites, cache, slots)
        memory_cache = None
        if config.parallel_residual:
            news = sites.at(Site.FEED_FORWARD_OUTPUT, self.mlp(self.mlp_norm(hidden)))
            hidden = hidden + sites.at(Site.ATTENTION_OUTPUT, attended) + news
        else:
            hidden = self._added(hidden, attended, "attention", sites)
            if config.cross_attention:
                source = shared.memory if memory is None else memory
                if source is None:
                    raise ValueError("a block with cross-attention reads a memory: got none")
                read, memory_cache = self.cross_attention(
                    self._inputs(hidden, "cross_attention"),
                    source,
                    shared.memory_mask,
                    sites,
                    cached=cache is not None,
                )
                hidden = self._added(hidden, read, "cross_attention", sites)
            hidden = self._added(hidden, self.mlp(self._inputs(hidden, "mlp")), "mlp", sites)
        hidden = sites.at(Site.RESIDUAL, hidden)
        # Keys and values of the memory are returned only to a cache that does not have them yet.
        is_new = cache is not None and memory is None
        return hidden, BlockResults(sites.values, cache, memory_cache if is_new else None)

    def _inputs(self, hidden: Float[Array, "B L D"], name: str) -> Float[Array, "B L D"]:
        """Returns the input of a sub-layer: the residual stream, normalised unless norms are "post"."""
        return hidden if self.config.norm_placement == "post" else getattr(self, f"{name}_norm")(hidden)

    def _added(
        self, hidden: Float[Array, "B L D"], news: Float[Array, "B L D"], name: str, sites: PassedSites
    ) -> Float[Array, "B L D"]:
        """Returns the residual stream with a sub-layer's output added."""
        if self.config.norm_placement == "sandwich":
            news = getattr(self, f"{name}_output_norm")(news)
        hidden = hidden + sites.at(OUTPUT_SITES[name], news)
        return getattr(self, f"{name}_norm")(hidden) if self.config.norm_placement == "post" else hidden

    def _attention_inputs(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        return self._inputs(hidden, "attention") if self.config.first_norm or self.layer != 0 else hidden
