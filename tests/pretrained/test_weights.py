import importlib.util
import json
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxlm.pretrained._weights import holds_weights, open_weights

A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(4).astype(jnp.bfloat16)
INDEX = "model.safetensors.index.json"
SHARDS = {"model-00001-of-00002.safetensors": {"a": A}, "model-00002-of-00002.safetensors": {"b": B}}


@pytest.fixture
def sharded(tmp_path):
    for name, tensors in SHARDS.items():
        safetensors.numpy.save_file(tensors, tmp_path / name)
    places = {tensor: name for name, tensors in SHARDS.items() for tensor in tensors}
    write_index(tmp_path, places)
    return tmp_path


def write_index(folder, places):
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 32}, "weight_map": places}))


def refused(folder, told, kind=ValueError):
    with pytest.raises(kind, match=told) as caught:
        open_weights(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_are_one_set_of_tensors(sharded):
    found = open_weights(sharded)
    np.testing.assert_array_equal(found["a"].read(), A)
    np.testing.assert_array_equal(found["b"].read(), B)
    assert found["b"].file.name == "model-00002-of-00002.safetensors" and holds_weights(sharded)


def test_one_file_comes_before_shards(sharded):
    safetensors.numpy.save_file({"c": A}, sharded / "model.safetensors")
    assert list(open_weights(sharded)) == ["c"]


def test_missing_shards_are_named(sharded):
    for name in SHARDS:
        (sharded / name).unlink()
    refused(
        sharded, r"names 2 shards, and model-00001-of-00002.safetensors, model-00002.* are missing: fetch"
    )
    assert not holds_weights(sharded)


def test_a_half_downloaded_shard_is_named(sharded):
    path = sharded / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    refused(sharded, r"model-00002-of-00002.safetensors is not a whole safetensors file: it is cut off")


def test_an_index_that_does_not_fit_its_shards(sharded):
    write_index(sharded, {"a": next(iter(SHARDS)), "x": next(iter(SHARDS)), "b": next(iter(SHARDS))})
    refused(sharded, r"its shards lack b \(of model-00001.*\), x \(of model-00001")
    write_index(sharded, {"a": next(iter(SHARDS)), "b": list(SHARDS)[1]})
    safetensors.numpy.save_file({"b": B, "y": A}, sharded / list(SHARDS)[1])
    refused(sharded, r"it does not list y \(of model-00002-of-00002.safetensors\)")


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "..", "", "a/b.safetensors", 3])
def test_an_index_names_files_of_its_own_folder(sharded, name):
    write_index(sharded, {"a": name})
    refused(sharded, "may name files of its own folder")


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "is not JSON"), ("[]", "has no weight_map"), ('{"weight_map": {}}', "has no weight_map")],
)
def test_an_index_that_is_none(tmp_path, text, told):
    (tmp_path / INDEX).write_text(text)
    refused(tmp_path, told)


def test_a_folder_without_weights(tmp_path):
    refused(tmp_path, "it has no model.safetensors; the folder is empty: expected", FileNotFoundError)
    (tmp_path / "model.pkl").touch()
    told = refused(tmp_path, "it has no model.safetensors; it holds model.pkl", FileNotFoundError)
    assert "what is read is model.safetensors, pytorch_model.bin" in told and not holds_weights(tmp_path)


class Harm:
    """Whose unpickling would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("is_new", [True, False])
def test_torch_files_are_read_as_weights(tmp_path, is_new):
    torch = pytest.importorskip("torch")
    state = {"a": torch.tensor(A), "b": torch.arange(4, dtype=torch.bfloat16), "c": torch.tensor(A).half()}
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=is_new)
    found = open_weights(tmp_path)
    np.testing.assert_array_equal(found["a"].read(), A)
    np.testing.assert_array_equal(found["b"].read(), B)
    assert [found[name].dtype for name in "abc"] == [np.float32, jnp.bfloat16, np.float16]


def test_torch_files_in_shards(tmp_path):
    torch = pytest.importorskip("torch")
    names = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    for tensor, name in names.items():
        torch.save({tensor: torch.tensor(A)}, tmp_path / name)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    assert {name: tensor.shape for name, tensor in open_weights(tmp_path).items()} == {
        "a": (2, 3),
        "b": (2, 3),
    }


def test_a_pickle_of_more_than_weights_is_refused_and_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.tensor(A), "b": Harm(tmp_path / "harm")}, tmp_path / "pytorch_model.bin")
    told = refused(tmp_path, "cannot be read as weights alone")
    assert "save_pretrained" in told and not (tmp_path / "harm").exists()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    refused(tmp_path, "cannot be read as weights alone")
    assert not (tmp_path / "harm").exists()


def test_a_torch_file_without_torch_says_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    told = refused(tmp_path, "is a pickle, which is read through torch only, and torch is not installed")
    assert "pip install torch" in told and "save_pretrained" in told and not (tmp_path / "harm").exists()


def test_a_torch_file_that_was_not_fetched(tmp_path):
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(
        tmp_path, "pytorch_model.bin is a Git LFS pointer to weights; fetch the file itself: git lfs pull"
    )


def test_a_torch_file_of_no_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": 3}, tmp_path / "pytorch_model.bin")
    refused(tmp_path, "expected a dict of tensors")
