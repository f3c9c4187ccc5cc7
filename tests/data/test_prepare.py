import gzip
import json
import logging
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm import data, tokenizers

AUTO = tokenizers.TokenizerConfig(vocab_size=600)
BYTES = tokenizers.TokenizerConfig(kind="bytes")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tales(tmp_path):
    path = tmp_path / "tales.txt"
    path.write_text("".join(f"tale number {number} of a thousand and one\n" for number in range(300)))
    return path


def config(*paths, **fields):
    return data.DataConfig(paths=tuple(map(str, paths)), **fields)


def texts(prepared, split):
    cache = prepared.caches[split]
    return [prepared.tokenizer.decode(cache[index]) for index in range(len(cache))]


def test_every_record_is_in_one_split_and_comes_back(tales):
    prepared = data.prepare(config(tales), BYTES)
    together = [text for split in ("train", "validation", "test") for text in texts(prepared, split)]
    assert sorted(together) == sorted(tales.read_text().splitlines())
    assert all(len(cache) > 3 for cache in prepared.caches.values())
    cache = prepared.caches["validation"]
    assert (
        tales.read_text().splitlines()[int(cache.ids(0).split(":")[1]) - 1]
        == texts(prepared, "validation")[0]
    )
    assert prepared.notes[0].startswith("corpus: 1 file (text)")
    assert prepared.notes[1].startswith("records (tokens): train ") and len(prepared.notes) == 2


def test_a_second_call_reads_what_the_first_left(tales, monkeypatch):
    first = data.prepare(config(tales), AUTO)
    monkeypatch.setattr("jaxlm.data._prepare.CacheWriter", None)
    monkeypatch.setattr("jaxlm.data._prepare.tokenizers.train_tokenizer", None)
    second = data.prepare(config(tales), AUTO)
    assert (second.fingerprint, second.notes, second.tokenizer) == (
        first.fingerprint,
        first.notes,
        first.tokenizer,
    )


def test_the_tokenizer_is_trained_on_the_train_split_only(tales):
    prepared = data.prepare(config(tales), AUTO)
    alone = tokenizers.train_subwords(texts(prepared, "train"), vocab_size=600)
    assert prepared.tokenizer.kind == "subwords" and prepared.tokenizer == alone


def test_the_fingerprint_follows_content_division_and_tokenizer(tales, tmp_path):
    def fingerprint(path, tokenizer=BYTES, **fields):
        return data.prepare(config(path, **fields), tokenizer).fingerprint

    base = fingerprint(tales)
    others = {
        fingerprint(tales, AUTO),
        fingerprint(tales, test_share=0.1),
        fingerprint(tales, deduplicate=False),
        fingerprint(tales, format="traces"),
    }
    moved = tmp_path / "elsewhere" / "tales.txt"
    moved.parent.mkdir()
    shutil.move(tales, moved)
    assert fingerprint(moved) == base == fingerprint(moved, row_length=64, long="truncate")
    moved.write_text(moved.read_text() + "one more\n")
    assert base not in others and fingerprint(moved) not in {base, *others} and len(others) == 4


def test_what_is_left_out_is_noted(tmp_path):
    lines = [{"text": f"record {number}"} for number in range(40)]
    lines += [{"text": "record 7"}] * 3 + [{"text": " "}, {"text": None}] + [{"text": "[MASK][PAD]"}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    prepared = data.prepare(config(path), BYTES)
    assert sum(map(len, prepared.caches.values())) == 40
    assert prepared.notes[2:5] == [
        "left out 3 exact duplicates",
        "left out 2 empty records",
        "left out 1 records in which nothing can be masked",
    ]
    kept = data.prepare(config(path, deduplicate=False), BYTES)
    assert sum(map(len, kept.caches.values())) == 43
    with_seven = [split for split in kept.caches if "record 7" in texts(kept, split)]
    assert len(with_seven) == 1


def test_three_records_are_enough_and_said_to_be_few(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\nthree\n")
    prepared = data.prepare(config(path), BYTES)
    assert [len(cache) for cache in prepared.caches.values()] == [1, 1, 1]
    assert "small" in prepared.notes[-1]


def write(tmp_path, kind):
    traces = [f"mov eax {number} [NEXT] ret" for number in range(40)]
    prose = [f"tale {number} of many" for number in range(40)]
    proteins = [f">p{number}\nMKV{'LAG' * (number + 1)}" for number in range(40)]
    path = tmp_path / kind
    match kind:
        case "a.txt" | "a.traces" | "b.txt":
            path.write_text("\n".join(prose if kind == "a.txt" else traces))
        case "a.jsonl" | "b.jsonl":
            path.write_text(
                "\n".join(json.dumps({"text": text}) for text in (prose if kind[0] == "a" else traces))
            )
        case "a.parquet":
            pq.write_table(pa.table({"text": traces}), path)
        case "a.fasta.gz":
            path.write_bytes(gzip.compress("\n".join(proteins).encode()))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "subwords"),
        ("b.txt", "instructions"),
        ("a.traces", "instructions"),
        ("a.jsonl", "subwords"),
        ("b.jsonl", "instructions"),
        ("a.parquet", "instructions"),
        ("a.fasta.gz", "residues"),
    ],
)
def test_auto_follows_the_corpus(tmp_path, name, kind):
    prepared = data.prepare(config(write(tmp_path, name)), AUTO)
    assert prepared.tokenizer.kind == kind
    assert sum(map(len, prepared.caches.values())) == 40


def test_traces_that_begin_with_a_function_of_one_instruction_are_traces(tmp_path):
    path = write(tmp_path, "b.jsonl")
    path.write_text('{"text": "ret"}\n' + path.read_text())
    assert data.prepare(config(path), AUTO).tokenizer.kind == "instructions"


def test_a_given_tokenizer_is_used_as_it_is(tales, tmp_path):
    tokenizers.bytes_tokenizer().save(tmp_path / "tokenizer.json")
    path = str(tmp_path / "tokenizer.json")
    prepared = data.prepare(config(tales), tokenizers.TokenizerConfig(path=path))
    assert prepared.tokenizer == tokenizers.bytes_tokenizer()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the corpus is empty"),
        ("\n\n  \n", "the corpus is empty"),
        ("one line\n", "1 distinct record, but train, validation and test need one each"),
        (
            "[MASK]\n[PAD]\n[SEP]\n[CLS]\n",
            "nothing in the corpus can be masked: .* its 4 records hold only special tokens; give",
        ),
        ("[MASK]\n[PAD]\nreal\n", "no record is left for .*, 2 that hold only special tokens"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_one_line_and_leaves_no_cache(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_text(content)
    with pytest.raises(data.CorpusError, match=message) as caught:
        data.prepare(config(path), BYTES)
    assert "\n" not in str(caught.value)
    assert not [one for one in tmp_path.glob("cache/*/*") if one.suffix != ".lock"]


def test_traces_of_specials_are_one_line(tmp_path):
    path = tmp_path / "a.traces"
    path.write_text("[MASK]\n[PAD]\n[SEP]\n[CLS]\n")
    with pytest.raises(
        data.CorpusError, match=r"expected traces .* found no pretoken but specials in its 2 "
    ):
        data.prepare(config(path), AUTO)


def test_kinds_of_corpus_do_not_mix(tmp_path):
    paths = write(tmp_path, "a.txt"), write(tmp_path, "a.fasta.gz")
    with pytest.raises(data.CorpusError, match="mixes files for different tokenizers"):
        data.prepare(config(*paths), AUTO)


def test_an_error_deep_in_a_file_leaves_no_cache(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "record {number}"}}\n' for number in range(3000)) + "{\n")
    with pytest.raises(data.CorpusError, match=r"a\.jsonl:3001: not JSON"):
        data.prepare(config(path), BYTES)
    assert not [one for one in tmp_path.glob("cache/*/*") if one.suffix != ".lock"]


def test_a_damaged_cache_is_made_again(tales, caplog):
    first = data.prepare(config(tales), AUTO)
    for path in (
        first.caches["test"].folder / "tokens.bin",
        first.caches["test"].folder.parent / "about.json",
    ):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with caplog.at_level(logging.WARNING):
            again = data.prepare(config(tales), AUTO)
        assert "is damaged" in caplog.text and path.read_bytes() == content
        assert again.fingerprint == first.fingerprint


def test_large_files_are_hashed_once_until_they_change(tales, monkeypatch):
    from jaxlm.data.sources._versions import file_digest

    monkeypatch.setattr("jaxlm.data.sources._versions.REMEMBERED_BYTES", 1)
    monkeypatch.setattr("jaxlm.data.sources._versions.STABLE_AFTER_NS", 0)
    digest = file_digest(tales)
    with monkeypatch.context() as patched:
        patched.setattr("hashlib.file_digest", None)
        assert file_digest(tales) == digest
    tales.write_text("changed")
    assert file_digest(tales) != digest


def test_the_embedded_corpus_is_divided_by_module(library, monkeypatch):
    def source(left_out):
        left_out["modules"] += 2
        return iter(library)

    monkeypatch.setattr("jaxlm.data._corpus.bytecode_source", source)
    prepared = data.prepare(data.DataConfig(), tokenizers.TokenizerConfig())
    modules = [
        {cache.ids(index).split(":")[0] for index in range(len(cache))} for cache in prepared.caches.values()
    ]
    assert not any(one & other for one, other in zip(modules, [*modules[1:], modules[0]], strict=True))
    assert sum(map(len, prepared.caches.values())) == len({record.text for record in library})
    num_tokens = np.array([cache.num_tokens for cache in prepared.caches.values()])
    assert num_tokens.sum() > 1_000_000 and (num_tokens[1:] > 0.01 * num_tokens.sum()).all()
    assert prepared.tokenizer.kind == "instructions"
    assert not any(cache.counts.unknown for cache in prepared.caches.values())
    assert "left out 2 modules that this Python cannot read" in prepared.notes
    assert data.prepare(data.DataConfig(), tokenizers.TokenizerConfig()).notes == prepared.notes
    assert any(note.startswith("left out") and "exact duplicates" in note for note in prepared.notes)
