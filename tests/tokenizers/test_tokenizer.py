import copy
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers as hugging_face
from tokenizers import models

from jaxlm import tokenizers

TRACES = ["mov eax 1 [NEXT] ret", "mov ebx 2 [NEXT] call fn [NEXT] ret", "", "[MASK] é漢 -8"]
EVERY = {
    "instructions": tokenizers.train_instructions(TRACES, vocab_size=500),
    "subwords": tokenizers.train_subwords(TRACES, vocab_size=300),
    "bytes": tokenizers.bytes_tokenizer(),
    "residues": tokenizers.residue_tokenizer(),
}
SAMPLES = {kind: TRACES for kind in EVERY} | {"residues": ["MKT", "", "A<mask>.-X"]}


def with_words(*words, added=(), **fields):
    """A word-level file as another library may have written it."""
    backend = hugging_face.Tokenizer(
        models.WordLevel({word: id for id, word in enumerate(words)}, unk_token=words[0])
    )
    backend.pre_tokenizer = hugging_face.pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(added))
    return json.dumps(json.loads(backend.to_str()) | fields)


@pytest.fixture(params=EVERY)
def tokenizer(request):
    return EVERY[request.param]


class TestEveryKind:
    def test_a_batch_is_its_texts(self, tokenizer):
        texts = SAMPLES[tokenizer.kind]
        for add_specials in (False, True):
            batch = tokenizer.encode_batch(iter(texts), add_specials=add_specials)
            assert [ids.tolist() for ids in batch] == [
                tokenizer.encode(text, add_specials=add_specials).tolist() for text in texts
            ]
            assert all(ids.dtype == np.int32 and ids.ndim == 1 for ids in batch)
        assert tokenizer.encode_batch([]) == []

    def test_text_comes_back(self, tokenizer):
        for text in SAMPLES[tokenizer.kind]:
            assert tokenizer.decode(tokenizer.encode(text)) == text

    def test_file_pickle_and_copy_are_equal(self, tokenizer, tmp_path):
        tokenizer.save(tmp_path)
        others = [
            tokenizers.load_tokenizer(tmp_path),
            tokenizers.load_tokenizer(tmp_path / "tokenizer.json"),
            tokenizers.Tokenizer.from_json(tokenizer.to_json()),
            pickle.loads(pickle.dumps(tokenizer)),
            copy.deepcopy(tokenizer),
        ]
        for other in others:
            assert other == tokenizer and hash(other) == hash(tokenizer)
            assert (other.kind, other.specials, other.special_ids) == (
                tokenizer.kind,
                tokenizer.specials,
                tokenizer.special_ids,
            )
            assert other.to_json() == tokenizer.to_json()
        assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]

    def test_token_and_id_are_inverse_but_for_parts_of_characters(self, tokenizer):
        for id in range(tokenizer.vocab_size):
            shown = tokenizer.token(id)
            if "\\x" not in shown:
                assert tokenizer.id(shown) == id
        assert tokenizer.id("no such token") is None

    def test_ids_outside_the_vocabulary_are_errors(self, tokenizer):
        for id in (-1, tokenizer.vocab_size):
            with pytest.raises(ValueError, match=f"no token has id {id}: ids go from 0 to"):
                tokenizer.token(id)
            with pytest.raises(ValueError, match=f"no token has id {id}"):
                tokenizer.decode([0, id])

    def test_half_a_surrogate_is_an_error(self, tokenizer):
        with pytest.raises(ValueError, match="at position 0"):
            tokenizer.encode("\ud800")

    def test_decode_takes_lists_arrays_and_iterators(self, tokenizer):
        ids = tokenizer.encode(SAMPLES[tokenizer.kind][0])
        texts = {tokenizer.decode(form) for form in (ids, ids.tolist(), list(ids), iter(ids))}
        assert texts == {SAMPLES[tokenizer.kind][0]}
        assert tokenizer.decode([]) == ""


def test_the_fingerprint_is_the_hash_of_the_canonical_json():
    tokenizer = EVERY["residues"]
    canonical = json.dumps(json.loads(tokenizer.to_json()), sort_keys=True, separators=(",", ":"))
    assert tokenizer.fingerprint == hashlib.sha256(canonical.encode()).hexdigest()
    assert len({tokenizer.fingerprint for tokenizer in EVERY.values()}) == 4
    reordered = json.dumps(dict(reversed(json.loads(tokenizer.to_json()).items())), indent=4)
    assert tokenizers.Tokenizer.from_json(reordered).fingerprint == tokenizer.fingerprint


def test_padding_truncation_and_dropout_of_a_file_are_off():
    backend = hugging_face.Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.9))
    backend.enable_padding(length=8)
    backend.enable_truncation(2)
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    for _ in range(20):
        assert tokenizer.encode("ababab").tolist() == [2, 2, 2]
    assert [ids.tolist() for ids in tokenizer.encode_batch(["ab", "abab"])] == [[2], [2, 2]]


def test_holes_and_role_less_specials_are_special_ids():
    text = json.loads(with_words("[UNK]", "a", "b", added=["[UNK]", "<|fim|>"]))
    text["model"]["vocab"]["b"] = 6
    tokenizer = tokenizers.Tokenizer.from_json(json.dumps(text))
    fim = tokenizer.id("<|fim|>")
    assert tokenizer.vocab_size == 7
    assert tokenizer.specials == tokenizers.Specials(unk=0)
    assert tokenizer.special_ids == tuple(sorted({0, 2, 3, 4, 5} | {fim}))
    assert tokenizer.token(2 if fim != 2 else 3).startswith("<hole")


def test_an_ordinary_token_plays_no_role_by_its_name():
    tokenizer = tokenizers.Tokenizer.from_json(with_words("[UNK]", "</s>", "<mask>", added=["[UNK]"]))
    assert tokenizer.specials == tokenizers.Specials(unk=0)


def test_roles_that_names_do_not_tell_are_saved_beside_the_file(tmp_path):
    text = with_words("?", "a", "_", added=["?", "_"])
    tokenizer = tokenizers.Tokenizer.from_json(text, {"mask": "_", "unk": "?", "pad": "absent"})
    assert tokenizer.specials == tokenizers.Specials(unk=0, mask=2)
    assert tokenizer.kind == "huggingface"
    assert tokenizer != tokenizers.Tokenizer.from_json(text)
    tokenizer.save(tmp_path / "tokenizer.json")
    assert tokenizers.load_tokenizer(tmp_path) == tokenizer == pickle.loads(pickle.dumps(tokenizer))


def test_undertales_file_keeps_its_ids_and_roles():
    # Its form: specials first, a continuation prefix, pretokens as ordinary added tokens, rows of 512.
    names = ["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]", "[NEXT]"]
    vocab = {name: id for id, name in enumerate([*names, "3", "__3"])}
    backend = hugging_face.Tokenizer(models.BPE(vocab, [], unk_token="[UNK]", continuing_subword_prefix="__"))
    backend.pre_tokenizer = hugging_face.pre_tokenizers.Whitespace()
    backend.add_special_tokens(names)
    backend.add_tokens(["xor", "eax"])
    backend.enable_padding(length=512)
    backend.enable_truncation(512)
    tokenizer = tokenizers.Tokenizer.from_json(backend.to_str())
    assert tokenizer.encode("xor eax 33 [NEXT] xor [MASK]").tolist() == [8, 9, 6, 7, 5, 8, 4]
    assert tokenizer.specials == tokenizers.Specials(pad=0, unk=1, sep=2, cls=3, mask=4, next=5)
    assert tokenizer.special_ids == (0, 1, 2, 3, 4, 5)


def test_the_face_is_frozen():
    with pytest.raises(AttributeError):
        EVERY["bytes"].kind = "residues"
    assert repr(EVERY["bytes"]).startswith("Tokenizer('bytes', vocab_size=260, fingerprint='")


def test_text_needs_no_jax():
    code = "import sys, jaxlm.tokenizers; sys.exit('jax' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode
        == 0
    )
