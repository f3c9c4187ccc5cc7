"""Every change to a sealed folder is seen."""

import pytest

from jaxlm import training


@pytest.fixture
def sealed(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "weights").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "meta.json").write_text("{}")
    training.write_digests(tmp_path)
    return tmp_path


def flip(path, bit=0, byte=0):
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def test_an_untouched_folder_is_whole(sealed):
    assert training.damage(sealed) is None


@pytest.mark.parametrize(("byte", "bit"), [(0, 0), (1000, 7), (-1, 3)])
def test_one_flipped_bit_is_seen(sealed, byte, bit):
    flip(sealed / "inner" / "weights", bit, byte)
    assert training.damage(sealed) == "inner/weights is not as it was written: its SHA-256 differs"


def test_a_missing_end_a_missing_file_and_a_stranger_are_seen(sealed):
    weights = sealed / "inner" / "weights"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    assert "inner/weights" in training.damage(sealed)
    weights.unlink()
    assert training.damage(sealed) == "inner/weights is missing"
    weights.write_bytes(content)
    (sealed / "stranger").write_text("")
    assert training.damage(sealed) == "stranger does not belong to it"


@pytest.mark.parametrize("content", ["", "[1]", '{"meta.json": "00"', "\x00\xff"])
def test_digests_that_are_themselves_damaged_are_seen(sealed, content):
    (sealed / "sha256.json").write_bytes(content.encode("latin-1"))
    assert training.damage(sealed) == "sha256.json cannot be read"
    (sealed / "sha256.json").unlink()
    assert training.damage(sealed) == "sha256.json is missing"


def test_a_flipped_bit_in_a_digest_is_seen(sealed):
    text = (sealed / "sha256.json").read_text()
    place = text.index('": "') + 5
    (sealed / "sha256.json").write_text(
        text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
    )
    assert "SHA-256 differs" in training.damage(sealed)
