"""A causal LM and one cache that every context shares: next-token log-probs of many contexts in one call.

All contexts lie in one row of the cache, as the tree that they are: what two begin with is read and kept
once, and a call reads the new tokens of all contexts asked for, each under a mask of its own path.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.decoding._gathering import Gatherer
from jaxlm.decoding._steps import has_encoder
from jaxlm.decoding._token_tree import CacheSlots, Node
from jaxlm.errors import UsageError
from jaxlm.io import fits
from jaxlm.typing import Array, Bool, Float, Int


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
        self._next_id = getattr(model.config.position, "next_id", None)
        self._root = Node(None, -1, 0)
        # Two locks, so that nobody waits for the device who only names a context.
        self._device, self._tree = threading.Lock(), threading.Lock()
        self._gatherer = Gatherer(self.log_probs)
        self._results: OrderedDict[Node, np.ndarray] = OrderedDict()
        self._slots = CacheSlots(num_slots)
        self._cache: models.Cache | None = models.empty_cache(model.config, 1, num_slots)

    def node(self, context: Sequence[int], after: Node | None = None) -> Node:
        """Returns the node of a context, or of more tokens after a node."""
        with self._tree:
            return (self._root if after is None else after).descend(context, self._next_id)

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
            while missing:
                count = self._slots.fitting(missing[: self.max_batch])
                found.update(zip(missing[:count], self._compute(missing[:count]), strict=True))
                missing = missing[count:]
            self._remember(found)
            return [found[node] for node in nodes]

    async def log_probs_async(self, node: Node) -> np.ndarray:
        """Returns `log_probs` of one context; awaits under way at once share calls of the device."""
        return await self._gatherer.log_probs(node)

    def _compute(self, nodes: list[Node]) -> list[np.ndarray]:
        """Reads what is new of these contexts, and their last tokens in any case, whose logits are wanted."""
        try:
            reads, computed = self._read(nodes)
            # Each a copy of its own: a view would keep the padded rows for as long as it is remembered.
            rows = [row.copy() for row in np.asarray(computed)[: len(nodes)]]
        except BaseException:
            # Slots were given to nodes that may not have been read, and the cache was given away to the call.
            self._slots.clear()
            self._cache = None
            raise
        old = self.counters
        self.counters = old._replace(
            calls=old.calls + 1,
            batch_sizes=(*old.batch_sizes, len(nodes))[-1024:],
            tokens_read=old.tokens_read + reads,
        )
        for row in rows:
            row.flags.writeable = False
        return rows

    def _read(self, nodes: list[Node]) -> tuple[int, jax.Array]:
        """Returns how many tokens were read, and the log-probs after the nodes and those that fill up."""
        if self._cache is None:
            self._cache = models.empty_cache(self.model.config, 1, self._slots.num_slots)
        news = self._slots.claim(nodes)
        # Ancestors first, whether they are new or asked for: each row of the mask extends its parent's.
        reads = sorted({*news, *nodes}, key=lambda node: node.depth)
        computed, self._cache = read_tree(self.model, self.params, self._cache, *self._arrays(reads, nodes))
        return len(reads), computed

    def _arrays(self, reads: list[Node], nodes: list[Node]) -> tuple[jax.Array, ...]:
        """What `read_tree` takes: tokens, positions, slots, mask, and which of them are asked for."""
        num_slots = self._slots.num_slots
        # The questions' number follows from the tokens': a program for every pair would be many.
        length = min(ops.coarse_bucket(len(reads)), num_slots)
        num_wanted = min(length, self.max_batch)
        place = {node: index for index, node in enumerate(reads)}
        tokens, slots = np.zeros((1, length), np.int32), np.full((1, length), num_slots, np.int32)
        pairs = () if self._next_id is None else (2,)
        positions = np.zeros((1, length, *pairs), np.int32)
        granted = np.zeros((1, 1, length, num_slots), bool)
        for index, node in enumerate(reads):
            tokens[0, index], slots[0, index], positions[0, index] = node.token, node.slot, node.position
            parent = place.get(node.parent)
            if parent is None:
                granted[0, 0, index, [ancestor.slot for ancestor in node.path()]] = True
            else:
                granted[0, 0, index] = granted[0, 0, parent]
                granted[0, 0, index, node.slot] = True
        wanted = np.zeros(num_wanted, np.int32)
        wanted[: len(nodes)] = [place[node] for node in nodes]
        return tuple(map(jnp.asarray, (tokens, positions, slots, granted, wanted)))

    def _remember(self, found: dict[Node, np.ndarray]) -> None:
        for node, log_probs in found.items():
            self._results[node] = log_probs
            self._results.move_to_end(node)
        while len(self._results) > self.max_results:
            self._results.popitem(last=False)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="cache")
def read_tree(
    model: nn.Module,
    params: Mapping[str, Any],
    cache: models.Cache,
    tokens: Int[Array, "1 L"],
    positions: Int[Array, "1 L"] | Int[Array, "1 L 2"],
    slots: Int[Array, "1 L"],
    granted: Bool[Array, "1 1 L S"],
    wanted: Int[Array, " R"],
) -> tuple[Float[Array, "R V"], models.Cache]:
    """Reads tokens into their slots and returns the float32 log-probs after the wanted ones, and the cache.

    Args:
      model: a causal LM.
      params: its parameters.
      cache: of one row; its memory is used again.
      tokens: `Int[1 L]`.
      positions: as the model takes them.
      slots: `Int[1 L]`, S where nothing is to be kept.
      granted: `Bool[1 1 L S]` which slots each token reads.
      wanted: `Int[R]` indices into L.
    """
    inputs = models.Inputs(tokens=tokens, positions=positions, attention_mask=granted)
    output = model.apply({"params": params}, inputs, cache=cache, slots=slots)
    logits = model.apply({"params": params}, output.hidden[0, wanted], method="logits")
    return jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1), output.cache
