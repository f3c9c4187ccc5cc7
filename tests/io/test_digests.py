"""Every change to a sealed folder is seen."""

import errno
import json
import os

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
    assert training.verify_digests(sealed) is None


@pytest.mark.parametrize(("byte", "bit"), [(0, 0), (1000, 7), (-1, 3)])
def test_one_flipped_bit_is_seen(sealed, byte, bit):
    flip(sealed / "inner" / "weights", bit, byte)
    assert training.verify_digests(sealed) == "inner/weights is not as it was written: its SHA-256 differs"


def test_a_missing_end_and_a_missing_file_are_seen(sealed):
    weights = sealed / "inner" / "weights"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    assert "inner/weights" in training.verify_digests(sealed)
    weights.unlink()
    assert training.verify_digests(sealed) == "inner/weights is missing"
    weights.mkdir()
    assert training.verify_digests(sealed) == "inner/weights is missing"


STRAYS = [".DS_Store", "._weights", ".nfs000000000001", "Thumbs.db", "desktop.ini", "notes.txt", "empty/"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STRAYS)
def test_what_lies_beside_the_files_is_no_damage(sealed, name, when):
    """Nor is it expected to stay, if it was there by chance when the folder was sealed."""
    for folder in (sealed, sealed / "inner"):
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_bytes(b"\0")
    if when == "before" and name != "notes.txt":
        training.write_digests(sealed)
        for folder in (sealed, sealed / "inner"):
            (folder / name).rmdir() if name.endswith("/") else (folder / name).unlink()
    assert training.verify_digests(sealed) is None


def test_what_older_versions_sealed_by_chance_is_not_expected(sealed):
    digests = json.loads((sealed / "sha256.json").read_text())
    (sealed / "sha256.json").write_text(json.dumps(digests | {"inner/.DS_Store": "0" * 64}))
    assert training.verify_digests(sealed) is None


@pytest.mark.parametrize(
    ("number", "is_damage"), [(errno.EIO, True), (errno.EACCES, False), (errno.ESTALE, False)]
)
def test_what_cannot_be_read_just_now_is_not_known_to_be_damaged(sealed, monkeypatch, number, is_damage):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("jaxlm.io._digests.hashlib.file_digest", fails)
    if is_damage:
        assert training.verify_digests(sealed) == "inner/weights cannot be read: Input/output error"
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            training.verify_digests(sealed)


def test_digests_of_nothing_seal_nothing(sealed):
    (sealed / "sha256.json").write_text("{}")
    assert training.verify_digests(sealed) == "sha256.json names no file"


@pytest.mark.parametrize("content", ["", "[1]", '{"meta.json": "00"', "\x00\xff"])
def test_digests_that_are_themselves_damaged_are_seen(sealed, content):
    (sealed / "sha256.json").write_bytes(content.encode("latin-1"))
    assert training.verify_digests(sealed) == "sha256.json cannot be read"
    (sealed / "sha256.json").unlink()
    assert training.verify_digests(sealed) == "sha256.json is missing"


def test_a_flipped_bit_in_a_digest_is_seen(sealed):
    text = (sealed / "sha256.json").read_text()
    place = text.index('": "') + 5
    (sealed / "sha256.json").write_text(
        text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
    )
    assert "SHA-256 differs" in training.verify_digests(sealed)
