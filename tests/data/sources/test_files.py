import os

import pytest

from jaxlm import data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("tales.txt", "b/one.jsonl", "b/two.fasta.gz", "b/note.pdf", ".git/x.txt", "c/x.traces"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*paths, format=None):
    return [(file.name, file.format) for file in data.find_files(list(paths), format)]


def test_files_folders_and_globs_come_sorted_and_once(folder):
    everything = [
        ("b/one.jsonl", "jsonl"),
        ("b/two.fasta.gz", "fasta"),
        ("c/x.traces", "traces"),
        ("tales.txt", "text"),
    ]
    assert found(str(folder)) == everything
    assert found("tales.txt", ".", "b/*.jsonl", "**/*.traces", "b/two.fasta.gz") == everything


def test_a_name_depends_on_the_files_and_not_on_where_they_lie(folder):
    assert found("b/one.jsonl") == [("one.jsonl", "jsonl")]
    assert found(str(folder / "b" / "one.jsonl")) == [("one.jsonl", "jsonl")]
    assert [name for name, _ in found("b/one.jsonl", "tales.txt")] == ["b/one.jsonl", "tales.txt"]


def test_parquet_in_a_compressed_file_is_passed_over_in_folders_and_refused_by_name(folder):
    for name in ("b/a.parquet.gz", "b/a.PQ.zst", "b/a.parquet", "c/only/a.parquet.gz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    assert [name for name, _ in found("b")] == ["a.parquet", "one.jsonl", "two.fasta.gz"]
    for path in ("b/a.parquet.gz", "b/a.PQ.zst", "b/*.parquet.gz", "c/only"):
        with pytest.raises(data.CorpusError, match="Parquet compresses its columns"):
            data.find_files([path])
    with pytest.raises(data.CorpusError, match=r"two\.fasta\.gz: Parquet compresses"):
        data.find_files(["b/two.fasta.gz"], "parquet")


def test_a_given_format_wins_over_the_ending(folder):
    assert found("b/note.pdf", format="text") == [("note.pdf", "text")]
    assert ("note.pdf", "traces") in found("b", format="traces")


def test_a_name_that_looks_like_a_pattern_is_found(folder):
    (folder / "odd[1].txt").write_bytes(b"")
    assert found("odd[1].txt") == [("odd[1].txt", "text")]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["tale.txt"], "no file or folder at 'tale.txt'; did you mean 'tales.txt'"),
        (["zzz"], "no file or folder at 'zzz'; check the path"),
        (["nowhere/deep/x.txt"], "its folder 'nowhere' is not there either"),
        (["*.csv"], r"no file matches the pattern '\*\.csv'"),
        (
            ["b/note.pdf"],
            "cannot tell the format of 'b/note.pdf' from its ending '.pdf'; give the format: one of text",
        ),
        ([], "no corpus: expected at least one path"),
    ],
)
def test_a_bad_path_is_one_line_with_its_remedy(folder, paths, message):
    with pytest.raises(data.CorpusError, match=message) as caught:
        data.find_files(paths)
    assert "\n" not in str(caught.value)


def test_a_folder_without_corpus_files_says_what_it_looked_for(folder):
    os.mkdir("empty")
    with pytest.raises(
        data.CorpusError, match=r"no corpus file in the folder 'empty' \(0 files, none ending in \.txt"
    ):
        data.find_files(["empty"])


def test_a_broken_link_is_called_what_it_is(tmp_path):
    (tmp_path / "tales.txt").symlink_to("moved.txt")
    with pytest.raises(
        data.CorpusError, match=r"tales\.txt: a broken link, to 'moved\.txt', whose content would be"
    ):
        data.find_files([str(tmp_path / "tales.txt")])
