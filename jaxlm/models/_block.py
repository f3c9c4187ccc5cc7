"""One block: its attentions and a feed-forward, each with its norms, dropout and residual sum."""

from typing import NamedTuple

import flax.linen as nn
import jax

from jaxlm import ops
from jaxlm.models._attention import Attention, CrossAttention
from jaxlm.models._cache import LayerCache
from jaxlm.models._config import GATED, TransformerConfig
from jaxlm.models._layers import Linear, Norm, drop
from jaxlm.models._scope import Scope
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


class BlockTrace(NamedTuple):
    """What a block shows of itself: the residual stream after it, and its attentions' probabilities."""

    hidden: Float[Array, "B L D"]
    probs: Float[Array, "B N L S"]
    cross_probs: Float[Array, "B N L S"] | None = None


class BlockResults(NamedTuple):
    """What a block gives beside the stream: its trace, its cache, its keys and values of the memory."""

    trace: BlockTrace | None
    cache: LayerCache | None
    memory: LayerCache | None = None


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
    """Attention, then a feed-forward, each added to the stream, with norms where the config places them.

    A decoder's block reads the memory of another text between the two.
    """

    config: TransformerConfig
    deterministic: bool
    intermediates: bool
    in_full: bool = True  # False: it reads new tokens beside those that a cache holds
    layer: int | None = None  # its number; None: told at the call, by a scan

    def setup(self) -> None:
        config = self.config
        self.attention = Attention(config, self.deterministic, self.intermediates, self.in_full)
        if config.first_norm or self.layer != 0:
            self.attention_norm = Norm(config, config.norm_epsilon)
        self.mlp = FeedForward(config, self.deterministic)
        self.mlp_norm = Norm(config, config.norm_epsilon)
        if config.cross_attention:
            self.cross_attention = CrossAttention(config, self.deterministic, self.intermediates)
            self.cross_attention_norm = Norm(config, config.norm_epsilon)
        if config.norm_placement == "sandwich":
            self.attention_output_norm = Norm(config, config.norm_epsilon)
            self.mlp_output_norm = Norm(config, config.norm_epsilon)
            if config.cross_attention:
                self.cross_attention_output_norm = Norm(config, config.norm_epsilon)

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        scope: Scope,
        cache: LayerCache | None = None,
        slots: Int[Array, "B L"] | None = None,
        number: Int[Array, ""] | None = None,
        memory: LayerCache | None = None,
    ) -> tuple[Float[Array, "B L D"], BlockResults]:
        """Returns the stream after this block, and what a scan stacks.

        Args:
          hidden: the stream.
          scope: what all blocks read.
          cache: of this block.
          slots: where the new tokens go in it.
          number: this block's.
          memory: keys and values that it made of the memory before; None: the scope's memory is read.
        """
        config = self.config
        number = self.layer if number is None else number
        own = scope.of_layer(config, number)
        attended, probs, cache = self.attention(self._attention_inputs(hidden), own, number, cache, slots)
        if config.parallel_residual:
            hidden = hidden + attended + self.mlp(self.mlp_norm(hidden))
            trace = BlockTrace(hidden, probs) if self.intermediates else None
            return hidden, BlockResults(trace, cache)
        hidden = self._added(hidden, attended, "attention")
        cross_probs, kept = None, None
        if config.cross_attention:
            read, cross_probs, kept = self.cross_attention(
                self._inputs(hidden, "cross_attention"),
                scope.memory if memory is None else memory,
                scope.memory_mask,
                cached=cache is not None,
            )
            hidden = self._added(hidden, read, "cross_attention")
        hidden = self._added(hidden, self.mlp(self._inputs(hidden, "mlp")), "mlp")
        trace = BlockTrace(hidden, probs, cross_probs) if self.intermediates else None
        # Keys and values of a memory are worth keeping where there is a cache that does not have them yet.
        is_new = cache is not None and memory is None
        return hidden, BlockResults(trace, cache, kept if is_new else None)

    def _inputs(self, hidden: Float[Array, "B L D"], name: str) -> Float[Array, "B L D"]:
        """What a sub-layer reads of the stream."""
        return hidden if self.config.norm_placement == "post" else getattr(self, f"{name}_norm")(hidden)

    def _added(
        self, hidden: Float[Array, "B L D"], news: Float[Array, "B L D"], name: str
    ) -> Float[Array, "B L D"]:
        """The stream with what a sub-layer adds to it."""
        if self.config.norm_placement == "sandwich":
            return hidden + getattr(self, f"{name}_output_norm")(news)
        hidden = hidden + news
        return getattr(self, f"{name}_norm")(hidden) if self.config.norm_placement == "post" else hidden

    def _attention_inputs(self, hidden: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        return self._inputs(hidden, "attention") if self.config.first_norm or self.layer != 0 else hidden
