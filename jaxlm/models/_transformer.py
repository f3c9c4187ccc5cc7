"""The transformer body: embeddings, blocks and final norm."""

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
    """The output of a model's body.

    Attributes:
      hidden: `Float[B L D]` hidden vectors in the compute dtype, which a head reads.
      intermediates: the values of the sites that were asked for, after interventions. The values of all R
        layers are stacked along a leading axis: `intermediates[site][layer]` has the shape that `Site` gives.
      cache: the given `Cache` with the new tokens written into it; None: no cache was given.
    """

    hidden: Float[Array, "B L D"]
    intermediates: dict[Site, Array]
    cache: Cache | None = None


class LayerCaches(NamedTuple):
    """The caches of all blocks: a tuple with one for each block, or stacked for a scan.

    Attributes:
      layers: of self-attention; None without a cache.
      memory: keys and values of the memory; None where there are none.
    """

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
    own_tokens: bool = True  # False: the token embedding is another module's

    def setup(self) -> None:
        """Creates the embeddings and the final norm; blocks are created by `__call__`."""
        config = self.config.resolved()
        self.embeddings = Embeddings(config, self.own_tokens)
        if isinstance(config.position, Relative):
            self.distances = DistanceBias(config, config.position)
        if config.final_norm:
            self.final_norm = Norm(config, config.norm_epsilon)

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns the token embeddings, before scale and positions, which `Inputs.embeddings` takes.

        Args:
          tokens: `Int[B L]` token ids.
          segments: `Int[B L]`, 0 = padding; only `token_dropout` reads it. None: each row is one segment
            without padding.
        """
        return self.embeddings.token_vectors(tokens, segments)

    def token_table(self) -> Float[Array, "V D"]:
        """Returns the token embedding `[V D]`, in the dtype of the parameters."""
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
        """Returns an `Output`: hidden vectors after the last block and, if there is one, the final norm.

        A cache keeps keys and values of earlier tokens in S slots of each row. With a `cache` the inputs are
        new tokens. Their keys and values are written to their `slots`, and each token attends to the slots
        that are True in the attention mask; it attends to its own slot only if the mask says so. Besides the
        mask, only the config's window restricts attention, by the positions of the cached tokens. Attention
        is then not fused. Without an attention mask the cache must be empty, and a causal model reads the
        rows (which may end with padding) as it does without a cache.

        A decoder with cross-attention also needs a memory, the output of an encoder. With a cache, the memory
        is given in the first call, and the cache keeps each block's keys and values of it for later calls.

        Args:
          inputs: an `Inputs` record; `Int[B L]` tokens stand for `Inputs(tokens=tokens)`.
          cache: keys and values in S slots of each row, from `empty_cache` or an earlier call. It needs
            positions and, with an attention mask, `slots`. None: nothing is cached.
          slots: `Int[B L]`, the slot of each new token; a token with a slot of S or more is not cached. None:
            the first L slots of an empty cache.
          interventions: changes of the values at sites, applied in this order.
          intermediates: the sites whose values are returned in `Output.intermediates`; static.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where a rate
            is not 0.

        Raises:
          UsageError: if the inputs contradict each other, the config or the cache.
          ConfigError: if a model of this config cannot use a cache.
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
            # In a scan XLA cannot merge the two passes anyway, so that remat's costly barrier is not needed.
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
    """Returns the name of a block's parameters."""
    return f"block_{layer:02d}"
