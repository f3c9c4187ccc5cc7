"""Texts of any length as a model reads them: the windows of each, and the probabilities of their prefixes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxlm import models
from jaxlm.decoding.bytes._byte_model import ByteModel
from jaxlm.decoding.bytes._byte_windows import (
    LongText,
    StemWindow,
    WindowOpening,
    WindowSettings,
    checked_windows,
    windows_of,
)
from jaxlm.decoding.bytes._states import as_bytes
from jaxlm.decoding.bytes._stem_readings import (
    StemReading,
    check_tree_fits,
    checked_tree,
    read_trees,
)
from jaxlm.decoding.bytes._stem_tree import StemSums, stem_sums
from jaxlm.devices import local_layout
from jaxlm.errors import UsageError


class WindowOptions(NamedTuple):
    """How texts are read; the fields are the arguments of `score_bytes`."""

    long: LongText = "window"
    window: int | None = None
    context: int | None = None
    bos: WindowOpening = "document"
    devices: Any = None


class WindowReading(NamedTuple):
    """A window of a text, and what the model says of it.

    Attributes:
      number: that of the text.
      window: its stems.
      reading: what the model says behind each of them.
      sums: the probabilities of the window's prefixes, each counted from the window's start.
    """

    number: int
    window: StemWindow
    reading: StemReading
    sums: StemSums


def read_windows(
    byte_model: ByteModel,
    texts: Sequence[bytes | str],
    options: WindowOptions,
    *,
    next_bytes: bool = False,
) -> Iterator[WindowReading]:
    """Yields every window of each text, those of like sizes together.

    Args:
      byte_model: from `make_byte_model`.
      texts: bytes, or texts, whose UTF-8 is meant.
      options: how they are read.
      next_bytes: whether the masses of all next bytes are computed.

    Raises:
      UsageError: as `score_bytes`.
    """
    if options.long not in ("window", "error"):
        raise UsageError(f"long is one of window, error: got {options.long!r}")
    settings = checked_windows(
        models.longest_text(byte_model.model.config),
        byte_model.opening_ids,
        window=options.window,
        context=options.context,
        bos=options.bos,
    )
    layout, most = local_layout(options.devices), byte_model.settings.max_stems
    numbers, windows, trees = [], [], []
    for number, text in enumerate(map(as_bytes, texts)):
        which = "the text" if len(texts) == 1 else f"text {number}"
        own = _windows(byte_model, text, settings, options.long, which)
        numbers += [number] * len(own)
        windows += own
        data = byte_model.prefix + text
        trees += [(data[window.start : window.stop], window.tree) for window in own]
    for index, reading in read_trees(byte_model, trees, layout, next_bytes=next_bytes):
        length = windows[index].stop - windows[index].start
        sums = stem_sums(windows[index].tree, reading.masses, reading.columns, length, most)
        yield WindowReading(numbers[index], windows[index], reading, sums)


def _windows(
    byte_model: ByteModel, text: bytes, settings: WindowSettings, long: LongText, which: str
) -> list[StemWindow]:
    tree = checked_tree(byte_model, text, which)
    if long == "error":
        check_tree_fits(tree, settings.length, which)
    return list(windows_of(tree, len(byte_model.prefix) + len(text), settings))
