"""Contexts as paths of a tree: tokens that texts share are one node, whose keys and values are kept once.

A node lives as long as a state, a descendant or the store of slots holds it; which nodes have slots is the
store's business. The least recently used leave first, and a node is never older than its descendants, so
what is kept is always whole paths from the root.
"""

import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from jaxlm.errors import UsageError


class Node:
    """A token after others; the root is none.

    Attributes:
      parent: what it follows; None for the root.
      token: its id.
      depth: how many tokens the path holds, this one included.
      slot: where its keys and values are kept, or None.
    """

    __slots__ = ("__weakref__", "_children", "depth", "parent", "slot", "token")

    def __init__(self, parent: "Node | None", token: int) -> None:
        self.parent, self.token, self.slot = parent, token, None
        self.depth = 0 if parent is None else parent.depth + 1
        self._children: weakref.WeakValueDictionary[int, Node] = weakref.WeakValueDictionary()

    def child(self, token: int) -> "Node":
        """Returns the node of one more token; the same one as long as it lives."""
        found = self._children.get(token)
        if found is None:
            found = self._children[token] = Node(self, token)
        return found

    def descend(self, tokens: Iterable[int]) -> "Node":
        """Returns the node at the end of a path."""
        node = self
        for token in tokens:
            node = node.child(token)
        return node

    def path(self) -> "Iterator[Node]":
        """Yields this node and its ancestors, the root left out."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


class CacheSlots:
    """Which nodes hold which slots of a cache, the least recently used giving theirs up.

    Example:
      >>> from jaxlm.decoding._token_tree import CacheSlots, Node
      >>> root, slots = Node(None, -1), CacheSlots(2)
      >>> first, second = root.descend([5, 6]), root.descend([7])
      >>> [node.token for node in slots.claim([first])]
      [5, 6]
      >>> [node.token for node in slots.claim([second])]  # 6 makes room: 5 was used later than its child
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

    def fitting(self, nodes: Sequence[Node]) -> int:
        """Returns how many of the first of these nodes, at least one, have room for their paths together."""
        needed: set[Node] = set()
        for count, node in enumerate(nodes):
            needed.update(node.path())
            if len(needed) > self.num_slots:
                return max(count, 1)
        return len(nodes)

    def claim(self, nodes: Sequence[Node]) -> list[Node]:
        """Gives a slot to every node on these paths, and returns those that had none, ancestors first.

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
        """Takes every slot back, also from nodes that were given one in a call that failed."""
        for node in self._held:
            node.slot = None
        self._held.clear()
        self._free = list(range(self.num_slots - 1, -1, -1))

    def _evict(self) -> int:
        oldest, _ = self._held.popitem(last=False)
        slot, oldest.slot = oldest.slot, None
        return slot
