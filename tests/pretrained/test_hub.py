import importlib.util
import json
import logging
import socket
import sys
import time
import types

import pytest

from jaxlm import pretrained

COMMIT = "0123abcd"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def put(cache, name="owner--model", reference="main"):
    place = cache / f"models--{name}"
    folder = place / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / reference).write_text(COMMIT)
    for file in ("config.json", "model.safetensors"):
        (folder / file).touch()
    return folder


def test_a_folder_is_itself(tmp_path):
    assert pretrained.find_folder(tmp_path) == tmp_path


def test_names_are_found_in_the_local_cache(cache):
    folder = put(cache)
    for name in ("owner/model", "owner/model@main", f"owner/model@{COMMIT}"):
        assert pretrained.find_folder(name) == folder
    assert pretrained.find_folder(str(put(cache, "gpt2"))) == pretrained.find_folder("gpt2")


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"])
def test_the_cache_is_where_its_variables_say(tmp_path, monkeypatch, variable):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    under = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}
    folder = put(tmp_path / under.get(variable, ".cache/huggingface/hub"))
    assert pretrained.find_folder("owner/model") == folder


def refused(name, told):
    with pytest.raises(FileNotFoundError, match=told) as caught:
        pretrained.find_folder(name)
    assert "\n" not in str(caught.value)


def test_offline_the_line_says_what_to_do(cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused("owner/model", r"no model owner/model: no such folder, and not in .*hub; HF_HUB_OFFLINE is set")
    refused("owner/model", r"hf download owner/model --local-dir DIR, then name DIR")


def test_a_download_that_was_broken_off_is_not_a_model(cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (put(cache) / "model.safetensors").unlink()
    refused("owner/model", "HF_HUB_OFFLINE is set")


def test_without_the_hub_library_the_line_names_it(cache, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    found = importlib.util.find_spec
    hidden = "huggingface_hub"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == hidden else found(name))
    refused("owner/model", "pip install huggingface_hub to download it, or on another machine: hf download")


class Hub(types.ModuleType):
    """What is used of huggingface_hub, with one repository of these files."""

    def __init__(self, files, folder=None):
        super().__init__("huggingface_hub")
        self.files, self.folder, self.asked = files, folder, []
        self.HfApi = lambda: self

    def model_info(self, name, *, revision, timeout):
        if self.folder is None:
            logging.getLogger("huggingface_hub").warning("one attempt failed")
            raise ConnectionError("the net\nis away")
        siblings = [types.SimpleNamespace(rfilename=file) for file in self.files]
        return types.SimpleNamespace(siblings=siblings)

    def snapshot_download(self, name, *, revision, allow_patterns):
        self.asked = [name, revision, sorted(allow_patterns)]
        return str(self.folder)


@pytest.fixture
def online(cache, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def use(*arguments):
        hub = Hub(*arguments)
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: hub)
        return hub

    return use


def test_what_is_needed_is_downloaded_and_weights_in_one_format(online, tmp_path):
    files = [
        "README.md",
        "config.json",
        "vocab.txt",
        "model-1.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
    ]
    hub = online([*files, "onnx/config.json", "consolidated.safetensors"], tmp_path)
    assert pretrained.find_folder("owner/model@v2") == tmp_path
    assert hub.asked == ["owner/model", "v2", ["config.json", "model-1.safetensors", "vocab.txt"]]


@pytest.mark.parametrize(
    "files",
    [
        ["source.spm", "target.spm", "vocab.json"],
        ["spiece.model", "tokenizer_config.json"],
        ["tokenizer.model", "added_tokens.json"],
        ["vocab.json", "merges.txt", "special_tokens_map.json"],
    ],
)
def test_every_form_of_a_tokenizer_is_downloaded(online, tmp_path, files):
    hub = online([*files, "config.json", "model.safetensors", "original/tokenizer.model"], tmp_path)
    pretrained.find_folder("owner/model")
    assert hub.asked[2] == sorted([*files, "config.json", "model.safetensors"])


def test_torch_files_are_downloaded_where_there_is_nothing_else(online, tmp_path):
    hub = online(["config.json", "pytorch_model.bin", "training_args.bin"], tmp_path)
    pretrained.find_folder("owner/model")
    assert hub.asked[2] == ["config.json", "pytorch_model.bin"]


def test_a_download_that_fails_is_one_line(online, caplog):
    online([])
    refused(
        "owner/model",
        r"downloading it failed \(ConnectionError: the net is away\); check the name and the net",
    )
    assert not caplog.records


def test_without_a_net_the_real_library_ends_at_once_and_in_silence(cache, monkeypatch, caplog, capfd):
    hub = pytest.importorskip("huggingface_hub")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    api, slept = hub.HfApi(endpoint=address), []
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "HfApi", lambda: api)
    monkeypatch.setattr(time, "sleep", slept.append)
    refused("owner/model", r"downloading it failed \(ConnectError: .*\); check the name and the net")
    assert slept == [] and not caplog.records and capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["./owner/model", "../model", "/nowhere/model", "a/b/c", "here/model", ""])
def test_what_can_only_be_a_path_is_not_looked_up(online, tmp_path, name):
    (tmp_path / "here").mkdir()
    hub = online([], tmp_path)
    if name:
        refused(name, f"no model at {name}: no such folder")
    assert hub.asked == []


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(NotADirectoryError, match="is a file: expected the folder that holds it"):
        pretrained.find_folder(tmp_path / "model.safetensors")


@pytest.mark.parametrize("how", ["in the cache", "by hf download"])
def test_what_a_model_from_the_hub_names_is_not_imported(cache, monkeypatch, how):
    folder, module = put(cache), cache.parent / "parts_of_a_stranger.py"
    if how == "by hf download":
        folder = cache.parent / "downloaded"
        (folder / ".cache" / "huggingface").mkdir(parents=True)
    module.write_text("import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nKIND = 3\n")
    values = {"objective": "theirs", "reference": "parts_of_a_stranger:KIND", "model": {"vocab_size": 9}}
    (folder / "config.json").write_text(json.dumps(values))
    monkeypatch.syspath_prepend(cache.parent)
    with pytest.raises(ValueError, match="from the hub names the module 'parts_of_a_stranger', which is not"):
        pretrained.load(folder)
    assert not module.with_suffix(".ran").exists()
    # Imported by whoever opens the model, it is looked at.
    monkeypatch.setitem(sys.modules, "parts_of_a_stranger", types.SimpleNamespace(KIND=3))
    with pytest.raises(ValueError, match=r"'parts_of_a_stranger:KIND' is a ModelKind: got int"):
        pretrained.load(folder)
