"""A causal LM and one cache that every context shares: next-token log-probs of many contexts in one call.

All contexts lie in one row of a tree cache: what two begin with is read and kept once, and a call reads the
new tokens of all contexts asked for. What they are called, and which of them are remembered, is decided here;
what has been read of them stays on the device.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import ops
from jaxlm.decoding._cached_rows import has_encoder
from jaxlm.decoding._request_batcher import RequestBatcher
from jaxlm.decoding._token_tree import CacheSlots, Node
from jaxlm.decoding._tree_cache import ROOT, TreeCache, empty_tree, extend_tree, tree_log_probs
from jaxlm.errors import UsageError
from jaxlm.io import fits
from jaxlm.typing import Array, Float, Int


class Counters(NamedTuple):
    """What a `CachedLM` has done.

    Attributes:
      requests: distributions asked for.
      hits: of these, found without the device.
      calls: of the device.
      batch_sizes: distributions computed in each of the last calls.
      tokens_read: by the model, in all calls.
    """

    requests: int = 0
    hits: int = 0
    calls: int = 0
    batch_sizes: tuple[int, ...] = ()
    tokens_read: int = 0


class CachedLM:
    """A causal LM that remembers, within bounds, what it has read. Threads may share it.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import CachedLM
      >>> config = models.TransformerConfig(
      ...     vocab_size=7, width=8, depth=1, num_heads=2, causal=True, max_length=16
      ... )
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> lm = CachedLM(model, params)
      >>> first, second = (lm.node(context) for context in ([1, 2, 3], [1, 2, 4]))
      >>> [log_probs.shape for log_probs in lm.log_probs([first, second])]
      [(7,), (7,)]
      >>> lm.counters.calls, lm.counters.tokens_read  # 1, 2, 3 and 4: the stem is read once
      (1, 4)
    """

    def __init__(
        self,
        model: nn.Module,
        params: Mapping[str, Any],
        *,
        bos_id: int | None = None,
        num_slots: int | None = None,
        max_batch: int = 64,
        max_results: int = 256,
    ) -> None:
        """Allocates the cache.

        Args:
          model: a causal LM.
          params: its parameters.
          bos_id: what contexts begin with where none is given; None: nothing.
          num_slots: how many tokens are remembered, at least the model's context; None: twice that.
          max_batch: how many distributions one call computes at most.
          max_results: how many distributions are remembered.

        Raises:
          UsageError: if the model is not causal or a bound is too small.
        """
        context = model.config.max_length
        num_slots = 2 * context if num_slots is None else num_slots
        if has_encoder(model):
            raise UsageError("an encoder-decoder goes on with no text and writes another; use generate")
        if not model.config.causal:
            raise UsageError("a masked LM has no next token; use a causal model")
        bounds = (num_slots, max_batch, max_results)
        if not all(fits(one, int) for one in bounds) or num_slots < context or min(bounds) < 1:
            raise UsageError(
                f"the cache holds a context of {context} tokens, a batch and a result at least: "
                f"got num_slots={num_slots}, max_batch={max_batch}, max_results={max_results}"
            )
        self.model, self.params, self.bos_id = model, params, bos_id
        self.max_batch, self.max_results = max_batch, max_results
        self.counters = Counters()
        self._root = Node(None, -1)
        # Two locks, so that nobody waits for the device who only names a context.
        self._device, self._names = threading.Lock(), threading.Lock()
        self._gatherer = RequestBatcher(self.log_probs)
        self._results: OrderedDict[Node, np.ndarray] = OrderedDict()
        self._slots = CacheSlots(num_slots)
        self._tree: TreeCache | None = empty_tree(model, 1, num_slots)

    def __reduce__(self) -> tuple:
        """What is pickled is the model, its parameters and the bounds; what has been read is read anew."""
        bounds = {"num_slots": self._slots.num_slots}
        bounds |= {name: getattr(self, name) for name in ("bos_id", "max_batch", "max_results")}
        return functools.partial(CachedLM, **bounds), (self.model, self.params)

    def node(self, context: Sequence[int], after: Node | None = None) -> Node:
        """Returns the node of a context, or of more tokens after a node."""
        with self._names:
            return (self._root if after is None else after).descend(context)

    def log_probs(self, nodes: Sequence[Node]) -> list[np.ndarray]:
        """Returns the float32 log-probs `[V]` of the token after each context, in nats; not to be written to.

        Args:
          nodes: contexts of one token or more.
        """
        with self._device:
            found = {node: self._results[node] for node in nodes if node in self._results}
            missing = list(dict.fromkeys(node for node in nodes if node not in found))
            old = self.counters
            self.counters = old._replace(
                requests=old.requests + len(nodes), hits=old.hits + len(nodes) - len(missing)
            )
            for some, computed in self._computed(missing):
                # Each a copy of its own: a view would keep the padded rows for as long as it is remembered.
                rows = [row.copy() for row in np.asarray(computed)[: len(some)]]
                for row in rows:
                    row.flags.writeable = False
                found.update(zip(some, rows, strict=True))
            self._remember(found)
            return [found[node] for node in nodes]

    def log_probs_batch(self, nodes: Sequence[Node]) -> jax.Array:
        """Returns the same as `Float32[N V]` on the device, in the order of the nodes: none goes to the host.

        Nothing is remembered but what has been read: asked again, it costs a call of the head.

        Args:
          nodes: N contexts of one token or more, one at least.
        """
        with self._device:
            unique = list(dict.fromkeys(nodes))
            self.counters = self.counters._replace(requests=self.counters.requests + len(nodes))
            parts = [computed[: len(some)] for some, computed in self._computed(unique)]
        rows = parts[0] if len(parts) == 1 else jnp.concatenate(parts)
        if len(unique) == len(nodes):
            return rows
        number = {node: index for index, node in enumerate(unique)}
        return rows[jnp.asarray([number[node] for node in nodes])]

    async def log_probs_async(self, node: Node) -> np.ndarray:
        """Returns `log_probs` of one context; awaits under way at once share calls of the device."""
        return await self._gatherer.log_probs(node)

    def _computed(self, nodes: list[Node]) -> Iterator[tuple[list[Node], jax.Array]]:
        """Yields the nodes in portions, each with its log-probs and rows that fill up behind them."""
        while nodes:
            count = self._slots.fitting(nodes[: self.max_batch])
            some, nodes = nodes[:count], nodes[count:]
            yield some, self._compute(some)

    def _compute(self, nodes: list[Node]) -> jax.Array:
        """Reads what is new of these contexts, and returns the log-probs after them, some rows more."""
        try:
            news = self._slots.claim(nodes)
            computed = jax.block_until_ready(self._read(news, nodes))
        except BaseException:
            # Slots were given to nodes that may not have been read, and the tree was given away to the call.
            self._slots.clear()
            self._tree = None
            raise
        old = self.counters
        self.counters = old._replace(
            calls=old.calls + 1,
            batch_sizes=(*old.batch_sizes, len(nodes))[-1024:],
            tokens_read=old.tokens_read + len(news),
        )
        return computed

    def _read(self, news: list[Node], nodes: list[Node]) -> jax.Array:
        if self._tree is None:
            self._tree = empty_tree(self.model, 1, self._slots.num_slots)
        # The questions' number follows from the tokens': a program for every pair would be many.
        length = min(ops.coarse_bucket(max(len(news), len(nodes))), self._slots.num_slots)
        wanted = np.zeros((1, min(length, self.max_batch)), np.int32)
        wanted[0, : len(nodes)] = [node.slot for node in nodes]
        if not news:
            return tree_log_probs(self.model, self.params, self._tree, jnp.asarray(wanted))[0]
        arrays = (*_arrays(news, length, self._slots.num_slots), wanted)
        computed, self._tree = read_tree(self.model, self.params, self._tree, *map(jnp.asarray, arrays))
        return computed

    def _remember(self, found: dict[Node, np.ndarray]) -> None:
        for node, log_probs in found.items():
            self._results[node] = log_probs
            self._results.move_to_end(node)
        while len(self._results) > self.max_results:
            self._results.popitem(last=False)


def _arrays(news: list[Node], length: int, num_slots: int) -> tuple[np.ndarray, ...]:
    """What `extend_tree` takes of new nodes: parents, tokens and slots, filled up to a length."""
    parents, tokens = np.full((1, length), ROOT, np.int32), np.zeros((1, length), np.int32)
    slots = np.full((1, length), num_slots, np.int32)
    for index, node in enumerate(news):
        tokens[0, index], slots[0, index] = node.token, node.slot
        if node.parent.slot is not None:  # the root has none
            parents[0, index] = node.parent.slot
    return parents, tokens, slots


@functools.partial(jax.jit, static_argnames="model", donate_argnames="tree")
def read_tree(
    model: nn.Module,
    params: Mapping[str, Any],
    tree: TreeCache,
    parents: Int[Array, "1 L"],
    tokens: Int[Array, "1 L"],
    slots: Int[Array, "1 L"],
    wanted: Int[Array, "1 R"],
) -> tuple[Float[Array, "R V"], TreeCache]:
    """Reads new nodes and returns the float32 log-probs after the wanted ones, and the tree, in one program.

    Args:
      model: a causal LM.
      params: its parameters.
      tree: of one row; its memory is used again.
      parents: as `extend_tree` takes them.
      tokens: `Int[1 L]`.
      slots: `Int[1 L]`.
      wanted: `Int[1 R]` slots of new nodes or old ones.
    """
    tree = extend_tree(model, params, tree, parents, tokens, slots)
    return tree_log_probs(model, params, tree, wanted)[0], tree
