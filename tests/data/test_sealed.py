"""A cache and its tokenizer are as they were written, or made anew."""

import json
import random

import pytest

from jaxlm import data, io, tokenizers


@pytest.fixture
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXLM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tales.txt"
    path.write_text("".join(f"tale ě number {number} of a thousand\n" for number in range(300)))

    def prepared():
        found = data.prepare(data.DataConfig(paths=(str(path),)), tokenizers.TokenizerConfig(vocab_size=400))
        return found, {split: cache.tokens.tolist() for split, cache in found.caches.items()}

    return tmp_path / "cache", prepared


def check_flips(caches, count):
    folder, prepared = caches
    (whole, tokens), draw = prepared(), random.Random(0)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    assert {"tokenizer.json", "manifest.json", "about.json", "tokens.bin"} <= {path.name for path in files}
    for _ in range(count):
        path = draw.choice(files)
        content = path.read_bytes()
        if not content:
            continue
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        found, same = prepared()
        assert (found.fingerprint, found.notes, found.tokenizer) == (
            whole.fingerprint,
            whole.notes,
            whole.tokenizer,
        ), path
        assert same == tokens, path
        path.write_bytes(content)


def test_a_flipped_bit_of_a_cache_changes_nothing(caches):
    check_flips(caches, 15)


@pytest.mark.long
def test_hundreds_of_flipped_bits_of_a_cache_change_nothing(caches):
    check_flips(caches, 400)


def test_caches_of_older_versions_are_opened(caches, monkeypatch):
    folder, prepared = caches
    before = prepared()
    for path in [*folder.rglob("manifest.json"), *folder.rglob("about.json")]:
        values = json.loads(path.read_text())
        del values["sha256"]
        path.write_text(json.dumps(values))
    for path in folder.rglob("*.sha256"):
        path.unlink()
    monkeypatch.setattr("jaxlm.data._prepare.CacheWriter", None)
    monkeypatch.setattr("jaxlm.data._prepare.tokenizers.train_tokenizer", None)
    after = prepared()
    assert before[0].fingerprint == after[0].fingerprint and before[1] == after[1]


@pytest.mark.parametrize("stray", [".DS_Store", "._tokens.bin", "Thumbs.db", ".nfs0001", "empty/"])
def test_what_file_systems_and_viewers_leave_in_a_cache_is_no_damage(caches, stray, monkeypatch):
    folder, prepared = caches
    before = prepared()
    for inner in [path for path in folder.rglob("*") if path.is_dir()]:
        (inner / stray).mkdir() if stray.endswith("/") else (inner / stray).write_bytes(b"\0")
    monkeypatch.setattr("jaxlm.data._prepare.CacheWriter", None)
    monkeypatch.setattr("jaxlm.data._prepare.tokenizers.train_tokenizer", None)
    assert prepared()[1] == before[1]


def test_one_letter_of_a_key_of_a_manifest_is_damage(tmp_path):
    def build():
        records = [data.Record("a", "text", {})]
        return data.build_cache(
            lambda: records, tokenizers.bytes_tokenizer(), tmp_path, source_fingerprint="x"
        )

    folder = build().folder
    for place in (folder / "manifest.json").read_bytes().split(b'"')[1::2]:
        text = json.dumps(io.unseal(json.loads((folder / "manifest.json").read_text())))
        (folder / "manifest.json").write_text(text.replace(f'"{place.decode()}"', '"_"'))
        assert len(build()) == 1
