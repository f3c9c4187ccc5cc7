"""A causal LM with one cache for all contexts: next-token log-probs of many contexts in one call.

All contexts are in one row of a tree cache: a prefix that two contexts share is computed and stored once, and
one call of the device reads the new tokens of all contexts that were asked for. The host keeps the names of
the contexts and decides which of them are remembered; their keys and values stay on the device.
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
from jaxlm.io import matches_type
from jaxlm.typing import Array, Float, Int


class Counters(NamedTuple):
    """How much a `CachedLM` has done so far.

    Attributes:
      requests: how many distributions were asked for.
      hits: how many of these distributions were remembered, so that the device was not called.
      calls: how often the device was called.
      batch_sizes: for each of the last 1024 calls, how many distributions the call computed.
      tokens_read: how many tokens the model has read in all calls.
    """

    requests: int = 0
    hits: int = 0
    calls: int = 0
    batch_sizes: tuple[int, ...] = ()
    tokens_read: int = 0


class CachedLM:
    """A causal LM that remembers, within bounds, the contexts that it has read.

    Contexts form a tree: a node stands for a context, and its children for the contexts that are one token
    longer. The keys and values of a common prefix are computed once. Threads may share one `CachedLM`.

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
          params: the model's parameters.
          bos_id: the token with which `initial_state` begins if no context is given; None: it begins with no
            token.
          num_slots: how many tokens the cache holds keys and values of, at least the model's `max_length`;
            None: twice the `max_length`.
          max_batch: the largest number of distributions that one call of the device computes.
          max_results: how many distributions are remembered at most.

        Raises:
          UsageError: if the model is not causal or a bound is too small.
        """
        context = int(model.config.max_length)
        num_slots = 2 * context if num_slots is None else num_slots
        if has_encoder(model):
            raise UsageError("an encoder-decoder does not continue a text, it writes a new one; use generate")
        if not model.config.causal:
            raise UsageError("a masked LM has no next token; use a causal model")
        bounds = (num_slots, max_batch, max_results)
        if not all(matches_type(bound, int) for bound in bounds) or num_slots < context or min(bounds) < 1:
            raise UsageError(
                f"the cache holds a context of {context} tokens, a batch and a result at least: "
                f"got num_slots={num_slots}, max_batch={max_batch}, max_results={max_results}"
            )
        self.model, self.params, self.bos_id = model, params, bos_id
        self.max_batch, self.max_results = max_batch, max_results
        self.counters = Counters()
        self._root = Node(None, -1)
        # Two locks, so that a thread that only names a context does not wait for the device.
        self._device, self._names = threading.Lock(), threading.Lock()
        self._gatherer = RequestBatcher(self.log_probs)
        self._results: OrderedDict[Node, np.ndarray] = OrderedDict()
        self._slots = CacheSlots(num_slots)
        self._tree: TreeCache | None = empty_tree(model, 1, num_slots)

    def __reduce__(self) -> tuple:
        """Pickles the model, its parameters and the bounds; a copy begins with an empty cache."""
        make = functools.partial(
            CachedLM,
            bos_id=self.bos_id,
            num_slots=self._slots.num_slots,
            max_batch=self.max_batch,
            max_results=self.max_results,
        )
        return make, (self.model, self.params)

    def node(self, context: Sequence[int], after: Node | None = None) -> Node:
        """Returns the node that stands for a context; the model reads nothing yet.

        Args:
          context: the ids of the context, or of its end.
          after: the node of the context that the ids continue; None: the ids are the whole context.
        """
        with self._names:
            return (self._root if after is None else after).descend(context)

    def log_probs(self, nodes: Sequence[Node]) -> list[np.ndarray]:
        """Returns the float32 log-probs `[V]` of the token after each context, in nats, as read-only arrays.

        Args:
          nodes: nodes of contexts with at least one token, as `node` returns them.
        """
        with self._device:
            results = {node: self._results[node] for node in nodes if node in self._results}
            missing = list(dict.fromkeys(node for node in nodes if node not in results))
            old = self.counters
            self.counters = old._replace(
                requests=old.requests + len(nodes), hits=old.hits + len(nodes) - len(missing)
            )
            for batch, computed in self._computed(missing):
                # Copies, because a view would keep the whole padded array in memory.
                rows = [row.copy() for row in np.asarray(computed)[: len(batch)]]
                for row in rows:
                    row.flags.writeable = False
                results.update(zip(batch, rows, strict=True))
            self._remember(results)
            return [results[node] for node in nodes]

    def log_probs_batch(self, nodes: Sequence[Node]) -> jax.Array:
        """Returns the log-probs of contexts as one array `Float32[M V]`, which stays on the device.

        The cache remembers only the keys and values of the contexts, not the distributions: asking for them
        again costs a call of the model's head.

        Args:
          nodes: M >= 1 nodes of contexts with at least one token.
        """
        with self._device:
            unique = list(dict.fromkeys(nodes))
            self.counters = self.counters._replace(requests=self.counters.requests + len(nodes))
            parts = [computed[: len(batch)] for batch, computed in self._computed(unique)]
        rows = parts[0] if len(parts) == 1 else jnp.concatenate(parts)
        if len(unique) == len(nodes):
            return rows
        number = {node: index for index, node in enumerate(unique)}
        return rows[jnp.asarray([number[node] for node in nodes])]

    async def log_probs_async(self, node: Node) -> np.ndarray:
        """Returns `log_probs` of one context; coroutines that wait at the same time share a device call."""
        return await self._gatherer.log_probs(node)

    def _computed(self, nodes: list[Node]) -> Iterator[tuple[list[Node], jax.Array]]:
        """Yields the nodes in batches, each with its log-probs; the array may have more rows than nodes."""
        while nodes:
            count = self._slots.count_fitting(nodes[: self.max_batch])
            batch, nodes = nodes[:count], nodes[count:]
            yield batch, self._compute(batch)

    def _compute(self, nodes: list[Node]) -> jax.Array:
        """Reads the new tokens of these contexts and returns the log-probs after them, padded with rows."""
        try:
            news = self._slots.claim(nodes)
            computed = jax.block_until_ready(self._read(news, nodes))
        except BaseException:
            # Nodes may have slots whose keys were not computed, and the call was donated the tree's memory.
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
        # The size of `asked` follows from that of the new tokens, or every pair of sizes would be compiled.
        length = min(ops.coarse_bucket(max(len(news), len(nodes))), self._slots.num_slots)
        asked = np.zeros((1, min(length, self.max_batch)), np.int32)
        asked[0, : len(nodes)] = [node.slot for node in nodes]
        if not news:
            return tree_log_probs(self.model, self.params, self._tree, jnp.asarray(asked))[0]
        # Arrays of the host, which the call itself moves: four transfers before it would take longer.
        arrays = (*_arrays(news, length, self._slots.num_slots), asked)
        computed, self._tree = read_tree(self.model, self.params, self._tree, *arrays)
        return computed

    def _remember(self, results: dict[Node, np.ndarray]) -> None:
        for node, log_probs in results.items():
            self._results[node] = log_probs
            self._results.move_to_end(node)
        while len(self._results) > self.max_results:
            self._results.popitem(last=False)


def _arrays(news: list[Node], length: int, num_slots: int) -> tuple[np.ndarray, ...]:
    """The parents, tokens and slots of new nodes as `extend_tree` takes them, padded to a length."""
    parents, tokens = np.full((1, length), ROOT, np.int32), np.zeros((1, length), np.int32)
    slots = np.full((1, length), num_slots, np.int32)
    for index, node in enumerate(news):
        tokens[0, index], slots[0, index] = node.token, node.slot
        if node.parent is not None and node.parent.slot is not None:  # the root has no slot
            parents[0, index] = node.parent.slot
    return parents, tokens, slots


@functools.partial(jax.jit, static_argnames="model", donate_argnames="tree")
def read_tree(
    model: nn.Module,
    params: Mapping[str, Any],
    tree: TreeCache,
    parents: Int[Array | np.ndarray, "1 L"],
    tokens: Int[Array | np.ndarray, "1 L"],
    slots: Int[Array | np.ndarray, "1 L"],
    asked: Int[Array | np.ndarray, "1 M"],
) -> tuple[Float[Array, "M V"], TreeCache]:
    """Reads new nodes, and returns float32 log-probs after the nodes asked for and the tree, in one program.

    Args:
      model: a causal LM.
      params: its parameters.
      tree: of one row; its memory is used again.
      parents: `Int[1 L]` the parents' slots, -1 for none.
      tokens: `Int[1 L]` the ids of the new nodes.
      slots: `Int[1 L]` their slots.
      asked: `Int[1 M]` slots of new or old nodes.
    """
    tree = extend_tree(model, params, tree, parents, tokens, slots)
    return tree_log_probs(model, params, tree, asked)[0], tree
