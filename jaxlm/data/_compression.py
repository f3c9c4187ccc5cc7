"""What general compressors make of a text: the yardstick beside a model's bits per byte."""

import lzma
import zlib
from collections.abc import Iterable

from jaxlm import tokenizers
from jaxlm.errors import CorpusError


def compressed_bits_per_byte(texts: Iterable[str]) -> dict[str, float]:
    """Returns the bits per byte that zlib and xz need for texts joined end to end, both at level 9.

    `8 * compressed bytes / UTF-8 bytes`. The compressors see nothing but these texts, where a model has seen
    its training split; they are what a reader knows the size of.

    Args:
      texts: e.g. `split_texts(config, "test")`; a string is one.

    Returns:
      "zlib" and "xz", bits per byte.

    Raises:
      CorpusError: there is no byte of text.

    Example:
      >>> from jaxlm.data import compressed_bits_per_byte
      >>> sizes = compressed_bits_per_byte(["to be or not to be, " * 50])
      >>> sizes["zlib"] < 1.0, list(sizes)
      (True, ['zlib', 'xz'])
    """
    zipped, packed = zlib.compressobj(9), lzma.LZMACompressor(preset=9)
    size = {"zlib": 0, "xz": 0}
    total = 0
    for text in tokenizers.as_texts(texts):
        data = text.encode("utf-8", "surrogatepass")
        total += len(data)
        size["zlib"] += len(zipped.compress(data))
        size["xz"] += len(packed.compress(data))
    if not total:
        raise CorpusError("expected text to compress, got none")
    size["zlib"] += len(zipped.flush())
    size["xz"] += len(packed.flush())
    return {name: 8 * compressed / total for name, compressed in size.items()}
