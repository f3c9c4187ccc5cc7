import gzip

import pyarrow
import pytest

from jaxlm import data
from jaxlm.data.sources._streams import read_lines, read_text


def lines(path):
    """Number and line without its end; raises what is found to be wrong."""
    for number, line in read_lines(path):
        if isinstance(line, data.CorpusError):
            raise line
        yield number, line.rstrip("\r\n")


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
    assert list(lines(path)) == list(enumerate(TEXT.splitlines(), start=1))


def test_gzip_members_one_after_the_other_are_one_file(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert [line for _, line in lines(path)] == ["one", "two"]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_bytes_that_are_not_utf8_are_named_by_line_and_byte(tmp_path, name, mark):
    good = f"{mark}é1\né2\nab\xe9\n".encode()
    path = write(tmp_path / name, good + b"ab\xe9\n")
    where = rf"{name}:4: not UTF-8 at byte {len(good) + 2} \(0xe9\)"
    with pytest.raises(data.CorpusError, match=where):
        list(lines(path))
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
        list(lines(path))
    assert "\n" not in str(caught.value)


def test_reading_goes_on_behind_a_line_that_is_not_utf8(tmp_path):
    path = write(tmp_path / "a.txt", b"one\nab\xe9\nthree\n")
    found = list(read_lines(path))
    assert [number for number, _ in found] == [1, 2, 3]
    assert (found[0][1], found[2][1]) == ("one\n", "three\n")
    assert isinstance(found[1][1], data.CorpusError)


def test_a_cut_file_gives_its_lines_and_then_the_error(tmp_path):
    path = write(tmp_path / "a.txt.gz", TEXT.encode())
    path.write_bytes(path.read_bytes()[:-20])
    *good, (number, last) = read_lines(path)
    assert number == len(good) + 1
    assert all(isinstance(line, str) for _, line in good)
    assert isinstance(last, data.CorpusError)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path):
    with pytest.raises(data.CorpusError, match="cannot be read"):
        list(lines(tmp_path))
