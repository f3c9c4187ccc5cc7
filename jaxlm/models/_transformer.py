"""The transformer body: embeddings, blocks, final norm; from tokens or vectors to the residual stream."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm.models._block import Block, BlockTrace
from jaxlm.models._cache import Cache, LayerCache, check_cached, check_memory, with_memory, write_positions
from jaxlm.models._config import TransformerConfig
from jaxlm.models._embeddings import Embeddings, resolve_positions
from jaxlm.models._layers import DistanceBias, Norm
from jaxlm.models._position import Relative
from jaxlm.models._scope import cached_scope, full_scope, memory_mask
from jaxlm.typing import Array, Bool, Float, Int


class Output(NamedTuple):
    """What a model returns before its head.

    Attributes:
      hidden: `Float[B L D]` in the compute dtype; a head makes logits of it.
      intermediates: None, or by name `embeddings.hidden`, and for each block `block_03.hidden` (the residual
        stream after it, `Float[B L D]`) and `block_03.attention.probs` (`Float[B N L L]` in float32, with a
        cache `[B N L S]`), of a decoder `block_03.cross_attention.probs` too; of an encoder-decoder each of
        these behind `encoder.` or `decoder.`, and `encoder.hidden`.
      cache: the `Cache` that was given, with the new tokens in their slots; None without one.
    """

    hidden: Float[Array, "B L D"]
    intermediates: dict[str, Array] | None
    cache: Cache | None = None


class Kept(NamedTuple):
    """What blocks keep of their own text and of the memory: one a block, or stacked for a scan."""

    layers: tuple[LayerCache | None, ...] | LayerCache | None
    memory: tuple[LayerCache | None, ...] | LayerCache | None


class Transformer(nn.Module):
    """The body of every model: a stack of attention and feed-forward blocks that `config` describes.

    Example:
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
            self.distances = DistanceBias(config)
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
        tokens: Int[Array, "B L"] | None = None,
        *,
        embeddings: Float[Array, "B L D"] | None = None,
        segments: Int[Array, "B L"] | None = None,
        positions: Int[Array, "B L"] | Int[Array, "B L 2"] | None = None,
        attention_mask: Bool[Array, " B #N L S"] | None = None,
        cache: Cache | None = None,
        slots: Int[Array, "B L"] | None = None,
        types: Int[Array, "B L"] | None = None,
        memory: Float[Array, "B M D"] | None = None,
        memory_segments: Int[Array, "B M"] | None = None,
        deterministic: bool = True,
        intermediates: bool = False,
    ) -> Output:
        """Returns the residual stream after the last block.

        Padding changes nothing elsewhere, whatever ids it holds and however much of it there is; segments of
        a row do not see each other.

        With a `cache` the tokens given are new ones: their keys and values are written to their `slots`, and
        each reads the slots that `attention_mask` grants it, its own among them if that is meant. Nothing
        else decides who reads whom but the config's window, by the positions of the tokens in the slots;
        attention is then not fused. Without an attention mask the cache is empty, and a causal model reads
        the rows, which may have padding behind them, as it does without one.

        A decoder with cross-attention reads a `memory` too. With a cache it is given in the first call, whose
        cache keeps each block's keys and values of it; all of its text is read at every later call.

        Args:
          tokens: `Int[B L]` ids; an id outside the vocabulary gives NaN.
          embeddings: `Float[B L D]` in their place, as `token_vectors` returns them.
          segments: `Int[B L]` segment ids from 1, each contiguous, 0 for padding; None: each row is one
            segment without padding.
          positions: `Int[B L]` offsets in the segment, for "instruction" positions `Int[B L 2]` (instruction,
            argument); None: from the segments, and for "instruction" from the tokens as given and `next_id`.
            An index beyond a table of `max_length` rows takes its last row.
          attention_mask: `Bool[B 1|N L L]`, True = may attend: restricts attention further. With a cache
            `Bool[B 1|N L S]` over its slots, in full; None: they are empty.
          cache: `Cache` of S slots a row; needs `positions` and, with an attention mask, `slots`.
          slots: `Int[B L]` where each new token is kept; what has a slot from S on is not kept. None: the
            first L of an empty cache.
          types: `Int[B L]` token types, of a model that has them; None: all 0.
          memory: `Float[B M D]`, the `hidden` of an encoder.
          memory_segments: `Int[B M]` its segments: a position reads those of its own segment's number, with a
            cache all but padding; None: each row is one segment without padding.
          deterministic: no dropout. Otherwise `rngs={"dropout": key}` is needed where a rate is not 0.
          intermediates: whether to return them; attention is then not fused.

        Returns:
          `Output`.

        Raises:
          ValueError: if not exactly one of tokens and embeddings is given, positions are missing or
            misshapen, rows are longer than the table of learned positions, a cached call lacks what it
            needs, or a memory is missing or not read.
        """
        config = self.config.resolved()
        if (tokens is None) == (embeddings is None):
            raise ValueError(
                f"a model reads tokens or embeddings: got {'neither' if tokens is None else 'both'}"
            )
        vectors = self.token_vectors(tokens, segments) if embeddings is None else embeddings
        shape = vectors.shape[:2]
        if cache is not None:
            check_cached(config, cache, slots, positions, attention_mask, segments)
        check_memory(config, cache, memory)
        given = positions
        positions = resolve_positions(config, shape, tokens, segments, positions)
        in_full = cache is None or attention_mask is None
        if cache is not None:
            cache = cache._replace(positions=write_positions(cache, positions, slots))
        if in_full:
            scope = full_scope(config, positions, segments, attention_mask)
        else:
            scope = cached_scope(config, positions, attention_mask, cache)
        if isinstance(config.position, Relative):
            scope = scope._replace(bias=self._distance_bias(given, shape, None if in_full else cache))
        is_kept = cache is not None and cache.memory is not None
        if config.cross_attention:
            seen = cache.memory.segments if is_kept else memory_segments
            mask = memory_mask(segments, seen, is_cached=cache is not None)
            scope = scope._replace(memory=memory, memory_mask=mask)
        start = self.embeddings(vectors, positions, deterministic, types)
        kept = Kept(None if cache is None else cache.layers, cache.memory.layers if is_kept else None)
        stack = self._scanned if config.scan_layers else self._unrolled
        flags = (deterministic, intermediates, in_full)
        hidden, traces, news = stack(config, start, scope, kept, slots, flags)
        hidden = self.final_norm(hidden) if config.final_norm else hidden
        if cache is not None:
            cache = with_memory(cache._replace(layers=news.layers), news.memory, memory, memory_segments)
        return Output(hidden, _named(start, traces) if intermediates else None, cache)

    def _distance_bias(self, positions, shape, cache: Cache | None) -> Float[Array, " #B N L S"]:
        if cache is not None:
            return self.distances(positions, cache.positions)
        if positions is None:
            # Within a segment, tokens are as far from each other as their places in the row.
            positions = jnp.arange(shape[1], dtype=jnp.int32)[None]
        return self.distances(positions, positions)

    def _unrolled(self, config, hidden, scope, kept, slots, flags):
        results = []
        block = nn.remat(Block) if config.remat else Block
        for layer in range(config.depth):
            module = block(config, *flags, layer, name=block_name(layer))
            own, memory = (None if layers is None else layers[layer] for layers in kept)
            hidden, found = module(hidden, scope, own, slots, None, memory)
            results.append(found)
        traces, layers, memory = (list(part) for part in zip(*results, strict=True))
        return hidden, traces, Kept(tuple(layers), tuple(memory))

    def _scanned(self, config, hidden, scope, kept, slots, flags):
        stack = nn.scan(
            # A scan already keeps the two passes apart, which remat would otherwise do at a cost.
            nn.remat(Block, prevent_cse=False) if config.remat else Block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, 0, nn.broadcast, 0, 0),
            length=config.depth,
        )
        module = stack(config, *flags, name="blocks")
        numbers = jnp.arange(config.depth, dtype=jnp.int32)
        hidden, (stacked, layers, memory) = module(hidden, scope, kept.layers, slots, numbers, kept.memory)
        traces = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(config.depth)]
        return hidden, traces, Kept(layers, memory)


def block_name(layer: int) -> str:
    """The name of a block among parameters and intermediates."""
    return f"block_{layer:02d}"


def _named(start: Array, traces: list[BlockTrace]) -> dict[str, Array]:
    named = {"embeddings.hidden": start}
    for layer, trace in enumerate(traces):
        named[f"{block_name(layer)}.hidden"] = trace.hidden
        named[f"{block_name(layer)}.attention.probs"] = trace.probs
        if trace.cross_probs is not None:
            named[f"{block_name(layer)}.cross_attention.probs"] = trace.cross_probs
    return named
