"""The transformer body: embeddings, blocks, final norm; from tokens or vectors to the residual stream."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm.models._attention_inputs import (
    AttentionInputs,
    cached_attention_inputs,
    full_attention_inputs,
    memory_mask,
)
from jaxlm.models._block import Block
from jaxlm.models._cache import Cache, LayerCache, with_memory, write_positions
from jaxlm.models._config import ResolvedConfig, TransformerConfig
from jaxlm.models._embeddings import Embeddings, resolve_positions
from jaxlm.models._inputs import Inputs, as_inputs, check_inputs
from jaxlm.models._interventions import Intervention, PassedSites, check_sites
from jaxlm.models._layers import DistanceBias, Norm
from jaxlm.models._position import Relative
from jaxlm.models._sites import Site, Sites
from jaxlm.typing import Array, Float, Int


class Output(NamedTuple):
    """What a model returns before its head.

    Attributes:
      hidden: `Float[B L D]` in the compute dtype; a head makes logits of it.
      intermediates: by site what was asked for, of all layers `[R, ...]`, as changed where an intervention
        changed it: `intermediates[site][layer]` is of the shape that `Site` says; empty where nothing was.
      cache: the `Cache` that was given, with the new tokens in their slots; None without one.
    """

    hidden: Float[Array, "B L D"]
    intermediates: dict[Site, Array]
    cache: Cache | None = None


class LayerCaches(NamedTuple):
    """What blocks keep of their own text and of the memory: one a block, or stacked for a scan."""

    layers: tuple[LayerCache | None, ...] | LayerCache | None
    memory: tuple[LayerCache | None, ...] | LayerCache | None


class Transformer(nn.Module):
    """The body of every model: a stack of attention and feed-forward blocks that `config` describes.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import Transformer, TransformerConfig
      >>> body = Transformer(TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> variables = body.init(jax.random.key(0), tokens)
      >>> body.apply(variables, tokens).hidden.shape
      (1, 3, 8)

    References:
      Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762.
      Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020,
        https://arxiv.org/abs/2002.04745 (pre and post).
      Shazeer, "GLU Variants Improve Transformer", 2020, https://arxiv.org/abs/2002.05202.
    """

    config: TransformerConfig
    own_tokens: bool = True  # False: it reads embeddings from another's table

    def setup(self) -> None:
        config = self.config.resolved()
        self.embeddings = Embeddings(config, self.own_tokens)
        if isinstance(config.position, Relative):
            self.distances = DistanceBias(config, config.position)
        if config.final_norm:
            self.final_norm = Norm(config, config.norm_epsilon)

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns what `__call__` takes as `embeddings`: the table's rows, before scale and positions.

        Args:
          tokens: `Int[B L]` ids.
          segments: `Int[B L]`, as for `__call__`: the rows of `token_dropout` depend on them, others do not.
        """
        return self.embeddings.token_vectors(tokens, segments)

    def token_table(self) -> Float[Array, "V D"]:
        """Returns the token embedding, in the dtype that parameters are kept in."""
        return self.embeddings.token.embedding

    @nn.compact
    def __call__(
        self,
        inputs: Inputs | Int[Array, "B L"],
        *,
        cache: Cache | None = None,
        slots: Int[Array, "B L"] | None = None,
        interventions: Sequence[Intervention] = (),
        intermediates: Collection[Site] = (),
        deterministic: bool = True,
    ) -> Output:
        """Returns the residual stream after the last block.

        With a `cache` the tokens given are new ones: their keys and values are written to their `slots`, and
        each reads the slots that the attention mask grants it, its own among them if that is meant. Nothing
        else decides who reads whom but the config's window, by the positions of the tokens in the slots;
        attention is then not fused. Without an attention mask the cache is empty, and a causal model reads
        the rows, which may have padding behind them, as it does without one.

        A decoder with cross-attention reads a memory too. With a cache it is given in the first call, whose
        cache keeps each block's keys and values of it; all of its text is read at every later call.

        Args:
          inputs: what is read; `Int[B L]` tokens stand for `Inputs(tokens=tokens)`.
          cache: of S slots a row; needs positions and, with an attention mask, `slots`.
          slots: `Int[B L]` where each new token is kept; what has a slot from S on is not kept. None: the
            first L of an empty cache.
          interventions: what is changed on the way, in this order.
          intermediates: the sites that are returned; static.
          deterministic: no dropout. Otherwise `rngs={"dropout": key}` is needed where a rate is not 0.

        Raises:
          UsageError: if the inputs contradict themselves, the config or the cache.
          ConfigError: if a model of this config reads no cache.
        """
        config, inputs = self.config.resolved(), as_inputs(inputs)
        check_inputs(config, inputs, cache, slots)
        wanted, changes = check_sites(config, intermediates, interventions)
        vectors = inputs.embeddings
        if vectors is None:
            vectors = self.token_vectors(inputs.required_tokens(), inputs.segments)
        positions = resolve_positions(config, inputs)
        in_full = cache is None or inputs.attention_mask is None
        if cache is not None:
            cache = cache._replace(positions=write_positions(cache, positions, slots))
        shared = self._attention_inputs(config, inputs, positions, cache)
        shared = shared._replace(interventions=changes)
        first = PassedSites(wanted, changes, 0)
        start = self.embeddings(vectors, positions, deterministic, inputs.token_types)
        start = first.at(Site.EMBEDDINGS, start)
        memory = None if cache is None else cache.memory
        caches = LayerCaches(
            None if cache is None else cache.layers, None if memory is None else memory.layers
        )
        stack = self._scanned if config.scan_layers else self._unrolled
        flags = (deterministic, wanted, in_full)
        hidden, values, news = stack(config, start, shared, caches, slots, flags)
        hidden = self.final_norm(hidden) if config.final_norm else hidden
        if cache is not None:
            cache = cache._replace(layers=news.layers)
            cache = with_memory(cache, news.memory, inputs.memory, inputs.memory_segments)
        values |= {site: array[None] for site, array in first.values.items()}
        return Output(hidden, values, cache)

    def _attention_inputs(
        self,
        config: ResolvedConfig,
        inputs: Inputs,
        positions: Int[Array, "B L"] | Int[Array, "B L 2"],
        cache: Cache | None,
    ) -> AttentionInputs:
        """Returns what the attention of all blocks reads beside the residual stream."""
        slot_positions = None
        if cache is None or inputs.attention_mask is None:
            shared = full_attention_inputs(config, positions, inputs.segments, inputs.attention_mask)
        else:
            shared = cached_attention_inputs(config, positions, inputs.attention_mask, cache)
            slot_positions = cache.positions
        if isinstance(config.position, Relative):
            shared = shared._replace(bias=self._distance_bias(inputs, slot_positions))
        if not config.cross_attention:
            return shared
        memory = None if cache is None else cache.memory
        segments = inputs.memory_segments if memory is None else memory.segments
        mask = memory_mask(inputs.segments, segments, is_cached=cache is not None)
        return shared._replace(memory=inputs.memory, memory_mask=mask)

    def _distance_bias(
        self, inputs: Inputs, slot_positions: Int[Array, "B S"] | None
    ) -> Float[Array, " #B N L S"]:
        positions = inputs.positions
        if positions is None:
            # Within a segment, the distance of two tokens is that of their columns in the row.
            positions = jnp.arange(inputs.length, dtype=jnp.int32)[None]
        return self.distances(positions, positions if slot_positions is None else slot_positions)

    def _unrolled(self, config, hidden, shared, caches, slots, flags: tuple[bool, Sites, bool]):
        results = []
        block = nn.remat(Block) if config.remat else Block
        for layer in range(config.depth):
            module = block(config, *flags, layer, name=block_name(layer))
            own, memory = (None if layers is None else layers[layer] for layers in caches)
            hidden, result = module(hidden, shared, own, slots, None, memory)
            results.append(result)
        values, layers, memory = zip(*results, strict=True)
        return hidden, jax.tree.map(lambda *arrays: jnp.stack(arrays), *values), LayerCaches(layers, memory)

    def _scanned(self, config, hidden, shared, caches, slots, flags: tuple[bool, Sites, bool]):
        stack = nn.scan(
            # A scan already keeps the two passes apart, which remat would otherwise do at a cost.
            nn.remat(Block, prevent_cse=False) if config.remat else Block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, 0, nn.broadcast, 0, 0),  # pyright: ignore[reportArgumentType]  # typed as an int
            length=config.depth,
        )
        module = stack(config, *flags, name="blocks")
        numbers = jnp.arange(config.depth, dtype=jnp.int32)
        hidden, (values, layers, memory) = module(
            hidden, shared, caches.layers, slots, numbers, caches.memory
        )
        return hidden, values, LayerCaches(layers, memory)


def block_name(layer: int) -> str:
    """The name of a block among parameters."""
    return f"block_{layer:02d}"
