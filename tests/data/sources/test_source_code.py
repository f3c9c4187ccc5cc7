from collections import Counter

import pytest

from jaxlm import data, tokenizers


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "one.py").write_bytes(b"# coding: latin-1\r\nname = '\xe9'\r\n")
    (tmp_path / "solo.py").write_text("def f():\n    return 1\n")
    (tmp_path / "broken.py").write_bytes(b"name = '\xe9'\n")
    (tmp_path / "odd.py").write_text("# coding: no-such-coding\n")
    return tmp_path


def test_a_module_is_a_record_in_its_own_encoding(sources):
    left_out = Counter()
    records = list(data.python_source(sources, left_out=left_out))
    assert [(record.id, record.text) for record in records] == [
        ("pkg", ""),
        ("pkg.one", "# coding: latin-1\nname = 'é'\n"),
        ("solo", "def f():\n    return 1\n"),
    ]
    assert all(record.meta["group"] == record.id for record in records)
    assert left_out == {"modules": 2}


def test_a_broken_module_does_not_stop_a_reader_who_does_not_count(sources):
    assert len(list(data.python_source(sources))) == 3


def test_the_fingerprint_follows_names_and_contents(sources):
    first = data.python_fingerprint(sources)
    assert first == data.python_fingerprint(sources) != data.bytecode_fingerprint(sources)
    (sources / "solo.py").rename(sources / "other.py")
    assert data.python_fingerprint(sources) != first


def test_the_embedded_source_is_divided_by_module_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path))
    config = data.DataConfig(corpus="source", ends=True)
    prepared = data.prepare(config, tokenizers.TokenizerConfig(kind="bytes"))
    names = [{cache.ids(index) for index in range(len(cache))} for cache in prepared.caches.values()]
    assert sum(map(len, names)) == len(set.union(*names)) > 300
    assert "as text; one record a module" in prepared.notes[0]
    for split, cache in prepared.caches.items():
        texts = list(data.split_texts(config, split))
        assert cache.num_bytes == sum(len(text.encode()) for text in texts) == sum(cache.lengths - 2)
        assert prepared.tokenizer.decode(cache[0][1:-1]) == texts[0]


def test_auto_reads_source_as_subwords():
    from jaxlm.data._corpus import find_corpus

    assert find_corpus(data.DataConfig(corpus="source")).kind == "subwords"
