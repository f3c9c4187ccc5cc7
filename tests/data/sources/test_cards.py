"""Cards and licences beside a corpus are none of its documents, unless somebody asks for them."""

import pytest

from jaxlm import data
from jaxlm.data.sources._cards import is_card

CARDS = [
    *(f"{stem}{ending}" for stem in ("README", "readme", "Readme", "LICENSE", "license", "Licence", "COPYING",
      "CHANGELOG", "CITATION", "CONTRIBUTING", "dataset_card", "DataCard", "CODE_OF_CONDUCT")
      for ending in ("", ".txt", ".md", ".rst", ".html", ".md.gz")),
    "LICENSE-MIT.txt", "LICENSE_CC-BY-4.0.md", "README.de.md", "README_zh-CN.md", "NOTICE", "NOTICE.txt",
    "AUTHORS.md", "dataset_infos.json", "dataset_info.json", "croissant.json", "SHA256SUMS.txt",
]  # fmt: skip
DOCUMENTS = [
    "train.jsonl", "notice.txt", "history.txt", "security.md", "license_texts.jsonl", "licences of all.txt",
    "reading.txt", "readme_corpus.txt", "README.jsonl", "LICENSES.parquet", "authors.csv", "metadata.jsonl",
    "terms.md", "copyrighted.txt", "citations.txt", "train.json",
]  # fmt: skip


def test_cards_and_documents_are_told_apart_by_name():
    assert [name for name in CARDS if not is_card(name)] == []
    assert [name for name in DOCUMENTS if is_card(name)] == []


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in (*CARDS, ".gitattributes", "data/README.md", "data/LICENSE.txt"):
        (tmp_path / name).write_text("no document\n")
    for name in ("train.jsonl", "data/test.jsonl"):
        (tmp_path / name).write_text('{"text": "one"}\n')
    return tmp_path


def names(*paths, format=None):
    return [file.name for file in data.find_files([str(path) for path in paths], format)]


@pytest.mark.parametrize("asked", ["", "*", "**", "**/*"])
@pytest.mark.parametrize("format", [None, "jsonl"])
def test_a_folder_and_a_pattern_that_names_nothing_leave_them_out(folder, asked, format):
    found = names(folder / asked if asked else folder, format=format)
    assert found == (["train.jsonl"] if asked == "*" else ["data/test.jsonl", "train.jsonl"])


def test_a_card_that_is_asked_for_is_read(folder):
    assert names(folder / "README.md") == ["README.md"]
    assert names(folder / "train.jsonl", folder / "README.md") == ["README.md", "train.jsonl"]
    assert "LICENSE.txt" in names(folder / "data" / "*.txt")
    assert names(folder / "data" / "READ*") == ["README.md"]
    (record,) = data.open_source(folder / "README.md")
    assert record.text == "no document"


def test_a_folder_of_nothing_else_says_so(tmp_path):
    (tmp_path / "README.md").write_text("no document\n")
    with pytest.raises(
        data.CorpusError, match=r"no corpus file .*README\.md and its like left out.*name the"
    ):
        data.find_files([str(tmp_path)])


def test_the_same_at_a_url(folder):
    fsspec = pytest.importorskip("fsspec")
    place = f"memory://{folder.name}"
    for name in ("train.jsonl", "README.md", "LICENSE.txt"):
        fsspec.filesystem("memory").pipe_file(f"/{folder.name}/{name}", b'{"text": "one"}\n')
    assert names(place) == ["train.jsonl"]
    assert names(f"{place}/README.md") == ["README.md"]
    assert names(f"{place}/*.md") == ["README.md"]
