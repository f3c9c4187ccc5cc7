import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import tokenizers as huggingface
from tokenizers import processors

from jaxlm import data, tokenizers
from jaxlm.io import DamagedError

BYTES = tokenizers.bytes_tokenizer()
TEXTS = ["one", "", "[MASK][PAD]", "three é", "x" * 5000, "[MASK]ok"]
RECORDS = [data.Record(f"file:{number}", text, {}) for number, text in enumerate(TEXTS, start=1)]
KEPT = [0, 3, 4, 5]


def build(folder, records=RECORDS, tokenizer=BYTES, fingerprint="content"):
    return data.build_cache(lambda: iter(records), tokenizer, folder, source_fingerprint=fingerprint)


def test_records_come_back_with_their_ids(tmp_path):
    cache = build(tmp_path)
    assert len(cache) == 4 and cache.num_tokens == sum(cache.lengths)
    for index, original in enumerate(KEPT):
        assert cache.ids(index) == RECORDS[original].id
        np.testing.assert_array_equal(cache[index], BYTES.encode(TEXTS[original]))
        assert cache[index].dtype == np.int32 and cache.lengths[index] == len(cache[index])
    assert cache.ids(-1) == "file:6" and cache[-1][-1] == ord("k")
    with pytest.raises(IndexError):
        cache[4]


def test_what_is_left_out_is_counted(tmp_path):
    assert build(tmp_path).counts == data.CacheCounts(
        records=4, tokens=3 + 8 + 5000 + 3, unknown=0, empty=1, unmaskable=1
    )


def test_unknown_tokens_are_counted(tmp_path):
    vocabulary = {"[UNK]": 0, "known": 1}
    backend = tokenizers.Tokenizer.from_json(
        '{"version":"1.0","added_tokens":[{"id":0,"content":"[UNK]","special":true,"single_word":false,"lstrip":false,'
        '"rstrip":false,"normalized":false}],"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},'
        '"post_processor":null,"decoder":null,"model":{"type":"WordLevel","unk_token":"[UNK]","vocab":'
        + str(vocabulary).replace("'", '"')
        + "}}"
    )
    records = [data.Record("a", "known other known", {}), data.Record("b", "other", {})]
    assert build(tmp_path, records, backend).counts == data.CacheCounts(
        records=1, tokens=3, unknown=1, unmaskable=1
    )


def test_blocks_do_not_show(tmp_path, monkeypatch):
    records = [data.Record(f"r{number}", f"text {number}" * (number % 7 + 1), {}) for number in range(300)]
    whole = build(tmp_path / "whole", records)
    monkeypatch.setattr("jaxlm.data.cache._cache_writer.RECORDS_AT_ONCE", 7)
    monkeypatch.setattr("jaxlm.data.cache._cache_writer.LETTERS_AT_ONCE", 100)
    blocks = build(tmp_path / "blocks", records)
    np.testing.assert_array_equal(whole.tokens, blocks.tokens)
    np.testing.assert_array_equal(whole.offsets, blocks.offsets)
    assert [whole.ids(index) for index in range(300)] == [blocks.ids(index) for index in range(300)]


def test_it_is_read_and_not_built_again(tmp_path):
    build(tmp_path)
    assert (
        len(
            data.build_cache(
                lambda: pytest.fail("built again"), BYTES, tmp_path, source_fingerprint="content"
            )
        )
        == 4
    )


def test_content_and_tokenizer_name_the_cache(tmp_path):
    folders = {
        build(tmp_path).folder,
        build(tmp_path, fingerprint="other").folder,
        build(tmp_path, [data.Record("a", "MKV", {})], tokenizers.residue_tokenizer()).folder,
    }
    assert len(folders) == 3


def test_a_large_vocabulary_takes_four_bytes(tmp_path):
    assert build(tmp_path).tokens.dtype == np.uint16
    words = {f"w{number}": number for number in range(70_000)}
    large = tokenizers.Tokenizer.from_json(
        '{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},'
        '"post_processor":null,"decoder":null,"model":{"type":"WordLevel","unk_token":"w0","vocab":'
        + str(words).replace("'", '"')
        + "}}"
    )
    cache = build(tmp_path, [data.Record("a", "w69999 w1", {})], large)
    assert cache.tokens.dtype == np.uint32 and cache[0].tolist() == [69999, 1]


def test_an_empty_cache_opens(tmp_path):
    cache = build(tmp_path, [])
    assert len(cache) == 0 and cache.num_tokens == 0 and len(cache.lengths) == 0


@pytest.mark.parametrize("name", ["tokens.bin", "offsets.bin", "ids.bin", "id_offsets.bin", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "empty"])
def test_damage_is_noticed_and_repaired(tmp_path, name, damage):
    folder = build(tmp_path).folder
    path = folder / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:-1], "flip": flipped, "empty": b""}[damage])
    with pytest.raises(DamagedError):
        data.TokenCache(folder)
    cache = build(tmp_path)
    assert len(cache) == 4 and path.read_bytes() == content


def test_a_text_that_the_tokenizer_refuses_is_named(tmp_path):
    records = [data.Record("a.fasta:1", "MKV", {}), data.Record("a.fasta:7", "MK7", {})]
    with pytest.raises(data.CorpusError, match=r"^a\.fasta:7: .*7") as caught:
        build(tmp_path, records, tokenizers.residue_tokenizer())
    assert "\n" not in str(caught.value)


def test_no_room_on_disk_leaves_no_half_cache(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("jaxlm.data.cache._folders.os.fsync", full)
    with pytest.raises(data.CorpusError, match="no room on disk"):
        build(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


RACER = """
import sys, time
from pathlib import Path
from jaxlm import data, tokenizers
folder, name = Path(sys.argv[1]), sys.argv[2]
def records():
    (folder / f"built-{name}").touch()
    for number in range(3000):
        yield data.Record(f"r{number}", f"text number {number}", {})
(folder / f"ready-{name}").touch()
while len(list(folder.glob("ready-*"))) < 2:
    pass
cache = data.build_cache(records, tokenizers.bytes_tokenizer(), folder / "cache", source_fingerprint="race")
print(len(cache), int(cache.tokens.sum()), cache.ids(2999))
"""


def test_two_processes_build_it_once_and_read_the_same(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    outputs = [racer.communicate(timeout=120) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] and outputs[0][0].startswith("3000 ")
    assert len(list(tmp_path.glob("built-*"))) == 1
    assert len([path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]) == 1


def test_records_of_specials_alone_are_refused(tmp_path):
    with pytest.raises(data.CorpusError, match="its 2 records hold only special tokens"):
        build(tmp_path, [data.Record("a", "[MASK]", {}), data.Record("b", "[PAD]", {})])


@pytest.mark.parametrize(
    ("tokenizer", "opening", "closing"),
    [
        (BYTES, "[CLS]", "[SEP]"),
        (tokenizers.residue_tokenizer(), "<cls>", "<eos>"),
        (tokenizers.train_instructions(["M [NEXT] K"] * 2), "[CLS]", "[SEP]"),
    ],
    ids=["bytes", "residues", "instructions"],
)
def test_ends_open_and_close_every_record(tmp_path, tokenizer, opening, closing):
    records = [data.Record(f"r{number}", text, {}) for number, text in enumerate(["MK", "", "M"])]
    cache = data.build_cache(
        lambda: iter(records), tokenizer, tmp_path, source_fingerprint="content", ends=True
    )
    assert len(cache) == 2 and cache.counts.empty == 1
    for index, text in enumerate(["MK", "M"]):
        expected = [tokenizer.id(opening), *tokenizer.encode(text), tokenizer.id(closing)]
        assert cache[index].tolist() == expected
    assert cache.byte_lengths.tolist() == [2, 1] and cache.num_bytes == 3
    without = data.build_cache(lambda: iter(records), tokenizer, tmp_path, source_fingerprint="content")
    assert without.num_tokens == cache.num_tokens - 4 and without.num_bytes == 3


def test_what_a_file_puts_around_texts_may_be_on_one_side(tmp_path):
    backend = huggingface.Tokenizer.from_str(BYTES.to_json())
    closed = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", BYTES.id("[SEP]"))])
    backend.post_processor = closed
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    given = {"source_fingerprint": "content"}
    caches = [
        data.build_cache(lambda: iter(RECORDS[:1]), tokenizer, tmp_path, ends=ends, **given)
        for ends in ("file", True, False)
    ]
    plain = caches[2][0].tolist()
    opening, closing = tokenizer.specials.ends
    assert [cache[0].tolist() for cache in caches[:2]] == [[*plain, closing], [opening, *plain, closing]]
    backend.post_processor = processors.ByteLevel()
    bare = tokenizers.Tokenizer.from_json(backend.to_str())
    assert data.build_cache(lambda: iter(RECORDS), bare, tmp_path, ends="file", **given)[0].tolist() == plain


def test_a_tokenizer_without_ends_is_refused(tmp_path):
    backend = tokenizers.Tokenizer.from_json(
        '{"version":"1.0","model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0}}}'
    )
    with pytest.raises(
        data.CorpusError, match=r"ends: expected a tokenizer with .* such as \[CLS\] or <eos>"
    ):
        data.build_cache(lambda: iter(RECORDS), backend, tmp_path, source_fingerprint="content", ends=True)


def test_bytes_are_counted_as_utf8_of_what_is_kept(tmp_path):
    cache = build(tmp_path)
    assert cache.byte_lengths.tolist() == [len(TEXTS[index].encode()) for index in KEPT]


def test_labels_stay_with_their_records(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxlm.data.cache._cache_writer.RECORDS_AT_ONCE", 2)
    records = [one._replace(meta={"label": str(number / 4)}) for number, one in enumerate(RECORDS)]
    cache = data.build_cache(lambda: iter(records), BYTES, tmp_path, source_fingerprint="x", labelled=True)
    assert cache.labels.tolist() == [number / 4 for number in KEPT]
    assert isinstance(cache.labels, np.memmap) and build(tmp_path).labels is None


def test_a_damaged_label_is_noticed(tmp_path):
    records = [one._replace(meta={"label": "1"}) for one in RECORDS]
    cache = data.build_cache(lambda: iter(records), BYTES, tmp_path, source_fingerprint="x", labelled=True)
    (cache.folder / "labels.bin").write_bytes(b"\0" * 16)
    with pytest.raises(DamagedError, match="does not match its checksum"):
        data.TokenCache(cache.folder)
