"""The bits per byte of general compressors, to compare a model's with."""

import lzma
import zlib
from collections.abc import Iterable

from jaxlm import tokenizers
from jaxlm.errors import CorpusError


def compressed_bits_per_byte(texts: Iterable[str]) -> dict[str, float]:
    """Returns the bits per byte that zlib and xz need for the concatenated texts, both at level 9.

    The value is `8 * compressed bytes / UTF-8 bytes`. The compressors see only these texts, while a model has
    seen its training split.

    Args:
      texts: the texts, for example `split_texts(config, "test")`. A single string is one text.

    Returns:
      The bits per byte under the keys "zlib" and "xz".

    Raises:
      CorpusError: there are no texts, or all of them are empty.

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
