"""Values that carry their SHA-256 come back as they were, or are refused."""

import json

import pytest

from jaxlm import io

VALUES = {"counts": {"records": 3, "ě": [1.5, None, "\udce9"]}, "format": 2}


def test_what_is_sealed_comes_back():
    assert io.unseal(json.loads(json.dumps(io.seal(VALUES)))) == VALUES
    assert io.unseal(VALUES) == VALUES
    with pytest.raises(io.DamagedError, match="it has no SHA-256"):
        io.unseal(VALUES, needed=True)
    with pytest.raises(io.DamagedError, match="expected named values, got list"):
        io.unseal([VALUES])
    # Tuples are lists when they are read back.
    assert io.unseal(json.loads(json.dumps(io.seal({"stands": [(1, 2)]})))) == {"stands": [[1, 2]]}


def test_every_flipped_bit_of_sealed_values_is_seen_or_changes_none():
    text = json.dumps(io.seal(VALUES)).encode()
    for bit in range(8 * len(text)):
        damaged = bytearray(text)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = io.unseal(json.loads(damaged))
        except (io.DamagedError, ValueError):
            continue
        assert VALUES.items() <= found.items()
