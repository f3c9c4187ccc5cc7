import lzma
import zlib

import numpy as np
import pytest

from jaxlm import data


def test_the_sizes_are_those_of_the_joined_text():
    texts = [f"line {number} é of many\n" for number in range(500)]
    joined = "".join(texts).encode()
    sizes = data.compressed_bits_per_byte(texts)
    assert sizes["zlib"] == 8 * len(zlib.compress(joined, 9)) / len(joined)
    assert sizes["xz"] == 8 * len(lzma.compress(joined, preset=9)) / len(joined)


def test_noise_does_not_compress():
    rng = np.random.default_rng(0)
    text = "".join(map(chr, rng.integers(32, 127, 20_000)))
    # 95 equally likely characters hold log2(95) = 6.57 bits each.
    assert 6.5 < min(data.compressed_bits_per_byte([text]).values()) < 7.5


def test_nothing_to_compress_is_said():
    with pytest.raises(ValueError, match="expected text to compress"):
        data.compressed_bits_per_byte(["", ""])
