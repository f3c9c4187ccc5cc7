import gzip

import pyarrow
import pytest

from jaxlm import data
from jaxlm.data._streams import read_lines, read_text

TEXT = "".join(f"line {number} é\n" for number in range(5000))


def write(path, payload):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(payload))
    elif path.suffix == ".zst":
        with pyarrow.output_stream(str(path), compression="zstd") as stream:
            stream.write(payload)
    else:
        path.write_bytes(payload)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst"])
def test_compressed_files_read_like_plain_ones(tmp_path, name):
    path = write(tmp_path / name, TEXT.encode())
    assert read_text(path) == TEXT
    assert list(read_lines(path)) == list(enumerate(TEXT.splitlines(), start=1))


def test_gzip_members_one_after_the_other_are_one_file(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert [line for _, line in read_lines(path)] == ["one", "two"]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_bytes_that_are_not_utf8_are_named_by_line_and_byte(tmp_path, name, mark):
    good = f"{mark}é1\né2\nab\xe9\n".encode()
    path = write(tmp_path / name, good + b"ab\xe9\n")
    where = rf"{name}:4: not UTF-8 at byte {len(good) + 2} \(0xe9\)"
    with pytest.raises(data.CorpusError, match=where):
        list(read_lines(path))
    with pytest.raises(data.CorpusError, match=where):
        read_text(path)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
@pytest.mark.parametrize(
    "damage", [lambda payload: payload[:-20], lambda payload: b"plain text, not compressed"]
)
def test_damaged_compression_is_one_line(tmp_path, name, damage):
    path = write(tmp_path / name, TEXT.encode())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(data.CorpusError, match=r"a\.txt\.(gz|zst): ") as caught:
        list(read_lines(path))
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path):
    with pytest.raises(data.CorpusError, match="cannot be read"):
        list(read_lines(tmp_path))
