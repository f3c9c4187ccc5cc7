"""Contexts as paths of a tree on the host: a prefix that texts share is stored once.

A node lives as long as a state, a descendant or `CacheSlots` refers to it. `CacheSlots` decides which nodes
have slots of the cache. The least recently used node loses its slot first; a node always counts as used after
its descendants, so that the nodes with slots form whole paths from the root.
"""

import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from jaxlm.errors import UsageError


class Node:
    """A token after its ancestors; the root stands for the empty context.

    Attributes:
      parent: the node before it; None for the root.
      token: its id.
      depth: how many tokens its path holds, including this one.
      slot: the slot of the cache with its keys and values; None without one.
    """

    __slots__ = ("__weakref__", "_children", "depth", "parent", "slot", "token")

    def __init__(self, parent: "Node | None", token: int) -> None:
        self.parent, self.token = parent, token
        self.slot: int | None = None
        self.depth = 0 if parent is None else parent.depth + 1
        self._children: weakref.WeakValueDictionary[int, Node] = weakref.WeakValueDictionary()

    def child(self, token: int) -> "Node":
        """Returns the node of one more token: the existing one, or a new one."""
        node = self._children.get(token)
        if node is None:
            node = self._children[token] = Node(self, token)
        return node

    def descend(self, tokens: Iterable[int]) -> "Node":
        """Returns the node that a path of tokens from here leads to."""
        node = self
        for token in tokens:
            node = node.child(token)
        return node

    def path(self) -> "Iterator[Node]":
        """Yields this node and its ancestors without the root."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


class CacheSlots:
    """The slots of a cache and the nodes that hold them; the least recently used nodes lose theirs first.

    Example:
      >>> from jaxlm.decoding._token_tree import CacheSlots, Node
      >>> root, slots = Node(None, -1), CacheSlots(2)
      >>> first, second = root.descend([5, 6]), root.descend([7])
      >>> [node.token for node in slots.claim([first])]
      [5, 6]
      >>> [node.token for node in slots.claim([second])]  # 6 loses its slot: 5 was used after its child
      [7]
      >>> first.slot is None, first.parent.slot, second.slot
      (True, 0, 1)
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(num_slots - 1, -1, -1))
        self._held: OrderedDict[Node, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def count_fitting(self, nodes: Sequence[Node]) -> int:
        """Returns how many of the first nodes, at least one, have paths that fit into the slots together."""
        needed: set[Node] = set()
        for count, node in enumerate(nodes):
            needed.update(node.path())
            if len(needed) > self.num_slots:
                return max(count, 1)
        return len(nodes)

    def claim(self, nodes: Sequence[Node]) -> list[Node]:
        """Gives a slot to every node on these paths, and returns those that had none, ancestors first.

        Args:
          nodes: the ends of the paths.

        Raises:
          UsageError: if the paths need more slots than there are.
        """
        needed = {ancestor: None for node in nodes for ancestor in node.path()}
        if len(needed) > self.num_slots:
            raise UsageError(
                f"contexts of {len(needed)} tokens need as many slots: got num_slots={self.num_slots}; "
                "raise it or shorten them"
            )
        deepest_first = sorted(needed, key=lambda node: -node.depth)
        for node in deepest_first:
            if node.slot is not None:
                self._held.move_to_end(node)
        news = [node for node in reversed(deepest_first) if node.slot is None]
        for node in news:
            node.slot = self._free.pop() if self._free else self._evict()
        for node in deepest_first:
            self._held[node] = None
            self._held.move_to_end(node)
        return news

    def clear(self) -> None:
        """Frees all slots, including those that a failed call gave to nodes."""
        for node in self._held:
            node.slot = None
        self._held.clear()
        self._free = list(range(self.num_slots - 1, -1, -1))

    def _evict(self) -> int:
        oldest, _ = self._held.popitem(last=False)
        slot = oldest.slot
        if slot is None:
            raise AssertionError("a node among those that hold slots has none")
        oldest.slot = None
        return slot
