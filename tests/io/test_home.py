"""Home folders that nobody has are refused in one line."""

from pathlib import Path

import pytest

from jaxlm import io


def test_a_home_and_a_path_without_one(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert io.expand_home("~/x", "JAXLM_CACHE") == Path("/home/somebody/x")
    assert io.expand_home("a/~b", "JAXLM_CACHE") == Path("a/~b")


@pytest.mark.parametrize("variable", ["JAXLM_CACHE", "HF_HUB_CACHE", "HF_HOME"])
def test_nobody_has_no_home(monkeypatch, variable):
    from jaxlm.pretrained._hub import cache_folder

    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "~nobody-of-that-name/x")
    with pytest.raises(ValueError, match="no home folder for"):
        io.cache_root() if variable == "JAXLM_CACHE" else cache_folder()
