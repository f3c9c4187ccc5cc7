"""Every format in every encoding, compression and line end is the same corpus, or says why not."""

import gzip
import itertools
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import data
from jaxlm.data.sources._streams import read_lines, read_text

TEXTS = ["MKV", "é", "漢字", "\U0001d11e clef"]
SEQUENCES = ["MKV", "LAA", "GG", "WYV"]
MARKED = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\0\0",
    "utf-32-be": b"\0\0\xfe\xff",
}
FORMATS = {
    "a.txt": TEXTS,
    "a.jsonl": [json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS],
    "a.csv": ["text", *TEXTS],
    "a.tsv": ["n\ttext", *(f"1\t{text}" for text in TEXTS)],
    "a.fasta": list(itertools.chain(*zip([f">{n}\té" for n in range(4)], SEQUENCES, strict=True))),
    "a.traces": ["mov eax 1 [NEXT] ret", "ret"],
}


def encoded(lines, end, encoding, *, closed=True):
    return MARKED[encoding] + (end.join(lines) + end * closed).encode(encoding)


def packed(path, payload):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(payload))
    elif path.suffix == ".zst":
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(payload)
    else:
        path.write_bytes(payload)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_corpus_is_the_same_in_every_encoding_line_end_and_compression(tmp_path, name):
    expected = list(data.open_source(packed(tmp_path / name, encoded(FORMATS[name], "\n", "utf-8"))))
    assert len(expected) >= 2
    cases = itertools.product(MARKED, ("\n", "\r\n", "\r"), (True, False), ("", ".gz", ".zst"))
    for number, (encoding, end, closed, ending) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        payload = encoded(FORMATS[name], end, encoding, closed=closed)
        path = packed(tmp_path / str(number) / f"{name}{ending}", payload)
        found = list(data.open_source(path))
        assert [record.text for record in found] == [record.text for record in expected], (encoding, end)
        assert [record.id.replace(ending, "") for record in found] == [record.id for record in expected]
        files = data.find_files([str(path)])
        assert abs(data.estimate_records(files) - len(expected)) <= (not closed), (encoding, end, closed)


def test_the_wild_type_and_the_whole_of_a_file_are_read_by_its_mark(tmp_path):
    for encoding in MARKED:
        path = packed(tmp_path / "a.txt", encoded(TEXTS, "\r", encoding))
        assert read_text(path) == "\r".join(TEXTS) + "\r"
        (record,) = data.text_source(path, document="file")
        assert record.text == read_text(path)


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_wide_encoding_without_its_mark_is_refused_by_name(tmp_path, name):
    for lines in FORMATS.values():
        path = packed(tmp_path / "a.txt", "\n".join(lines)[:3].encode(name) + "é\n".encode(name))
        ((number, error),) = read_lines(path)
        shown = name.upper().replace("-LE", "LE").replace("-BE", "BE")
        assert number == 1 and f"looks like {shown} without its mark" in str(error)
        assert f"iconv -f {shown}" in str(error)


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_half_a_pair_is_an_error_in_its_line_alone(tmp_path, name):
    half = "\ud83d".encode(name, "surrogatepass")
    payload = MARKED[name] + "one\nab".encode(name) + half + "\nthree\n".encode(name)
    found = list(read_lines(packed(tmp_path / "a.txt", payload)))
    assert [number for number, _ in found] == [1, 2, 3]
    assert (found[0][1], found[2][1]) == ("one\n", "three\n")
    assert f"a.txt:2: not {name.upper()}" in str(found[1][1])
    cut = list(read_lines(packed(tmp_path / "b.txt", MARKED[name] + "one\ntwo".encode(name)[:-1])))
    assert f"b.txt:2: not {name.upper()}" in str(cut[1][1])


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff")), min_size=1), st.data()
)
@settings(max_examples=25, deadline=None)
def test_lines_come_out_as_they_went_in(tmp_path_factory, lines, draw):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    encoding = draw.draw(st.sampled_from(sorted(MARKED)))
    path.write_bytes(encoded(lines, "\n", encoding))
    if encoding == "utf-8" and "\0" in "".join(lines):
        return
    assert [line for _, line in read_lines(path)] == [line + "\n" for line in lines]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1 << 16])
def test_line_ends_do_not_depend_on_where_blocks_end(size, tmp_path, monkeypatch):
    from jaxlm.data.sources import _encodings

    text = "one\r\rtwo\r\n\r\nthree\r"
    path = packed(tmp_path / "a.fasta", text.encode())
    block = _encodings.Utf8Stream._block
    monkeypatch.setattr(_encodings.Utf8Stream, "_block", lambda self, asked: block(self, min(asked, size)))
    monkeypatch.setattr("jaxlm.data.sources._streams.HEAD_BYTES", size)
    assert [line for _, line in read_lines(path, lone_cr="always")] == [
        "one\n",
        "\n",
        "two\r\n",
        "\r\n",
        "three\n",
    ]
    assert [line for _, line in read_lines(path, lone_cr="never")] == ["one\r\rtwo\r\n", "\r\n", "three\r"]


def test_a_progress_bar_in_a_text_is_no_line_end(tmp_path):
    path = packed(tmp_path / "a.txt", b"10 %\r20 %\r\nnext\n")
    assert [record.text for record in data.text_source(path)] == ["10 %\r20 %", "next"]
