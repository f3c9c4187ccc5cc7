"""Long texts in windows: parts of the tree of a text's stems, each with no more tokens than the model reads.

A window begins with a token of the text's canonical ids, and holds the stems that go on from it. Every byte
gets its probability in one window, and so does the text's end, which is counted like a byte here: a symbol.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np

from jaxlm.decoding.bytes._stem_tree import NO_PARENT, StemTree
from jaxlm.errors import UsageError
from jaxlm.io import matches_type

# What is read before the tokens of a window that is not the first: nothing, or the opening once more.
WindowOpening = Literal["document", "window"]
LongText = Literal["window", "error"]


class WindowSettings(NamedTuple):
    """How long texts are divided.

    Attributes:
      length: the most tokens that a window reads.
      context: how many tokens every window after the first reads, at least, before its first prediction.
      opening: ids before every window; `()`: before the first one alone.
    """

    length: int
    context: int
    opening: tuple[int, ...] = ()


class StemWindow(NamedTuple):
    """A part of the stems of a text, and the symbols that get their probability from it.

    Attributes:
      tree: the stems, whose lengths are counted from `start`.
      start: how many bytes of the text lie before the first stem.
      first: how many bytes are given: those before get their probability in other windows.
      stop: how many bytes of the text the window reads, those before `start` included.
      has_end: whether the text's end gets its probability here.
    """

    tree: StemTree
    start: int
    first: int
    stop: int
    has_end: bool


def checked_windows(
    longest: int,
    opening: tuple[int, ...],
    *,
    window: int | None,
    context: int | None,
    bos: WindowOpening,
) -> WindowSettings:
    """Returns the settings with what is not given filled in.

    Args:
      longest: the most tokens that the model reads.
      opening: ids before every text.
      window: the most tokens that a window reads; None: `longest`.
      context: the fewest tokens before a prediction; None: half a window.
      bos: whether the opening is read before every window.

    Raises:
      UsageError: if a number is out of range or there is no such choice.
    """
    length = longest if window is None else window
    if not matches_type(length, int) or not max(1, len(opening)) <= length <= longest:
        least = max(1, len(opening))
        raise UsageError(f"window: this model reads windows of {least} to {longest} tokens: got {window!r}")
    least = max(length // 2, 1) if context is None else context
    if not matches_type(least, int) or not 1 <= least <= length:
        raise UsageError(f"context: expected 1 to the window's {length} tokens, got {context!r}")
    if bos not in get_args(WindowOpening):
        raise UsageError(f"bos is one of {', '.join(get_args(WindowOpening))}: got {bos!r}")
    return WindowSettings(length, least, opening if bos == "window" else ())


def windows_of(tree: StemTree, num_bytes: int, settings: WindowSettings) -> Iterator[StemWindow]:
    """Yields the windows of a text, a single one if its stems fit.

    A window after the first reads as many tokens as fit: at least `context` before its first prediction, or
    fewer where the stems of one piece of the text would not fit otherwise.

    Args:
      tree: all stems of the text.
      num_bytes: of the text, with the tokenizer's prefix.
      settings: how it is divided.

    Raises:
      UsageError: if the stems behind one token have more tokens than a window.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding.bytes._byte_windows import WindowSettings, windows_of
      >>> from jaxlm.decoding.bytes._canonical import CanonicalEncoder
      >>> from jaxlm.decoding.bytes._stem_tree import stem_tree
      >>> encoder, text = CanonicalEncoder(tokenizers.bytes_tokenizer()), b"0123456789"
      >>> tree = stem_tree(encoder, text, opening=(258,))
      >>> windows = list(windows_of(tree, 10, WindowSettings(4, 3)))
      >>> # The last token that a window reads predicts the byte after it, or the end.
      >>> read = [slice(window.start - 1, window.stop - (not window.has_end)) for window in windows]
      >>> [(text[part], window.first) for part, window in zip(read[1:], windows[1:])]
      [(b'1234', 4), (b'3456', 6), (b'5678', 8), (b'6789', 10)]
    """
    length, lead = settings.length, len(settings.opening)
    deepest = _deepest(tree, num_bytes)
    done = int(np.searchsorted(deepest, length, side="left")) - 1
    num_symbols = num_bytes + 1
    if done >= num_symbols:
        yield StemWindow(tree, 0, 0, num_bytes, True)
        return
    yield StemWindow(_part(tree, tree.root, done, ()), 0, 0, done, False)
    path = _path(tree, _last_node(tree))
    is_on_path = np.zeros(tree.num_nodes, np.bool_)
    is_on_path[path] = True
    earliest, first_depth = int(tree.depths[tree.root]) + 1, int(tree.depths[path[0]])
    while done < num_symbols:
        # Both what was read and what comes goes on from this token, and from those before it.
        common = next(node for node in _path(tree, _closed(tree, done))[::-1] if is_on_path[node])
        latest = int(tree.depths[common])
        root = max(earliest, latest - max(settings.context - lead, 1) + 1)
        root = max(root, int(deepest[done + 1]) + lead - length + 1)
        if root > latest:
            raise UsageError(
                f"the tokens behind byte {done} of a text do not fit a window of {length} tokens: give a "
                "larger window"
            )
        stop = int(np.searchsorted(deepest, root + length - lead, side="left")) - 1
        stop = min(stop, num_symbols)
        root = max(earliest, int(deepest[stop]) + lead - length + 1)
        node = path[root - first_depth]
        part = _part(tree, node, stop, settings.opening)
        yield StemWindow(part, int(tree.ends[node]), done, min(stop, num_bytes), stop == num_symbols)
        done = stop


def _deepest(tree: StemTree, num_bytes: int) -> np.ndarray:
    """The depth of the deepest node that the first 0, 1, ... symbols need, `Int[num_bytes + 2]`."""
    deepest = np.full(num_bytes + 2, -1, np.int64)
    np.maximum.at(deepest, _joins(tree), tree.depths)
    return np.maximum.accumulate(deepest)


def _joins(tree: StemTree) -> np.ndarray:
    """The first symbol that each node is needed for; 0 for the opening."""
    joins = np.maximum(tree.sinces, tree.ends + 1)
    joins[: tree.root] = 0
    return joins


def _last_node(tree: StemTree) -> int:
    """The node that spells the most, the latest of several."""
    return int(np.flatnonzero(tree.ends == tree.ends.max())[-1])


def _closed(tree: StemTree, size: int) -> int:
    """The node of the canonical ids of the longest prefix, up to a size, that has any."""
    known = int(np.searchsorted(tree.sinces, size, side="right"))
    ends = np.where(tree.sinces[:known] == tree.ends[:known], tree.ends[:known], -1)
    return int(np.flatnonzero(ends == ends.max())[-1])


def _path(tree: StemTree, node: int) -> list[int]:
    """The nodes from the first one with a token to this one."""
    path = []
    while node != NO_PARENT and tree.depths[node] >= 0:
        path.append(node)
        node = int(tree.parents[node])
    return path[::-1]


def _part(tree: StemTree, node: int, stop: int, opening: tuple[int, ...]) -> StemTree:
    """A node, behind the opening, and those behind it that the first `stop` symbols need.

    Args:
      tree: all nodes.
      node: the first one of the part; the root: with what lies before it.
      stop: of the last symbol.
      opening: ids before the node, if it is not the root.
    """
    before = list(range(tree.root)) if node == tree.root else []
    known = int(np.searchsorted(tree.sinces, stop, side="right"))
    joins, number = _joins(tree), {old: new for new, old in enumerate((*before, node), start=len(opening))}
    kept = [*before, node]
    for index in range(node + 1, known):
        if int(tree.parents[index]) in number and joins[index] <= stop:
            number[index] = len(opening) + len(kept)
            kept.append(index)
    lead, old = len(opening), np.array(kept)
    parents = [number.get(int(parent), lead - 1) for parent in tree.parents[old]]
    start, blank = int(tree.ends[node]), np.zeros(lead, np.int32)
    depths = tree.depths[old] - (0 if node == tree.root else tree.depths[node] - lead)
    return StemTree(
        np.concatenate([np.array(opening, np.int32), tree.tokens[old]]),
        np.concatenate([np.arange(lead) - 1, parents]).astype(np.int32),
        np.concatenate([np.arange(lead), depths]).astype(np.int32),
        np.concatenate([blank, tree.ends[old] - start]).astype(np.int32),
        np.concatenate([blank, np.maximum(tree.sinces[old] - start, 0)]).astype(np.int32),
        lead + len(before),
        lead + len(before),
        is_whole=node == tree.root,
    )
