"""A part with a flipped bit is no part, or the same one."""

import random
from io import BytesIO

import pyarrow.parquet as pq
import pytest

from jaxlm import data, io
from jaxlm.scoring.jobs._part_files import PartOrigin, origin_of, read_table, seal_table
from jaxlm.scoring.jobs._parts import Part, encode_part
from tests.scoring.fakes import RECORDS, Fake

PART = Part(3, 0, 24, RECORDS[:24])
SEALED = encode_part(Fake.schema, PART, list(Fake()(RECORDS[:24])), job="a" * 64)


def without_seal():
    file = BytesIO()
    pq.write_table(pq.read_table(BytesIO(SEALED)), file, compression="zstd")
    return file.getvalue()


def flipped(payload, bit):
    changed = bytearray(payload)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def check_flip(payload, bit):
    damaged = flipped(payload, bit)
    origin = origin_of(damaged)
    if origin is not None and origin[:2] == ("a" * 64, 3):
        # The digest alone can be hidden by a flip, which is spent on it.
        assert not origin.is_sealed
        assert read_table(damaged).to_pylist() == read_table(SEALED).to_pylist()


def test_a_flipped_bit_is_seen_or_does_no_harm():
    for bit in random.Random(0).sample(range(8 * len(SEALED)), 400):
        check_flip(SEALED, bit)


@pytest.mark.long
def test_every_flipped_bit_is_seen_or_does_no_harm():
    for bit in range(8 * len(SEALED)):
        check_flip(SEALED, bit)


def test_most_flips_of_a_part_without_checksum_end_in_no_error():
    payload = without_seal()
    assert origin_of(payload) == PartOrigin("a" * 64, 3, is_sealed=False)
    for bit in random.Random(0).sample(range(8 * len(payload)), 300):
        origin_of(flipped(payload, bit))


def test_the_seal_is_of_all_bytes_and_stands_in_the_file():
    assert origin_of(SEALED) == PartOrigin("a" * 64, 3, is_sealed=True)
    assert origin_of(SEALED + b"\0") is None and origin_of(SEALED[1:]) is None
    with pytest.raises(io.DamagedError, match="it cannot be read"):
        read_table(SEALED[:-1])


def test_a_text_of_zeros_is_no_place_for_the_seal():
    """Statistics of a column stand in the same footer."""
    zeros = [data.Record("0" * 64, "0" * 64, {})] * 2
    payload = encode_part(
        Fake.schema, PART._replace(size=2, documents=zeros), list(Fake()(zeros)), job="0" * 64
    )
    assert origin_of(payload) == PartOrigin("0" * 64, 3, is_sealed=True)


def test_a_seal_that_is_no_digest_is_none():
    table = pq.read_table(BytesIO(SEALED))
    assert origin_of(seal_table(table)) is not None
    place = SEALED.rindex(b"sha256\x18\x40") + 8
    assert origin_of(SEALED[:place] + b"z" * 64 + SEALED[place + 64 :]) is None
