"""A conversion that failed or was killed can be called again, and touches nothing of anybody else's."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxlm import io, models, pretrained, tokenizers
from jaxlm.pretrained import _conversion, _export

GPT2 = models.TransformerConfig(
    vocab_size=260,
    width=8,
    depth=1,
    num_heads=2,
    max_length=16,
    causal=True,
    activation="gelu_tanh",
    head="linear",
    head_bias=False,
)
# Converts, and is killed at the rename of that number.
CHILD = """
import os, sys
from jaxlm import pretrained
real, left = os.replace, int(sys.argv[3])
def replace(*paths):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    real(*paths)
os.replace = replace
pretrained.convert(sys.argv[1], sys.argv[2])
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run's model, and the same as a Hugging Face folder; both have chat templates beside them."""
    place = tmp_path_factory.mktemp("models")
    params = models.build(GPT2, "causal_lm").init(jax.random.key(0), jnp.array([[1]]))["params"]
    pretrained.save_model(place / "ours", GPT2, params, tokenizers.bytes_tokenizer(), kind="causal_lm")
    (place / "ours/chat_template.jinja").write_text("{{ messages }}")
    pretrained.convert(place / "ours", place / "theirs")
    return place


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=["ours", "theirs"])
def model(request, folders, tmp_path):
    """A model, and what a conversion of it that is let be writes."""
    pretrained.convert(folders / request.param, tmp_path / "whole")
    return folders / request.param, contents(tmp_path / "whole")


@pytest.mark.parametrize(("which", "exists"), [(0, False), (2, True), (9, False)])
def test_after_an_error_the_folder_is_as_it_was(model, tmp_path, monkeypatch, which, exists):
    source, whole = model
    real, count = os.replace, iter(range(99))

    def full(*paths):
        if next(count) == min(which, len(whole) - 1):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*paths)

    if exists:
        (tmp_path / "out").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(io.WriteError):
            pretrained.convert(source, tmp_path / "out")
    assert (tmp_path / "out").exists() == exists and not list(tmp_path.glob("out/*"))
    pretrained.convert(source, tmp_path / "out")
    assert contents(tmp_path / "out") == whole


def test_killed_at_any_rename(folders, tmp_path):
    """Each call finds what the one before has left."""
    source, out = folders / "ours", tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(Path(pretrained.__file__).parents[2])}
    child = [sys.executable, "-c", CHILD, str(source), str(out)]
    for which in (0, 2):
        done = subprocess.run([*child, str(which)], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL and not (out / "config.json").exists()
        assert (out / _conversion.MARK).exists()
    pretrained.convert(source, out)
    assert contents(out) == contents(folders / "theirs")


def left_behind(out, folders, **request):
    """What a killed conversion of another request leaves, its last file but one."""
    asked = json.dumps({"model": str((folders / "ours").resolve()), "dtype": None} | request)
    files = contents(folders / "theirs") | {_conversion.MARK: asked.encode(), ".a.7.partial": b"half"}
    out.mkdir()
    for name, content in files.items():
        (out / name).write_bytes(content)


def test_shards_of_another_dtype_do_not_stay(folders, tmp_path):
    left_behind(tmp_path / "out", folders, dtype="float32")
    (tmp_path / "out/config.json").unlink()
    (tmp_path / "out/model-00001-of-00002.safetensors").write_bytes(b"")
    (tmp_path / "out/notes.txt").write_text("mine")
    pretrained.convert(folders / "ours", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folders / "theirs") | {"notes.txt": b"mine"}


def test_a_whole_one_whose_mark_stayed_is_written_anew_for_the_same_request_only(folders, tmp_path):
    left_behind(tmp_path / "same", folders)
    pretrained.convert(folders / "ours", tmp_path / "same")
    assert contents(tmp_path / "same") == contents(folders / "theirs")
    left_behind(tmp_path / "other", folders, dtype="float32")
    before = contents(tmp_path / "other")
    with pytest.raises(FileExistsError, match="is there and not an empty folder: name another one"):
        pretrained.convert(folders / "ours", tmp_path / "other")
    assert contents(tmp_path / "other") == before


def test_a_folder_is_one_conversions_at_a_time(folders, tmp_path):
    def convert():
        return _conversion.converting(tmp_path / "out", "a", last="config.json", own=_export.WRITTEN_FILES)

    told = "another process is converting a model into"
    with convert(), pytest.raises(FileExistsError, match=told), convert():
        pass
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("which", ["ours", "theirs"])
def test_what_a_system_leaves_in_an_empty_folder_is_in_nobodys_way(folders, tmp_path, which):
    (tmp_path / "out").mkdir()
    for name in (".DS_Store", "Thumbs.db"):
        (tmp_path / "out" / name).write_text("x")
    pretrained.convert(folders / which, tmp_path / "out")
    assert {"config.json", "model.safetensors", ".DS_Store"} <= contents(tmp_path / "out").keys()
